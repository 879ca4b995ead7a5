"""Profiles: every figure beside one computed another way."""

import math
import statistics as reference
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.ml import distinct
from modelyard.ml.correlation import cramer, interval, pearson
from modelyard.ml.figures import statistics
from modelyard.ml.profile import UnknownColumn, profile
from modelyard.ml.sampling import described, positions, sample

DATA = Path(__file__).parents[3] / "shared" / "data"


def skew(values: list[int]) -> float:
    """m3 / m2^1.5 in whole fractions."""
    mean = Fraction(sum(values), len(values))
    second, third = (sum((one - mean) ** k for one in values) / len(values) for k in (2, 3))
    return float(third) / float(second) ** 1.5


@settings(max_examples=80, deadline=None)
@given(st.lists(st.none() | st.integers(-1000, 1000), min_size=1, max_size=200))
def test_numbers_are_those_of_python(values: list[int | None]) -> None:
    made = profile(pl.LazyFrame({"x": values}, schema={"x": pl.Int64}))
    column = made.columns[0]
    there = sorted(one for one in values if one is not None)
    assert column.nulls == len(values) - len(there)
    assert column.distinct == len(set(there))
    if not there:
        assert column.mean is None and column.quantiles is None and column.outliers is None
        return
    assert (column.minimum, column.maximum) == (there[0], there[-1])
    assert column.mean == pytest.approx(reference.fmean(there), abs=1e-9)
    assert column.quantiles is not None and column.histogram is not None
    for name, value in column.quantiles.items():
        at_or_below = [one for one in there if one <= value]  # type: ignore[operator]
        below = [one for one in there if one < value]  # type: ignore[operator]
        assert len(below) / len(there) < float(name) <= len(at_or_below) / len(there)
    assert sum(column.histogram.counts) == len(there)
    if len(there) > 1 and len(set(there)) > 1:
        assert column.deviation == pytest.approx(reference.stdev(there))
        assert column.skewness == pytest.approx(skew(there), abs=1e-9)
    common = Counter(there).most_common(1)[0][1] / len(there)
    assert column.top[0].share == pytest.approx(common)
    low, high = column.quantiles["0.25"], column.quantiles["0.75"]
    assert isinstance(low, int) and isinstance(high, int)
    outside = [one for one in there if abs(one - (low + high) / 2) > 2 * (high - low)]
    if low == high:
        assert column.outliers is None
    else:
        assert column.outliers is not None and column.outliers.count == len(outside)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None])), max_size=60))
def test_repeated_rows_are_counted(rows: list[tuple[int, str | None]]) -> None:
    table = pl.DataFrame(rows, schema={"n": pl.Int64, "s": pl.String}, orient="row")
    found = profile(table.lazy()).duplicates
    assert found.exact and found.error == 0 and found.count == len(rows) - len(set(rows))


def test_absent_numbers_texts_and_moments() -> None:
    table = pl.DataFrame(
        {
            "f": [1.0, math.nan, math.inf, None],
            "s": ["", "ä", "xyz", None],
            "d": pl.Series(["2024-01-03", "2024-01-01", None, "2024-01-02"]).str.to_date(),
            "l": [[1], [2], None, [1]],
            "b": [True, False, True, None],
        }
    )
    made = {one.name: one for one in profile(table.lazy()).columns}
    assert made["f"].nulls == 3 and made["f"].mean == 1 and made["f"].deviation is None
    assert made["s"].lengths is not None
    assert (made["s"].lengths.minimum, made["s"].lengths.maximum) == (0, 3)
    assert made["s"].lengths.mean == pytest.approx(4 / 3)
    assert made["d"].minimum == "2024-01-01" and made["d"].quantiles is not None
    assert made["d"].quantiles["0.5"] == "2024-01-02"
    assert (made["l"].type, made["l"].distinct) == ("other", 2)
    assert made["b"].top[0].value is True


