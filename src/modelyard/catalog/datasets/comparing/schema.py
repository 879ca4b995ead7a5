"""What clients ask of differences, and read of them."""

from typing import Annotated

from msgspec import Meta, Struct

from modelyard.catalog.datasets.referring import VersionRef
from modelyard.jobs.schema import Compute
from modelyard.ml.changes import Diff, Shift


class DiffRequest(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a version is compared with, and how its rows are found again."""

    base: Annotated[
        VersionRef,
        Meta(description="The version that it is compared with, of this or another dataset."),
    ]
    key: Annotated[
        list[str],
        Meta(
            max_length=100,
            description="The columns by which a row is found again. Without any, rows are compared "
            "as wholes, and none is `changed`.",
        ),
    ] = []
    statistics: Annotated[
        bool, Meta(description="Compare the columns' figures, too: two more passes over both.")
    ] = True
    compute: Annotated[Compute | None, Meta(description="1 GiB of memory where left out.")] = None


class DiffResult(Struct, frozen=True, kw_only=True, rename="camel"):
    """What changed from the base to the version."""

    base: Annotated[str, Meta(description="The name of the version that was compared with.")]
    version: str
    difference: Diff
    statistics: Annotated[
        list[Shift] | None,
        Meta(description="The figures of columns that differ; null: not asked for."),
    ]
