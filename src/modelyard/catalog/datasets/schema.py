"""What clients send and read of datasets (camelCase, as 002 has it)."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from modelyard.catalog.datasets.sharing.schema import Access
from modelyard.jobs.schema import Compute, Priority
from modelyard.kernel.fields import OUTPUT_ONLY, refers
from modelyard.kernel.methods import Scope
from modelyard.ml.checks import Constraint

Type = Literal["Tabular", "Text", "Image", "Audio", "Video", "TimeSeries", "Mixed"]
Format = Literal["CSV", "JSONL", "Parquet", "Text", "ZIP", "TAR"]
Status = Literal["empty", "available"]
FORMATS: dict[str, Format] = {
    "csv": "CSV",
    "jsonl": "JSONL",
    "parquet": "Parquet",
    "text": "Text",
    "zip": "ZIP",
    "tar": "TAR",
}
ColumnType = Literal[
    "integer", "number", "boolean", "date", "datetime", "string", "list", "object", "binary"
]
MOST_VALUES = 20  # that are told of a column of texts
Number = Annotated[
    str,
    Meta(
        pattern=r"^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\Z",
        description="`1.4.0`: the major number changes where columns go or change their type, the "
        "minor one where some are added, the last one with other rows.",
    ),
]
PART = "[a-z0-9][a-z0-9_]{0,30}"
VERSION = r"^\d{1,9}\.\d{1,9}\.\d{1,9}(-[a-z0-9_]{1,31}){0,2}\Z"  # 1.4.0, and 1.4.0-train
VersionId = Annotated[str, Meta(max_length=100, description="Its id: `1.4.0`, `1.4.0-train`.")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Quote = Annotated[str, Meta(max_length=1)]
Text = Annotated[str, Meta(max_length=255)]
Encoding = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{1,40}\Z", description="As Python names it.")
]
Delimiter = Annotated[str, Meta(min_length=1, max_length=1)]
Faults = Annotated[
    int,
    Meta(
        ge=0,
        le=1 << 40,
        description="Rows that may be unreadable: they are left out and reported. With more of "
        "them nothing is kept.",
    ),
]
Memory = Annotated[
    int,
    Meta(
        ge=64 << 20,
        le=1 << 46,
        description="Bytes of memory to read it with; 512 MiB where left out: rows of many "
        "megabytes need more.",
    ),
]
Constraints = Annotated[list[Constraint], Meta(max_length=100)]
Fractions = dict[Annotated[str, Meta(pattern=rf"^{PART}\Z")], float]


class Column(Struct, frozen=True, kw_only=True, rename="camel"):
    """A column of a table."""

    name: str
    type: ColumnType
    nullable: Annotated[bool, Meta(description="A value is absent in some row.")]
    values: Annotated[
        list[str] | None, Meta(description="All values of texts that have 20 of them or fewer.")
    ] = None


class TableSchema(Struct, frozen=True, kw_only=True, rename="camel"):
    """The columns of a table, in their order."""

    fields: list[Column] = []


class DatasetStatistics(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is known of the newest version's values, as shares. Null: not analyzed yet."""

    null_values: Annotated[float, Meta(description="The share of values that are absent.")] = 0.0
    duplicates: Annotated[
        float | None, Meta(description="The share of rows that repeat an earlier one.")
    ] = None
    outliers: Annotated[
        float | None, Meta(description="The share of numbers outside of Tukey's fences.")
    ] = None
    class_distribution: Annotated[
        dict[str, float], Meta(description="The share of each class, where there is a target.")
    ] = {}


class DatasetQuality(Struct, frozen=True, kw_only=True, rename="camel"):
    """The newest version's quality, as shares: `docs/explanation/data-quality.md`."""

    completeness: float
    consistency: float
    accuracy: Annotated[float | None, Meta(description="Null where it cannot be told.")]
    validity: float


