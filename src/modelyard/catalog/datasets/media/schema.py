"""What clients ask of the files that are rows of a version."""

from typing import Annotated

from msgspec import Meta

from modelyard.catalog.datasets.schema import VersionId
from modelyard.kernel.methods import Scope


class FileQuery(Scope, frozen=True, kw_only=True):
    """Query parameters of the download of one file."""

    path: Annotated[
        str, Meta(min_length=1, max_length=1024, description="As the column `path` has it.")
    ]
    version: Annotated[VersionId | None, Meta(description="The newest where left out.")] = None
