"""Recipes: each step beside the same done by hand; what is learnt is applied to other rows."""

import datetime
import statistics
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.ml import chance, recipe
from modelyard.ml.recipe import BadStep, applied, checked, preview, written
from modelyard.ml.steps import Deduplicate, Draw, Scale, Step

TABLE = pl.LazyFrame(
    {
        "n": [1, 2, None, 4],
        "x": [1.0, 3.0, None, 5.0],
        "s": ["a", "b", "a", None],
        "t": ["1", "2.5", " 3", "x"],
        "d": pl.Series([datetime.date(2024, 1, day) for day in (1, 2, 3, 4)]),
    }
)
OTHER = pl.LazyFrame({"s": ["a", "b"], "n": [10, 20], "name": ["A", "B"]})


def steps(*found: dict[str, Any]) -> list[Step]:
    return msgspec.json.decode(msgspec.json.encode(found), type=list[Step])


def made(*found: dict[str, Any]) -> pl.DataFrame:
    return applied(TABLE, steps(*found), {"other": OTHER}).table.collect(engine="streaming")


@pytest.mark.parametrize(
    "step, column, wanted",
    [
        ({"step": "filter", "expression": "n > 1"}, "n", [2, 4]),
        ({"step": "rename", "columns": {"n": "m"}}, "m", [1, 2, None, 4]),
        ({"step": "rename", "columns": {"n": "x", "x": "n"}}, "x", [1, 2, None, 4]),
        ({"step": "drop", "columns": ["x"]}, "n", [1, 2, None, 4]),
        ({"step": "select", "columns": ["s", "n"]}, "n", [1, 2, None, 4]),
        ({"step": "cast", "column": "n", "type": "string"}, "n", ["1", "2", None, "4"]),
        ({"step": "cast", "column": "x", "type": "integer"}, "x", [1, 3, None, 5]),
        (
            {"step": "cast", "column": "t", "type": "number", "lenient": True},
            "t",
            [1.0, 2.5, 3.0, None],
        ),
        ({"step": "fill", "column": "s", "value": "z"}, "s", ["a", "b", "a", "z"]),
        ({"step": "fill", "column": "s", "by": "mode"}, "s", ["a", "b", "a", "a"]),
        ({"step": "fill", "column": "x", "by": "mean"}, "x", [1, 3, 3, 5]),
        ({"step": "fill", "column": "n", "by": "median"}, "n", [1, 2, 2, 4]),
        ({"step": "fill", "column": "n", "by": "mean"}, "n", [1, 2, pytest.approx(7 / 3), 4]),
        ({"step": "encode", "column": "s"}, "s_a", [1, 0, 1, 0]),
        ({"step": "encode", "column": "s", "by": "ordinal"}, "s", [0, 1, 0, None]),
        (
            {"step": "encode", "column": "s", "by": "ordinal", "values": ["b"]},
            "s",
            [None, 0, None, None],
        ),
        ({"step": "scale", "columns": ["x"], "by": "min_max"}, "x", [0, 0.5, None, 1]),
        ({"step": "deduplicate", "columns": ["s"]}, "n", [1, 2, 4]),
        ({"step": "join", "table": "other", "on": ["s"]}, "name", ["A", "B", "A"]),
        ({"step": "join", "table": "other", "on": ["s"]}, "n_right", [10, 20, 10]),
        (
            {"step": "join", "table": "other", "on": ["s"], "how": "left"},
            "name",
            ["A", "B", "A", None],
        ),
        ({"step": "derive", "column": "y", "expression": "n * 2 + x"}, "y", [3, 7, None, 13]),
        ({"step": "derive", "column": "n", "expression": "day(d)"}, "n", [1, 2, 3, 4]),
    ],
)
def test_a_step(step: dict[str, Any], column: str, wanted: list[Any]) -> None:
    assert made(step)[column].to_list() == wanted


@pytest.mark.parametrize(
    "step, why",
    [
        ({"step": "select", "columns": ["q"]}, "no column 'q'; there are n, x, s, t, d"),
        ({"step": "drop", "columns": ["n", "x", "s", "t", "d"]}, "no column is left"),
        ({"step": "filter", "expression": "n +"}, "a value is expected"),
        ({"step": "filter", "expression": "n"}, "a condition is true or false"),
        ({"step": "rename", "columns": {"n": "x"}}, "'x' would be empty or there twice"),
        ({"step": "cast", "column": "t", "type": "number"}, "'t', row 4: 'x' is no number"),
        ({"step": "cast", "column": "d", "type": "integer"}, "date does not become integer"),
        ({"step": "fill", "column": "n", "value": "x"}, "'n' is integer; 'x' is none"),
        ({"step": "fill", "column": "s", "by": "mean"}, "'s' is string, not integer or number"),
        ({"step": "encode", "column": "x"}, "'x' is number"),
        ({"step": "scale", "columns": ["s"]}, "'s' is string"),
        ({"step": "join", "table": "nowhere", "on": ["s"]}, "no table 'nowhere'; given: other"),
        ({"step": "join", "table": "other", "on": ["d"]}, "no column 'd'"),
        ({"step": "derive", "column": "y", "expression": "q"}, "column 'y': character 1"),
        ({"step": "derive", "column": "y", "expression": "scan_csv('x')"}, "no function"),
    ],
)
def test_errors_name_the_step_and_the_column(step: dict[str, Any], why: str) -> None:
    asked = ({"step": "filter", "expression": "day(d) > 0"}, step)
    with pytest.raises(BadStep, match=f"step 2 .{step['step']}.: .*{why}") as bad:
        made(*asked)
    assert (bad.value.at, bad.value.field in step or bad.value.field == "on") == (1, True)
    if "row 4" in why:
        return
    nothing = {"other": OTHER.clear()}
    with pytest.raises(BadStep, match=f"step 2 .{step['step']}.: .*{why}"):
        checked(TABLE.clear(), steps(*asked), nothing)