def test_statistics_are_shares() -> None:
    table = pl.DataFrame(
        {
            "n": [1, 2, 3, 4, 5, 6, 7, 1000, None, 1],
            "y": ["a", "a", "a", "b", "b", "a", "b", "a", None, "a"],
        }
    )
    found = statistics(profile(table.lazy(), target="y"))
    assert found.null_values == 2 / 20
    assert found.duplicates == 1 / 10
    assert found.outliers == 1 / 9
    assert found.class_distribution == {"a": 6 / 9, "b": 3 / 9}
    with pytest.raises(UnknownColumn, match="no column 'z'; the columns are n, y"):
        profile(table.lazy(), target="z")


def test_names_that_are_patterns_to_polars() -> None:
    table = pl.DataFrame({"*": [1, 1], "^.*$": ["a", None], "b c": [2.5, 2.5]})
    made = profile(table.lazy(), target="^.*$")
    assert [(one.name, one.nulls) for one in made.columns] == [("*", 0), ("^.*$", 1), ("b c", 0)]
    assert made.class_distribution == {"a": 1.0}


def test_no_rows_and_no_columns() -> None:
    empty = profile(pl.LazyFrame({"a": []}, schema={"a": pl.Int64}))
    assert empty.rows == 0 and empty.sample is None
    assert statistics(empty).null_values == 0
    assert profile(pl.LazyFrame()).columns == []


def test_pearson_with_absent_values_is_that_of_the_rows_with_both() -> None:
    random = np.random.default_rng(3)
    a = random.normal(size=500) + 1e6
    b = a * 0.5 + random.normal(size=500)
    b[::7] = np.nan
    table = pl.DataFrame({"a": a, "b": b, "constant": np.ones(500)}).with_columns(
        pl.col("b").fill_nan(None)
    )
    (found,) = pearson(table, ["a", "b", "constant"])
    both = ~np.isnan(b)
    assert found.value == pytest.approx(np.corrcoef(a[both], b[both])[0, 1], rel=1e-9)
    assert found.rows == both.sum()
    # z = 0.5493 ± 1.96 / 5 for r = 0.5 and 28 rows.
    assert interval(0.5, 28) == pytest.approx((0.15603, 0.73582), abs=1e-4)


def test_cramer_of_equal_and_of_independent_columns() -> None:
    random = np.random.default_rng(4)
    a = random.integers(0, 4, 4000)
    table = pl.DataFrame({"a": a, "same": a * 2, "other": random.integers(0, 3, 4000)}).cast(
        pl.String
    )
    found = {(one.a, one.b): one.value for one in cramer(table, ["a", "same", "other"])}
    assert found["a", "same"] == pytest.approx(1.0)
    assert found["a", "other"] < 0.06  # chi² of 35 at 6 degrees: 4e-6
    # Expected counts: 3 × 3/8, 3 × 5/8; 3 × 3/8, 3 × 5/8; 2 × 3/8, 2 × 5/8.
    small = pl.DataFrame({"a": list("xxxyyyzz"), "b": list("ppqqqqpq")})
    cells = [(2, 9 / 8), (1, 15 / 8), (0, 9 / 8), (3, 15 / 8), (1, 6 / 8), (1, 10 / 8)]
    chi = sum((seen - wanted) ** 2 / wanted for seen, wanted in cells)
    phi = max(0.0, chi / 8 - 2 / 7)
    wanted = math.sqrt(phi / min(3 - 4 / 7 - 1, 2 - 1 / 7 - 1))
    (one,) = cramer(small, ["a", "b"])
    assert one.value == pytest.approx(wanted)


def test_a_large_table_is_sampled_within_its_bound() -> None:
    random = np.random.default_rng(5)
    values = random.lognormal(size=60_000)
    made = profile(pl.LazyFrame({"x": values, "k": np.arange(60_000) % 7}), whole=5_000)
    assert made.sample is not None and 4_700 < made.sample.rows < 5_300
    assert made.sample.bound == pytest.approx(math.sqrt(math.log(200) / 2 / made.sample.rows))
    column, key = made.columns
    assert column.quantiles is not None
    for name, value in column.quantiles.items():
        assert abs((values <= value).mean() - float(name)) <= made.sample.bound
    assert column.mean == pytest.approx(values.mean())  # of all rows
    assert column.skewness == pytest.approx(
        ((values - values.mean()) ** 3).mean() / values.std() ** 3
    )
    assert abs(column.distinct / 60_000 - 1) < 4 * column.distinct_error
    assert key.distinct == 7


