"""What clients read of a dataset's versions (camelCase). The server writes them, once."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from modelyard.catalog.datasets.privacy.schema import VersionPrivacy
from modelyard.catalog.datasets.schema import (
    Delimiter,
    Digest,
    Encoding,
    Faults,
    Format,
    Memory,
    Number,
    Quote,
    TableSchema,
    Type,
)
from modelyard.catalog.datasets.transforming.schema import Recipe
from modelyard.kernel.fields import HIDDEN, OUTPUT_ONLY, refers


class Dialect(Struct, frozen=True, kw_only=True, rename="camel"):
    """How the file was read."""

    format: Format
    encoding: str | None = None
    delimiter: str | None = None
    quote: Annotated[str | None, Meta(description="Null: quotes were text.")] = None
    header: bool | None = None
    found: Annotated[list[str], Meta(description="How that was found, in words.")] = []


class RowFault(Struct, frozen=True, kw_only=True, rename="camel"):
    """A row that could not be read."""

    row: Annotated[int, Meta(description="Rows of data count from 1.")]
    reason: str
    sample: Annotated[
        str, Meta(description="How it begins; empty where the version holds personal data.")
    ]


class FaultReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """The rows that could not be read, and are not in the version."""

    count: int = 0
    first: Annotated[list[RowFault], Meta(description="The first hundred.")] = []


class Version(Struct, frozen=True, kw_only=True, rename="camel"):
    """A table that never changes. The id is its number, with the name of the part of a split."""

    description: Annotated[str, OUTPUT_ONLY] = ""
    origin: Annotated[Literal["upload", "split", "anonymise", "transform"], OUTPUT_ONLY] = "upload"
    file_name: Annotated[str, OUTPUT_ONLY] = ""
    size: Annotated[int, OUTPUT_ONLY, Meta(description="Bytes of the original.")] = 0
    record_count: Annotated[int, OUTPUT_ONLY] = 0
    schema: Annotated[TableSchema, OUTPUT_ONLY] = TableSchema()
    null_values: Annotated[float, OUTPUT_ONLY, Meta(description="The share of all values.")] = 0.0
    dialect: Annotated[Dialect | None, OUTPUT_ONLY] = None
    faults: Annotated[FaultReport, OUTPUT_ONLY] = FaultReport()
    original: Annotated[
        str | None, OUTPUT_ONLY, refers("artifacts"), Meta(description="The file, as it came.")
    ] = None
    data: Annotated[
        str, OUTPUT_ONLY, refers("artifacts"), Meta(description="The table, as Parquet.")
    ] = ""
    type: Annotated[
        Type | None, OUTPUT_ONLY, Meta(description="What the files are, where rows are files.")
    ] = None
    archive: Annotated[
        str | None,
        OUTPUT_ONLY,
        refers("artifacts"),
        Meta(description="In which those files are: the original, or what it unpacks to."),
    ] = None
    index: Annotated[
        str | None, OUTPUT_ONLY, refers("artifacts"), Meta(description="Where in it each is.")
    ] = None
    parent: Annotated[
        str | None, OUTPUT_ONLY, Meta(description="The version that it is a part of.")
    ] = None
    part: Annotated[str, OUTPUT_ONLY, Meta(description="Its name in the split.")] = ""
    recipe: Annotated[
        Recipe | None, OUTPUT_ONLY, Meta(description="How it was transformed, if it was.")
    ] = None
    learnt: Annotated[list[dict[str, Any]], HIDDEN] = []  # the recipe's, of personal data
    operation: Annotated[str, OUTPUT_ONLY, Meta(description="What made it.")] = ""
    privacy: Annotated[
        VersionPrivacy | None, OUTPUT_ONLY, Meta(description="Null: it was not scanned.")
    ] = None
    shared_with: Annotated[list[str], OUTPUT_ONLY, Meta(description="As the dataset has it.")] = []
    analysis: Annotated[
        str | None,
        OUTPUT_ONLY,
        refers("artifacts"),
        Meta(description="What the last analysis has found, as JSON."),
    ] = None
    analysis_operation: Annotated[
        str, OUTPUT_ONLY, Meta(description="The analysis that was begun last.")
    ] = ""


class CreateVersion(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A version of a file that was uploaded as an artifact."""

    artifact: Annotated[Digest, Meta(description="The artifact's id.")]
    version: Number | None = None
    name: Annotated[str, Meta(max_length=255, description="The file's name.")] = ""
    description: Annotated[str, Meta(max_length=5000)] = ""
    max_faults: Faults = 0
    format: Literal["csv", "jsonl", "parquet", "text"] | None = None
    encoding: Encoding | None = None
    delimiter: Delimiter | None = None
    quote: Annotated[Quote | None, Meta(description='`"`; empty: quotes are text.')] = None
    header: bool | None = None
    analyze: Annotated[
        bool, Meta(description="Analyze the version once it is there, as another operation.")
    ] = True
    memory_bytes: Memory | None = None