def test_types_tell_what_a_recipe_makes() -> None:
    asked = (
        {"step": "fill", "column": "n", "by": "mean"},
        {"step": "fill", "column": "d", "by": "mode"},
        {"step": "scale", "columns": ["x"]},
        {"step": "encode", "column": "s", "by": "ordinal"},
        {"step": "cast", "column": "t", "type": "number"},
        {"step": "deduplicate"},
        {"step": "derive", "column": "late", "expression": "d > '2024-01-02'"},
        {"step": "join", "table": "other", "on": ["n"], "how": "left"},
    )
    empty, other = TABLE.clear(), OTHER.clear().cast({"n": pl.Float64})
    assert checked(empty, steps(*asked), {"other": other}) == {
        "n": "number",
        "x": "number",
        "s": "integer",
        "t": "number",
        "d": "date",
        "late": "boolean",
        "s_right": "string",
        "name": "string",
    }
    unknown = ({"step": "encode", "column": "s"}, {"step": "drop", "columns": ["s_a"]})
    assert checked(empty, steps(*unknown)) is None, "only the rows tell which columns come of it"
    given = {"step": "encode", "column": "s", "values": ["a"]}
    assert checked(empty, steps(given, unknown[1])) == {
        "n": "integer",
        "x": "number",
        "t": "string",
        "d": "date",
    }


def test_keys_of_other_widths_are_joined() -> None:
    narrow = pl.LazyFrame({"n": [4, 2, 4], "k": ["x", "y", "z"]}, schema_overrides={"n": pl.Int8})
    found = applied(TABLE, steps({"step": "join", "table": "o", "on": ["n"]}), {"o": narrow})
    assert found.table.collect(engine="streaming")["k"].to_list() == ["y", "x", "z"]


@pytest.mark.parametrize(
    "step",
    [
        {"step": "sample", "share": 0},
        {"step": "sample", "share": 1.5},
        {"step": "cast", "column": "n", "type": "number", "lenien": True},
        {"step": "scan", "column": "n"},
        {"step": "derive", "column": "", "expression": "n"},
        {"step": "filter", "expression": "n" * 4001},
    ],
    ids=["none", "more", "field", "step", "name", "long"],
)
def test_what_is_no_step(step: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        steps(step)


def test_what_is_learnt_is_recorded_and_applied_to_other_rows() -> None:
    asked = steps(
        {"step": "fill", "column": "x", "by": "mean"},
        {"step": "scale", "columns": ["x"]},
        {"step": "encode", "column": "s"},
    )
    first = applied(TABLE, asked)
    assert first.learnt == [
        {"value": 3.0},
        {"x": {"minus": 3.0, "over": pytest.approx(statistics.pstdev([1, 3, 3, 5]))}},
        {"values": ["a", "b"]},
    ]
    recorded = msgspec.json.decode(msgspec.json.encode(first.learnt))
    rows = pl.LazyFrame({"x": [3.0, None], "s": ["c", "b"]})
    again = applied(rows, asked, learnt=recorded).table.collect()
    assert again.rows() == [(0.0, 0, 0), (0.0, 0, 1)]
    with pytest.raises(ValueError, match="1 recorded steps"):
        applied(rows, asked, learnt=[{}])


def test_a_preview_learns_of_its_rows_alone() -> None:
    rows = pl.LazyFrame({"x": range(5000)})
    found = preview(rows, steps({"step": "scale", "columns": ["x"], "by": "min_max"}), rows=101)
    assert found.sampled == 101 and len(found.rows) == 20
    assert found.columns == {"x": "number"} and found.rows[1] == {"x": 0.01}


def test_a_recipe_is_written(tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    TABLE.collect().write_parquet(source)
    fitted = applied(source, steps({"step": "filter", "expression": "s is not null"}))
    assert written(fitted, tmp_path / "out.parquet", source) == 3
    assert pl.read_parquet(tmp_path / "out.parquet")["n"].to_list() == [1, 2, None]


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=60))
def test_the_first_of_equal_rows_stays_in_its_place(values: list[int | None]) -> None:
    frame = pl.LazyFrame({"x": values}, schema={"x": pl.Int64})
    for most in (recipe.MOST_HASHES, 7):  # at once, and in parts
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(recipe, "MOST_HASHES", most)
            table = applied(frame, [Deduplicate()]).table.collect(engine="streaming")
        assert table["x"].to_list() == list(dict.fromkeys(values))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**63), share=st.floats(0.01, 1.0), rows=st.integers(1, 500))
def test_a_sample_is_that_of_the_positions(seed: int, share: float, rows: int) -> None:
    found = applied(pl.LazyFrame({"x": range(rows)}), [Draw(share=share, seed=seed)])
    numbers = chance.of_positions(rows, seed, "recipe").tolist()
    wanted = [at for at, one in enumerate(numbers) if one < min(int(share * 2**64), 2**64 - 1)]
    assert found.table.collect(engine="streaming")["x"].to_list() == wanted


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_what_is_scaled_has_mean_zero_and_deviation_one(values: list[float]) -> None:
    frame = pl.LazyFrame({"x": values})
    table = applied(frame, [Scale(columns=["x"])]).table.collect()
    if max(values) - min(values) > 1e-3:
        assert table["x"].mean() == pytest.approx(0, abs=1e-6)
        assert table["x"].std(ddof=0) == pytest.approx(1)