class DatasetPrivacy(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Of the persons in the newest version's data."""

    contains_pii: Annotated[
        bool,
        Meta(description="Computed by a scan of each version; what the owner says is `declared`."),
    ] = field(default=False, name="containsPII")
    anonymized: Annotated[
        bool, Meta(description="What was found is out of it: set by `anonymise`, or by the owner.")
    ] = False
    encryption_type: Annotated[
        str | None,
        Meta(description="`AES-256`: of the stored bytes; null: they are not. The server's."),
    ] = None
    compliance: Annotated[list[Text], Meta(max_length=32)] = []
    clearance_level: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        Meta(
            description="Callers whose attribute `clearance_level` is at least this may use "
            "personal data in it. Null: the owner alone, and who has `dataset-pii:use`."
        ),
    ] = None
    declared: Annotated[
        bool | None,
        Meta(description="What the owner said of `containsPII`. Null: the scans decide."),
    ] = None


class DatasetStorage(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Where the newest version's table is, and how long versions are kept."""

    location: Annotated[str | None, Meta(description="The name of its artifact. The server's.")] = (
        None
    )
    compression: Annotated[str, Meta(max_length=20, description="The server's.")] = "zstd"
    partitioning: Annotated[
        Text | None,
        Meta(
            description="By what the owner's data is divided: `by_date`. It is told, and divides "
            "nothing: a version is one table.",
            examples=["by_date"],
        ),
    ] = None
    retention: Annotated[
        Annotated[str, Meta(max_length=100)] | None,
        Meta(
            description="How long a version is kept: `2 years`, or `P2Y`. Then it goes for good, "
            "with its bytes. Null: until it is deleted.",
            examples=["2 years"],
        ),
    ] = None


class DatasetMetadata(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the data comes from, in the owner's words."""

    source: Text = ""
    license: Annotated[Text, Meta(description="As SPDX names it: `cc-by-4.0`.")] = ""
    collection_period: Text = ""
    languages: Annotated[list[Text], Meta(max_length=100)] = []
    tags: Annotated[list[Text], Meta(max_length=100)] = []


class Dataset(Struct, frozen=True, kw_only=True, rename="camel"):
    """A table with versions. What it tells of its data is of the newest version."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]
    description: Annotated[str, Meta(max_length=5000)] = ""
    type: Type = "Tabular"
    privacy: DatasetPrivacy = DatasetPrivacy()
    storage: DatasetStorage = DatasetStorage()
    metadata: DatasetMetadata = DatasetMetadata()
    constraints: Annotated[
        Constraints, Meta(description="What `validate` looks for where it is told nothing.")
    ] = []
    enforce: Annotated[
        bool, Meta(description="Rows that break `constraints` are not let in as a version.")
    ] = False
    access: Annotated[Access, OUTPUT_ONLY, Meta(description="Set at `/{id}/access`.")] = Access()
    owner: Annotated[str, OUTPUT_ONLY, Meta(description="Whose it is: who made it.")] = ""
    shared_with: Annotated[
        list[str],
        OUTPUT_ONLY,
        Meta(description="Who sees it at all, where it is private; empty: the workspace."),
    ] = []
    format: Annotated[Format | None, OUTPUT_ONLY, Meta(description="As it was uploaded.")] = None
    size: Annotated[int, OUTPUT_ONLY, Meta(description="Bytes, as it was uploaded.")] = 0
    record_count: Annotated[int, OUTPUT_ONLY] = 0
    card: Annotated[
        str | None, OUTPUT_ONLY, refers("artifacts"), Meta(description="The card, as it was set.")
    ] = None
    version: Annotated[str | None, OUTPUT_ONLY, Meta(description="The newest one's number.")] = None
    status: Annotated[Status, OUTPUT_ONLY] = "empty"
    schema: Annotated[TableSchema | None, OUTPUT_ONLY] = None
    statistics: Annotated[DatasetStatistics | None, OUTPUT_ONLY] = None
    quality: Annotated[
        DatasetQuality | None, OUTPUT_ONLY, Meta(description="Null: not analyzed yet.")
    ] = None
    splits: Annotated[
        dict[str, float], OUTPUT_ONLY, Meta(description="The fractions of the last split.")
    ] = {}


class UploadQuery(Scope, frozen=True, kw_only=True):
    """Query parameters of an upload."""

    artifact: Annotated[
        Digest | None, Meta(description="The file, where it was uploaded before.")
    ] = None
    name: Annotated[str, Meta(max_length=255, description="The file's name.")] = ""
    version: Number | None = None
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
    priority: Priority | None = None


class DownloadQuery(Scope, frozen=True, kw_only=True):
    """Query parameters of a download."""

    version: Annotated[VersionId | None, Meta(description="The newest where left out.")] = None
    format: Annotated[
        Literal["original", "csv", "jsonl", "parquet", "arrow"],
        Meta(description="`original`: the bytes that were uploaded."),
    ] = "original"
    columns: Annotated[
        str, Meta(max_length=10_000, description="Those alone, by commas; all where empty.")
    ] = ""
    filter: Annotated[
        str,
        Meta(
            max_length=4000,
            description="An expression over the columns, as recipes have it: the rows for which it "
            "is true. Absent values and what is no number (NaN) are null.",
        ),
    ] = ""


class SplitRequest(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How to divide a version."""

    version: Annotated[VersionId | None, Meta(description="The newest where left out.")] = None
    method: Annotated[
        Literal["random", "stratified", "group", "time"],
        Meta(
            description="`stratified`: `column` has the class, which is divided as the whole. "
            "`group`: no value of `column` is in two parts. `time`: the lowest values of `column` "
            "are the first part's."
        ),
    ] = "random"
    column: Annotated[str | None, Meta(description="Not for `random`.")] = None
    fractions: Annotated[Fractions, Meta(description="Of 2 to 32 parts; they add up to 1.")] = (
        field(default_factory=lambda: {"train": 0.7, "validation": 0.15, "test": 0.15})
    )
    seed: Annotated[int, Meta(ge=0, le=(1 << 53) - 1)] = 0
    name: Annotated[
        str,
        Meta(pattern=rf"^({PART})?\Z", description="Tells this split from others of a version."),
    ] = ""
    leak_column: Annotated[
        str | None,
        Meta(description="Values of it that are in several parts are reported: a customer's id."),
    ] = None
    text_column: Annotated[
        str | None,
        Meta(description="Texts of it that are nearly the same in several parts are reported."),
    ] = None
    similarity: Annotated[
        float,
        Meta(
            ge=0.5,
            le=1.0,
            description="From which on two texts are nearly the same: the share of all their "
            "runs of five characters that is in both (Jaccard).",
        ),
    ] = 0.8
    compute: Annotated[
        Compute | None, Meta(description="2 GiB of memory where left out: for 30 million rows.")
    ] = None


class SplitPart(Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of a split."""

    name: str
    version: VersionId
    record_count: int


class NearDuplicate(Struct, frozen=True, kw_only=True, rename="camel"):
    """Two texts of different parts that are nearly the same."""

    rows: Annotated[list[int], Meta(description="Of the version that was split, counted from 1.")]
    similarity: Annotated[float, Meta(ge=0, le=1)]
    samples: Annotated[list[str], Meta(description="How they begin, as they were compared.")]


class Leakage(Struct, frozen=True, kw_only=True, rename="camel"):
    """What two parts share."""

    parts: list[str]
    rows: Annotated[
        int, Meta(description="Rows of the second that are in the first, too, value by value.")
    ]
    groups: Annotated[
        int | None, Meta(description="Values of `leakColumn` that are in both; null: not asked.")
    ] = None
    texts: Annotated[
        int | None,
        Meta(
            description="Rows of the second whose text is nearly that of one of the first; null: "
            "not asked."
        ),
    ] = None
    near_duplicates: Annotated[
        list[NearDuplicate], Meta(description="Twenty of those texts, with their likes.")
    ] = []


class SplitResult(Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of a split."""

    version: VersionId
    seed: int
    parts: list[SplitPart]
    leakage: Annotated[list[Leakage], Meta(description="Of each two parts that share something.")]
