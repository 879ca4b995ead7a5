"""What clients ask and read of single rows."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from modelyard.catalog.datasets.schema import VersionId
from modelyard.kernel.methods import Scope


class RowsQuery(Scope, frozen=True, kw_only=True):
    """Query parameters of a page of rows."""

    version: Annotated[VersionId | None, Meta(description="The newest where left out.")] = None
    offset: Annotated[int, Meta(ge=0, le=1 << 40, description="Rows before the first.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    columns: Annotated[
        str, Meta(max_length=10_000, description="Those alone, by commas; all where empty.")
    ] = ""


class Rows(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of rows."""

    version: VersionId
    offset: int
    record_count: Annotated[int, Meta(description="Of the version.")]
    rows: Annotated[list[dict[str, Any]], Meta(description="Bytes are base64.")]
