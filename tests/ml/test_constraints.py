"""Constraints: rows that break them are found by number, all of them counted."""

import datetime
from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.ml import unique
from modelyard.ml.constraints import (
    Allowed,
    Constraint,
    Expression,
    NotNull,
    Pattern,
    Range,
    TypeOf,
    Unique,
    Unusable,
    validate,
)

TABLE = pl.LazyFrame(
    {
        "id": [1, 2, 2, None, 1],
        "age": [30.0, -1.0, 130.0, None, 40.5],
        "email": ["a@b.de", "no", None, "c@d.org ", "x@y.z"],
        "when": ["2024-01-01", "2024-02-30", "soon", None, "2024-12-31"],
        "day": pl.Series([datetime.date(2024, 1, day) for day in (1, 2, 3, 4, 5)]),
        "at": pl.Series([datetime.datetime(2024, 1, day, 12) for day in (1, 2, 3, 4, 5)]),
        "on": [True, False, None, True, True],
        "low": [1, 2, 3, 4, 5],
        "high": [2, 1, None, 4, 6],
    }
)


def broken(*constraints: Constraint) -> list[list[int]]:
    made = validate(TABLE, constraints)
    for one in made.verdicts:
        assert one.broken == len(one.samples)
        right = one.checked - one.broken
        assert one.share == (right / one.checked if one.checked else 1)
    return [[row.row for row in one.samples] for one in made.verdicts]


@pytest.mark.parametrize(
    "constraint, rows",
    [
        (Range(column="age", minimum=0, maximum=120), [2, 3]),
        (Range(column="day", minimum="2024-01-02", maximum="2024-01-04"), [1, 5]),
        (Range(column="at", maximum="2024-01-04T12:00:00Z"), [5]),
        (Pattern(column="email", pattern=r"\S+@\S+"), [2, 4]),
        (Pattern(column="email", pattern="no|a@b.de"), [4, 5]),
        (Allowed(column="id", values=[1, 3]), [2, 3]),
        (Allowed(column="on", values=[True]), [2]),
        (Allowed(column="email", values=[]), [1, 2, 4, 5]),
        (Allowed(column="day", values=["2024-01-01", "2024-01-05"]), [2, 3, 4]),
        (Unique(columns=["id"]), [3, 5]),
        (Unique(columns=["id", "low"]), []),
        (NotNull(column="age"), [4]),
        (TypeOf(column="age", type="integer"), [5]),
        (TypeOf(column="id", type="number"), []),
        (TypeOf(column="when", type="date"), [2, 3]),
        (TypeOf(column="on", type="date"), [1, 2, 4, 5]),
        (Expression(expression="low <= high"), [2]),
        (Expression(expression="high is not null"), [3]),
    ],
)
def test_broken_rows(constraint: Constraint, rows: list[int]) -> None:
    assert broken(constraint) == [rows]


def test_what_is_told_of_a_row_and_a_threshold() -> None:
    text = """[
      {"check": "range", "column": "age", "minimum": 0, "threshold": 0.75},
      {"check": "expression", "expression": "low < high", "threshold": 0.75},
      {"check": "not_null", "column": "age"}
    ]"""
    constraints = msgspec.json.decode(text, type=list[Constraint])
    made = validate(TABLE, constraints)
    first, second, third = made.verdicts
    assert (first.checked, first.broken, first.share, first.passed) == (4, 1, 0.75, True)
    assert (second.checked, second.broken, second.passed) == (4, 2, False)
    assert second.samples[0].values == {"low": 2, "high": 1}
    assert (third.checked, third.share) == (5, 0.8)
    assert not made.passed and made.rows == 5


@pytest.mark.parametrize(
    "constraint, why",
    [
        (Range(column="agee", minimum=0), "constraint 1 .range.: there is no column 'agee'"),
        (Range(column="age"), "a minimum, a maximum or both"),
        (Range(column="email", minimum=1), "type string has no range"),
        (Range(column="age", minimum="2024-01-01"), "is not a number"),
        (Range(column="day", minimum="today"), "'today' is no date"),
        (Pattern(column="email", pattern="("), "no regular expression"),
        (Pattern(column="age", pattern="1"), "no column of texts"),
        (Allowed(column="age", values=["x"]), "'x' is no value of the type number"),
        (Allowed(column="id", values=[True]), "True is no value"),
        (Unique(columns=[]), "at least one"),
        (NotNull(column="age", threshold=1.5), "threshold is between 0 and 1"),
        (Expression(expression="low +"), "a value is expected"),
        (Expression(expression="true"), "reads no column"),
        (Expression(expression="low + 1"), "type integer"),
    ],
)
def test_what_cannot_be_applied(constraint: Constraint, why: str) -> None:
    with pytest.raises(Unusable, match=why):
        validate(TABLE, [constraint])


@pytest.mark.parametrize("right", range(11))
def test_a_share_equal_to_the_threshold_passes(right: int) -> None:
    table = pl.LazyFrame({"x": [1] * right + [0] * (10 - right)})
    made = validate(table, [Range(column="x", minimum=1, threshold=right / 10)])
    assert made.passed


def test_the_first_rows_are_told_of_and_all_counted() -> None:
    table = pl.LazyFrame({"x": np.arange(10_000) % 10})
    made = validate(table, [Range(column="x", minimum=1), Unique(columns=["x"])], samples=3)
    assert [row.row for row in made.verdicts[0].samples] == [1, 11, 21]
    assert [row.row for row in made.verdicts[1].samples] == [11, 12, 13]
    assert [one.broken for one in made.verdicts] == [1000, 9990]


def repeats(values: Sequence[int | None]) -> list[int]:
    seen: set[int] = set()
    found = []
    for at, one in enumerate(values):
        if one is not None and one in seen:
            found.append(at)
        elif one is not None:
            seen.add(one)
    return found


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.none() | st.integers(0, 30), min_size=1, max_size=80),
    most=st.integers(1, 100),
    samples=st.integers(0, 10),
)
def test_repeats_are_the_same_in_any_number_of_parts(
    values: list[int | None], most: int, samples: int
) -> None:
    frame = pl.LazyFrame({"x": values}, schema={"x": pl.Int64})
    checked, count, first = unique.repeated(frame, ["x"], len(values), samples, most)
    wanted = repeats(values)
    assert (checked, count) == (len(values) - values.count(None), len(wanted))
    assert first == wanted[:samples]


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.none() | st.integers(-5, 5), max_size=40), low=st.integers(-5, 5))
def test_a_range_is_that_of_python(values: list[int | None], low: int) -> None:
    frame = pl.LazyFrame({"x": values}, schema={"x": pl.Int64})
    (made,) = validate(frame, [Range(column="x", minimum=low)]).verdicts
    wanted = [at for at, one in enumerate(values, 1) if one is not None and one < low]
    assert [row.row for row in made.samples] == wanted
