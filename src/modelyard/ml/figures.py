"""What is said of a table: figures as they are kept and sent. Nothing heavy is loaded for them."""

from __future__ import annotations

from msgspec import Struct

Value = int | float | str | bool | None


class Sample(Struct, frozen=True, kw_only=True, rename="camel"):
    """How far a figure from a sample may be off.

    With ``confidence``, every quantile's rank, and every share of rows below a value, differs from
    that of all rows by at most ``bound`` (0 to 1); the share of one value or one interval by at
    most twice that. By the inequality of Dvoretzky, Kiefer and Wolfowitz with Massart's constant
    (Annals of Probability 18, 1990): bound = sqrt(ln(2 / (1 - confidence)) / (2 rows)). Drawing
    without replacement is no worse (Hoeffding 1963, section 6).
    """

    rows: int
    of: int
    confidence: float
    bound: float


class Duplicates(Struct, frozen=True, kw_only=True, rename="camel"):
    """The rows that repeat an earlier row in every column.

    ``share`` is of all rows, 0 to 1. ``error`` is its standard error: 0 where all rows were
    compared, else the rows whose hash falls in one of many equal parts stand for all, and copies
    of one row are always in the same part (Gibbons, "Distinct sampling", VLDB 2001): where nothing
    is repeated, nothing is told of.
    """

    share: float
    count: int
    error: float
    exact: bool


class Correlation(Struct, frozen=True, kw_only=True, rename="camel"):
    """Two columns over the ``rows`` in which both have a value.

    ``pearson`` is -1 to 1, ``low`` and ``high`` its 95 % interval by Fisher's transformation;
    ``cramer`` is 0 to 1 and has none.
    """

    a: str
    b: str
    measure: str
    value: float
    rows: int
    low: float | None = None
    high: float | None = None


class Histogram(Struct, frozen=True, kw_only=True):
    """``counts[i]`` rows lie from ``edges[i]`` to below ``edges[i + 1]``; the last edge is in.

    Those of whole numbers are whole; those of dates and times are moments in ISO 8601.
    """

    edges: list[float | str]
    counts: list[int]


class Frequent(Struct, frozen=True, kw_only=True):
    """A value, and the share (0 to 1) of the rows that have one."""

    value: Value
    share: float


class Lengths(Struct, frozen=True, kw_only=True):
    """Characters of the texts; the histogram is of the sample where there is one."""

    minimum: int
    mean: float
    maximum: int
    histogram: Histogram | None = None


class Outliers(Struct, frozen=True, kw_only=True):
    """Tukey's rule: what lies outside of [Q1 - 1.5 IQR, Q3 + 1.5 IQR] ("Exploratory data
    analysis", 1977). ``count`` is of all rows, ``share`` of those with a value. A column whose
    quartiles are equal has no such fences and no figure.
    """

    low: float
    high: float
    count: int
    share: float


class ColumnProfile(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A column. ``deviation`` is that of a sample (n - 1); ``skewness`` is m3 / m2^1.5.

    ``distinct`` does not count null, and has the relative standard error ``distinct_error``.
    ``quantiles`` are values that occur: the least whose share of values at or below is as asked.
    Moments are ISO 8601.
    """

    name: str
    type: str
    nulls: int
    null_share: float
    distinct: int
    distinct_error: float = 0.0
    minimum: Value = None
    maximum: Value = None
    mean: float | None = None
    deviation: float | None = None
    skewness: float | None = None
    quantiles: dict[str, Value] | None = None
    histogram: Histogram | None = None
    top: list[Frequent] = []
    lengths: Lengths | None = None
    outliers: Outliers | None = None


class Profile(Struct, frozen=True, kw_only=True, rename="camel"):
    """A table. ``sample`` is None where every figure is exact.

    ``class_distribution`` holds the share of each value of ``target`` among the rows that have one;
    it is empty without a target, or with more than ``MOST_CLASSES`` values.
    """

    rows: int
    columns: list[ColumnProfile]
    duplicates: Duplicates
    correlations: list[Correlation]
    sample: Sample | None
    target: str | None
    class_distribution: dict[str, float]


class Statistics(Struct, frozen=True, kw_only=True, rename="camel"):
    """A dataset's ``statistics``, as shares from 0 to 1.

    ``null_values``: absent cells of all cells. ``duplicates``: rows that repeat an earlier one.
    ``outliers``: cells outside of their column's fences, of the numbers present in columns with
    fences.
    """

    null_values: float
    duplicates: float
    outliers: float
    class_distribution: dict[str, float]


class Issue(Struct, frozen=True, kw_only=True):
    """What lowers a figure: ``count`` cells (or rows) of a column."""

    dimension: str
    column: str
    what: str
    count: int


class Quality(Struct, frozen=True, kw_only=True, rename="camel"):
    """A dataset's ``quality``.

    ``completeness``: cells with a value / all cells.

    ``validity``: 1 - invalid cells / cells with a value. A cell is invalid that breaks a constraint
    of its column (type, range, pattern, allowed), is a word that stands for "no value", holds
    control characters or U+FFFD, or does not read as the type as which at least 95 % of its
    column's texts read. It counts once.

    ``consistency``: 1 - contradictions / judgements. Judged are: each text of a category, which
    contradicts where a more frequent one differs in case or spaces alone; each date in a column of
    texts, where most dates of the column are written in another form; each row, by each constraint
    over several columns (expression, unique).

    ``accuracy``: by ``reference``, cells equal to the reference's / cells of the rows that are in
    both. Without one by ``extremes``, which is a stand-in: 1 - share of numbers beyond Tukey's
    outer fences (3 interquartile ranges); true values may lie there and wrong ones within. None
    where there is neither.
    """

    completeness: float
    consistency: float
    accuracy: float | None
    validity: float
    accuracy_by: str | None
    issues: list[Issue]


def statistics(of: Profile) -> Statistics:
    """The four figures of a dataset."""
    cells = of.rows * len(of.columns)
    fenced = [
        (one.outliers.count, of.rows - one.nulls) for one in of.columns if one.outliers is not None
    ]
    values = sum(count for _, count in fenced)
    return Statistics(
        null_values=sum(one.nulls for one in of.columns) / cells if cells else 0.0,
        duplicates=of.duplicates.share,
        outliers=sum(count for count, _ in fenced) / values if values else 0.0,
        class_distribution=of.class_distribution,
    )
