"""Differences of versions: as sets and multisets of Python have them, in any number of parts."""

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.ml.diff import Incomparable, diff, shifts
from modelyard.ml.profile import profile

OLD = pl.LazyFrame({"id": [1, 2, 3, 4], "a": ["x", "y", None, "z"], "gone": [1, 1, 1, 1]})
NEW = pl.LazyFrame(
    {"id": [5, 4, 3, 2], "a": ["n", "z", "w", None], "b": [1, 2, 3, 4], "c": ["p"] * 4}
)


def test_rows_by_key_and_columns() -> None:
    made = diff(OLD, NEW, ["id"])
    assert (made.added, made.removed, made.changed, made.same) == (1, 1, 2, 1)
    assert made.cells == {"a": 2}
    assert made.added_samples == [{"id": 5}] and made.removed_samples == [{"id": 1}]
    assert made.changed_samples == [{"id": 2}, {"id": 3}]
    assert (made.schema.added, made.schema.removed) == (["b", "c"], ["gone"])


def test_retyped_columns_are_told_of_and_not_compared() -> None:
    other = OLD.with_columns(pl.col("gone").cast(pl.Float64))
    made = diff(OLD, other, ["id"])
    assert made.same == 4 and made.schema.retyped[0].column == "gone"
    assert (made.schema.retyped[0].old, made.schema.retyped[0].new) == ("Int64", "Float64")


def test_keys_that_are_none() -> None:
    with pytest.raises(Incomparable, match="'gone' is not in both"):
        diff(OLD, NEW, ["gone"])
    with pytest.raises(Incomparable, match="key gone is not unique"):
        diff(OLD, OLD, ["gone"])
    with pytest.raises(Incomparable, match="no column of the same name"):
        diff(OLD, pl.LazyFrame({"q": [1]}))


def test_figures_that_shift() -> None:
    before, after = (profile(pl.LazyFrame({"x": x, "y": [1, 2]})) for x in ([1, 3], [1, 5]))
    told = {(one.column, one.figure): (one.old, one.new) for one in shifts(before, after)}
    assert told["x", "mean"] == (2.0, 3.0) and told["x", "maximum"] == (3, 5)
    assert all(column == "x" for column, _ in told)


tables = st.dictionaries(
    st.integers(0, 40), st.tuples(st.none() | st.integers(0, 2), st.sampled_from("ab")), max_size=40
)


def frame(table: dict[int, tuple[int | None, str]]) -> pl.LazyFrame:
    rows = [(key, *values) for key, values in table.items()]
    schema = {"k": pl.Int64, "v": pl.Int64, "s": pl.String}
    return pl.LazyFrame(rows, schema=schema, orient="row")


@settings(max_examples=50, deadline=None)
@given(old=tables, new=tables, most=st.integers(20, 300))
def test_by_key_as_dictionaries(
    old: dict[int, tuple[int | None, str]], new: dict[int, tuple[int | None, str]], most: int
) -> None:
    made = diff(frame(old), frame(new), ["k"], most)
    both = old.keys() & new.keys()
    changed = {key for key in both if old[key] != new[key]}
    assert (made.added, made.removed) == (len(new.keys() - old), len(old.keys() - new))
    assert (made.changed, made.same) == (len(changed), len(both - changed))
    assert made.cells.get("v", 0) == sum(old[key][0] != new[key][0] for key in both)
    assert {one["k"] for one in made.changed_samples} <= changed
    assert len(made.changed_samples) == min(20, len(changed))


@settings(max_examples=50, deadline=None)
@given(
    old=st.lists(st.integers(0, 9), max_size=40),
    new=st.lists(st.integers(0, 9), max_size=40),
    most=st.integers(5, 100),
)
def test_without_a_key_as_multisets(old: list[int], new: list[int], most: int) -> None:
    left, right = (pl.LazyFrame({"x": x}, schema={"x": pl.Int64}) for x in (old, new))
    made = diff(left, right, most=most)
    before, after = Counter(old), Counter(new)
    assert made.added == (after - before).total()
    assert made.removed == (before - after).total()
    assert (made.same, made.changed) == ((before & after).total(), 0)
