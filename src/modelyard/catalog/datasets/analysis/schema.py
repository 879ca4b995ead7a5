"""What clients send and read of analyses (camelCase), and what is kept of them."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.catalog.datasets.schema import DatasetQuality, DatasetStatistics, VersionId
from modelyard.jobs.schema import Compute
from modelyard.kernel.fields import Time
from modelyard.kernel.methods import Scope
from modelyard.ml.figures import Issue, Profile, Quality, Sample

LONGEST_WAIT = 30.0  # seconds
Name = Annotated[str, Meta(min_length=1, max_length=1000)]
Key = Annotated[list[Name], Meta(max_length=16)]


class TrueRows(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A version whose rows are known to be right; the `key` tells which row is which."""

    version: VersionId
    dataset: Annotated[str | None, Meta(description="Its id; this dataset where left out.")] = None


class AnalyzeRequest(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What to look at, and how. Without target or key, those of the last analysis are taken."""

    version: Annotated[VersionId | None, Meta(description="The newest where left out.")] = None
    target: Annotated[
        Name | None,
        Meta(
            description="The column with the class, for `classDistribution`. Where none was ever "
            "named: a column called label, class, target, category, sentiment or y."
        ),
    ] = None
    key: Annotated[
        Key | None,
        Meta(description="Columns that tell rows apart: repeats lower the consistency."),
    ] = None
    reference: Annotated[
        TrueRows | None, Meta(description="For the accuracy; needs a `key` that both have.")
    ] = None
    reference_date: Annotated[
        str | None,
        Meta(
            description="`2026-11-30`: what columns of dates and times have after that day lowers "
            "the validity."
        ),
    ] = None
    sample_rows: Annotated[
        int,
        Meta(
            ge=1000,
            le=2_000_000,
            description="Quantiles, histograms, frequent values and correlations are of about as "
            "many rows where there are more, and of fewer where rows are long; the answer tells "
            "the error that follows.",
        ),
    ] = 200_000
    seed: Annotated[int, Meta(ge=0, le=(1 << 53) - 1, description="Of the sample.")] = 0
    compute: Annotated[
        Compute | None, Meta(description="1 GiB of memory where left out: for any number of rows.")
    ] = None


class Analysis(Struct, frozen=True, kw_only=True, rename="camel"):
    """All that was found, as it is kept. `target` and `key` are those that were used."""

    version: VersionId
    analyzed_at: Time
    operation: str
    asked: AnalyzeRequest
    profile: Profile
    quality: Quality


class _Told(Struct, frozen=True, kw_only=True, rename="camel"):
    version: VersionId
    analyzed_at: Time
    operation: Annotated[str, Meta(description="What worked it out.")]
    pending: Annotated[
        str | None, Meta(description="An operation that is working out newer figures.")
    ]


class VersionStatistics(_Told, frozen=True, kw_only=True, rename="camel"):
    """What is known of a version's values, as shares from 0 to 1."""

    record_count: int
    null_values: Annotated[float, Meta(description="Absent cells, of all cells.")]
    duplicates: Annotated[float, Meta(description="Rows that repeat an earlier one.")]
    duplicates_error: Annotated[
        float, Meta(description="Its standard error; 0 where all rows were compared.")
    ]
    outliers: Annotated[
        float,
        Meta(description="Numbers outside of Tukey's fences, of those in columns with fences."),
    ]
    target: Annotated[str | None, Meta(description="The column with the classes.")]
    class_distribution: Annotated[
        dict[str, float], Meta(description="The share of each class, of rows that have one.")
    ]
    sample: Annotated[
        Sample | None,
        Meta(description="What quartiles and so outliers' fences are of; null: of all rows."),
    ]


class VersionProfile(_Told, frozen=True, kw_only=True, rename="camel"):
    """Each column's figures, and how columns go together."""

    profile: Profile


class VersionQuality(_Told, frozen=True, kw_only=True, rename="camel"):
    """Four shares from 0 to 1, and what lowers them."""

    completeness: Annotated[float, Meta(description="Cells that have a value.")]
    consistency: Annotated[float, Meta(description="Judgements without a contradiction.")]
    accuracy: Annotated[
        float | None,
        Meta(description="Cells as in the reference; else a stand-in; null: cannot be told."),
    ]
    accuracy_by: Annotated[
        str | None, Meta(description="`reference`, or `extremes`: the stand-in.")
    ]
    validity: Annotated[float, Meta(description="Values that are not invalid.")]
    key: list[str]
    reference: TrueRows | None
    reference_date: str | None
    issues: Annotated[list[Issue], Meta(description="What lowers them, the most frequent first.")]


class AnalyzeResult(Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of an analysis; all of it is read from statistics, profile and quality."""

    version: VersionId
    statistics: DatasetStatistics
    quality: DatasetQuality


class AnalysisQuery(Scope, frozen=True, kw_only=True):
    """Query parameters of what an analysis has found."""

    version: Annotated[VersionId | None, Meta(description="The newest where left out.")] = None
    wait: Annotated[
        float,
        Meta(ge=0, le=LONGEST_WAIT, description="Seconds to wait for the first analysis."),
    ] = 10.0


class ProfileQuery(AnalysisQuery, frozen=True, kw_only=True):
    """Query parameters of a profile."""

    format: Annotated[
        Literal["json", "html"] | None,
        Meta(description="`html`: a page with pictures. By `Accept` where left out."),
    ] = None