@pytest.mark.parametrize("number", [1, 100, 20_000, 300_000])
def test_distinct_values_within_their_error(number: int) -> None:
    values = pl.LazyFrame({"x": np.arange(number).repeat(2)}).select(pl.col("x").cast(pl.String))
    assert abs(distinct.estimated(values, "x") / number - 1) < 4 * distinct.ERROR


def test_duplicates_of_many_rows_are_estimated_from_whole_groups() -> None:
    none = pl.LazyFrame({"x": np.arange(100_000)})
    found = distinct.duplicates(none, 100_000, most=5_000)
    assert (found.share, found.exact, found.error) == (0.0, False, 0.0)
    some = pl.LazyFrame({"x": np.concatenate([np.arange(80_000), np.arange(20_000)])})
    found = distinct.duplicates(some, 100_000, most=5_000)
    assert 0 < found.error < 0.01 and abs(found.share - 0.2) < 4 * found.error


@given(rows=st.integers(1, 5000), wanted=st.integers(1, 5000), seed=st.integers(0, 99))
def test_positions_are_distinct_ascending_and_the_same_again(
    rows: int, wanted: int, seed: int
) -> None:
    found = positions(rows, wanted, seed).collect()["position"].to_list()
    assert found == sorted(set(found)) and all(0 <= one < rows for one in found)
    assert found == positions(rows, wanted, seed).collect()["position"].to_list()
    if wanted >= rows:
        assert len(found) == rows


def test_a_sample_keeps_order_and_hits_every_part() -> None:
    rows = (1 << 20) + 5_000
    drawn = sample(pl.LazyFrame({"x": np.arange(rows)}), rows, 50_000, 1)["x"]
    assert drawn.is_sorted() and abs(len(drawn) - 50_000) < 5 * math.sqrt(50_000)
    assert drawn.max() > 1 << 20  # type: ignore[operator]
    assert described(len(drawn), rows).bound < 0.0075


@pytest.mark.skipif(not DATA.exists(), reason="the real files are not beside the project")
def test_churn() -> None:
    table = pl.read_csv(DATA / "churn.csv")
    made = profile(table.lazy(), target="Exited" if "Exited" in table.columns else None)
    assert made.rows == 10_000 and made.duplicates.count == 0
    assert sum(made.class_distribution.values()) == pytest.approx(1.0)


def test_bins_of_whole_numbers_hold_as_many_of_them() -> None:
    made = profile(pl.LazyFrame({"few": list(range(11)) * 5, "many": range(55)}))
    few, many = (one.histogram for one in made.columns)
    assert few is not None and few.counts == [5] * 11 and few.edges[:3] == [0, 1, 2]
    assert many is not None and many.counts == [3] * 18 + [1] and many.edges[-1] == 57


def test_moments_and_lengths_have_histograms() -> None:
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 21), eager=True)
    long_ago = pl.Series([-(2**60), 0, 2**60] * 7).cast(pl.Datetime("us"))
    texts = ["x" * (at % 3) for at in range(21)]
    made = profile(pl.DataFrame({"day": days, "long": long_ago, "text": texts}).lazy())
    day, long, text = made.columns
    assert day.histogram is not None and sum(day.histogram.counts) == 21
    assert day.histogram.edges[0] == "2024-01-01T00:00:00"
    assert (long.nulls, long.minimum) == (14, "1970-01-01T00:00:00"), "no year of Python's clock"
    assert text.lengths is not None and text.lengths.histogram is not None
    assert text.lengths.histogram.counts == [7, 7, 7]
