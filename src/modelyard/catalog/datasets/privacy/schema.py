"""What clients send and read of personal data in datasets (camelCase)."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from modelyard.jobs.schema import Compute

MOST_COLUMNS = 1000
MOST_SCANNED = 1 << 40
Method = Literal["mask", "hash", "generalise"]
VersionId = Annotated[str, Meta(max_length=100)]
Wanted = Annotated[VersionId | None, Meta(description="The newest where left out.")]
Share = Annotated[float, Meta(ge=0, le=1)]


class Finding(Struct, frozen=True, kw_only=True, rename="camel"):
    """Personal data of one kind in a column."""

    column: str
    kind: Annotated[str, Meta(description="`email`, `phone`, `iban`, `name`, `birth_date` …")]
    rows: Annotated[int, Meta(description="Of those looked at, that have it.")]
    share: Annotated[Share, Meta(description="Of the rows looked at.")]
    by: Annotated[
        Literal["value", "column", "source"],
        Meta(
            description="Found by the values' form, by the column's name alone, or in the version "
            "that this one was made of."
        ),
    ] = "value"
    examples: Annotated[list[str], Meta(description="Three at most, masked.")] = []


class VersionPrivacy(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a scan found in a version."""

    contains_pii: Annotated[bool, Meta(description="Something was found.")] = field(
        default=False, name="containsPII"
    )
    anonymized: Annotated[
        bool, Meta(description="What was found in the version it was made of is out of it.")
    ] = False
    encryption_type: Annotated[
        str | None, Meta(description="`AES-256`: of the stored bytes; null: they are not.")
    ] = None
    scanned_rows: Annotated[int, Meta(description="Looked at; all, or a sample.")] = 0
    findings: list[Finding] = []


class ScanRequest(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which version to look at, and how many of its rows."""

    version: Wanted = None
    rows: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_SCANNED)] | None,
        Meta(description="About so many, by chance; unset: all of them."),
    ] = None
    compute: Compute | None = None


class ScanResult(Struct, frozen=True, kw_only=True, rename="camel"):
    """What was found. Of n rows without a finding fewer than 3 in n have one, with 95 %."""

    version: str
    contains_pii: Annotated[bool, Meta(description="Also kept in the version.")] = field(
        name="containsPII"
    )
    scanned_rows: int
    record_count: int
    findings: list[Finding]


class Treatment(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What becomes of all values of a column."""

    name: Annotated[str, Meta(min_length=1, max_length=1000)]
    method: Annotated[
        Literal["mask", "hash", "generalise", "drop", "keep"],
        Meta(
            description="`generalise`: numbers become intervals of `width`, times their `unit`, "
            "texts their first `keep` characters. `keep`: as it is, whatever was found in it."
        ),
    ]
    width: Annotated[float, Meta(gt=0, le=1e15)] = 10.0
    unit: Literal["month", "year"] = "month"
    keep: Annotated[int, Meta(ge=0, le=100)] = 3


class AnonymiseRequest(
    Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """How to take personal data out of a version."""

    version: Wanted = None
    method: Annotated[
        Method, Meta(description="For all that is found in columns which are not named below.")
    ] = "mask"
    columns: Annotated[list[Treatment], Meta(max_length=MOST_COLUMNS)] = field(default_factory=list)
    compute: Compute | None = None


class Treated(Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of a column."""

    name: str
    method: str
    kinds: Annotated[list[str], Meta(description="What was found in it; none: it was named.")]
    rows: Annotated[int, Meta(description="That had what was found; all where it was named.")]


class AnonymiseResult(Struct, frozen=True, kw_only=True, rename="camel"):
    """The version that was made."""

    source: str
    version: str
    anonymized: Annotated[
        bool, Meta(description="False where a column was to be kept in which something was found.")
    ]
    columns: list[Treated]


class PurgeRequest(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is to go for good."""

    version: Annotated[
        VersionId | None, Meta(description="With its parts; unset: the dataset and all of it.")
    ] = None
    expired: Annotated[
        bool, Meta(description="Only versions that are older than `storage.retention`.")
    ] = False


class PurgeResult(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is gone for good."""

    versions: Annotated[list[str], Meta(description="Their names.")] = []
    artifacts: Annotated[int, Meta(description="Whose bytes were removed.")] = 0
    bytes: Annotated[int, Meta(description="That they had.")] = 0
    kept: Annotated[
        list[str],
        Meta(description="Artifacts that stay: others refer to them, or they are to be kept."),
    ] = []
