"""Quality: each figure of a table whose mistakes were put there one by one."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.ml.constraints import Expression, Range, Unique
from modelyard.ml.figures import Quality
from modelyard.ml.profile import profile
from modelyard.ml.quality import Reference, quality


def of(table: pl.DataFrame, *constraints: object, reference: Reference | None = None) -> Quality:
    frame = table.lazy()
    return quality(frame, profile(frame), constraints, reference)  # type: ignore[arg-type]


def told(made: Quality, dimension: str) -> dict[tuple[str, str], int]:
    return {(one.column, one.what): one.count for one in made.issues if one.dimension == dimension}


def test_a_table_without_mistakes() -> None:
    made = of(pl.DataFrame({"n": range(100), "s": ["a", "b"] * 50}))
    assert made == Quality(
        completeness=1, consistency=1, accuracy=1, validity=1, accuracy_by="extremes", issues=[]
    )


def test_no_rows() -> None:
    made = of(pl.DataFrame({"n": []}, schema={"n": pl.Int64}))
    assert (made.completeness, made.validity, made.consistency, made.accuracy) == (1, 1, 1, None)


def test_completeness_is_the_share_of_cells_with_a_value() -> None:
    made = of(pl.DataFrame({"a": [1, None, 3, 4], "b": ["x", None, None, "x"]}))
    assert made.completeness == 5 / 8
    assert told(made, "completeness") == {("a", "no value"): 1, ("b", "no value"): 2}


def test_validity_counts_a_cell_once() -> None:
    numbers = [str(n) for n in range(97)] + ["n/a", "12 apples", "\x01"]
    table = pl.DataFrame({"s": numbers, "age": [-1, 200, *range(98)]})
    made = of(table, Range(column="age", minimum=0, maximum=120))
    assert made.validity == pytest.approx(1 - (3 + 2) / 200)
    assert told(made, "validity") == {
        ("s", "stands for no value"): 1,
        ("s", "control characters"): 1,
        ("s", "does not read as integer"): 3,
        ("age", "breaks the constraint range"): 2,
    }


def test_none_may_be_a_category() -> None:
    made = of(pl.DataFrame({"debtors": ["none"] * 90 + ["guarantor"] * 10}))
    assert (made.validity, made.completeness) == (1, 1)


def test_consistency_of_spellings_dates_and_rows() -> None:
    table = pl.DataFrame(
        {
            "city": ["Berlin"] * 6 + ["berlin", " Berlin", "BERLIN"] + ["Bern"],
            "day": [f"2024-01-0{n}" for n in range(1, 9)] + ["9.1.2024", "soon"],
            "low": [1] * 10,
            "high": [2] * 8 + [0, None],
        }
    )
    made = of(table, Expression(expression="low < high"), Unique(columns=["day"]))
    # 10 spellings, 9 dates, 9 rows with both bounds, 10 keys.
    assert made.consistency == pytest.approx(1 - (3 + 1 + 1 + 0) / (10 + 9 + 9 + 10))
    assert sum(told(made, "consistency").values()) == 5


def test_accuracy_without_a_reference_is_a_stand_in() -> None:
    table = pl.DataFrame({"n": [*range(100), 100_000], "s": ["x"] * 101})
    made = of(table)
    assert (made.accuracy_by, made.accuracy) == ("extremes", pytest.approx(1 - 1 / 101))
    assert of(pl.DataFrame({"s": ["x", "y"]})).accuracy is None


def test_accuracy_against_a_reference() -> None:
    data = pl.DataFrame({"id": [1, 2, 3, 4], "a": [1, 2, 9, None], "b": ["x", "y", "z", None]})
    right = pl.DataFrame({"id": [4, 3, 2, 7], "a": [4, 3, 2, 7], "b": [None, "z", "y", "q"]})
    made = of(data, reference=Reference(right.lazy(), ["id"]))
    assert (made.accuracy_by, made.accuracy) == ("reference", pytest.approx(1 - 2 / 6))
    with pytest.raises(ValueError, match="key column 'b2'"):
        of(data, reference=Reference(right.lazy(), ["b2"]))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(), st.none() | st.sampled_from(["a", "A", " a", "-", "2"])
        ),
        max_size=50,
    )
)
def test_figures_are_shares(rows: list[tuple[int | None, str | None]]) -> None:
    small = [(None if n is None else n % 1000, s) for n, s in rows]
    made = of(pl.DataFrame(small, schema={"n": pl.Int64, "s": pl.String}, orient="row"))
    every = [made.completeness, made.consistency, made.validity, made.accuracy or 0.0]
    assert all(0 <= one <= 1 for one in every)
    cells = [cell for row in rows for cell in row]
    if cells:
        assert made.completeness == pytest.approx(1 - cells.count(None) / len(cells))
