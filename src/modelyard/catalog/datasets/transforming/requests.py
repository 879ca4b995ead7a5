"""What clients ask of transformations, what a worker is told, and what a preview shows."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from modelyard.catalog.datasets.referring import DatasetId, VersionRef
from modelyard.catalog.datasets.schema import Number, VersionId
from modelyard.catalog.datasets.transforming.schema import MOST_TABLES, Steps
from modelyard.jobs.schema import Compute
from modelyard.ml.steps import Cell, Name


class Asked(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A recipe, and what it is applied to."""

    version: Annotated[VersionId | None, Meta(description="The newest where left out.")] = None
    steps: Steps = []
    recipe_of: Annotated[
        VersionRef | None,
        Meta(
            description="Instead of `steps`: the recipe that made this version, with what it learnt"
            " then. So new rows are treated just as those were."
        ),
    ] = None
    tables: Annotated[
        dict[Name, VersionRef],
        Meta(max_length=MOST_TABLES, description="The tables that steps join, by their names."),
    ] = {}


class TransformRequest(
    Asked, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """How to make a version of another."""

    target: Annotated[
        DatasetId | None,
        Meta(description="The id of the dataset that gets the version; this one where left out."),
    ] = None
    new_version: Annotated[
        Number | None, Meta(description="Its number; where left out it follows from the columns.")
    ] = None
    description: Annotated[str, Meta(max_length=5000)] = ""
    analyze: Annotated[
        bool, Meta(description="Analyze the version once it is there, as another operation.")
    ] = True
    compute: Annotated[Compute | None, Meta(description="1 GiB of memory where left out.")] = None


class PreviewRequest(Asked, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A recipe to try on a few rows."""

    sample: Annotated[
        int, Meta(ge=1, le=100_000, description="So many rows are taken, from the first on.")
    ] = 1000
    rows: Annotated[int, Meta(ge=0, le=1000, description="So many of the result are shown.")] = 20


class Transformation(Struct, frozen=True, kw_only=True):
    """What a worker is told. All is decided: versions are named, and steps fit the columns."""

    source: VersionId
    steps: Steps
    tables: dict[str, VersionRef]
    learnt: list[dict[str, Any]] | None
    target: str
    untold: bool = False  # what was learnt is of personal data
    new_version: str | None = None
    description: str = ""
    analyze: bool = True
    compute: Compute | None = None


class PreviewColumn(Struct, frozen=True, kw_only=True, rename="camel"):
    """A column of the result."""

    name: str
    type: str


class PreviewResult(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a recipe makes of the first rows. What it learns, it learns of these alone."""

    version: VersionId
    columns: list[PreviewColumn]
    rows: list[dict[str, Cell]]
    sampled: Annotated[int, Meta(description="The rows that were taken.")]
    made: Annotated[int, Meta(description="The rows that came of them.")]
