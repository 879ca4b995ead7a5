"""Row groups: bounded by rows and by bytes, wherever the long rows are."""

from __future__ import annotations

import io
from itertools import accumulate
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.ml import rowgroups
from modelyard.ml.intake.sniffing import Dialect
from modelyard.ml.intake.taking import take
from modelyard.ml.rowgroups import GROUP_BYTES, MOST_CHUNKS, ROW_GROUP
from modelyard.ml.sampling import sample

WEIGHTS = st.lists(
    st.tuples(st.integers(0, 30_000), st.integers(0, 4 * GROUP_BYTES)), min_size=1, max_size=9
)


@given(found=WEIGHTS)
def test_no_group_is_much_heavier_than_its_bytes(found: list[tuple[int, int]]) -> None:
    rows = rowgroups.together(found, columns=1)
    sizes = [size / count for count, size in found for _ in range(count)]
    assert 1 <= rows <= ROW_GROUP
    if len(sizes) <= rows * MOST_CHUNKS // 2:  # the footer did not decide
        sums = [0.0, *accumulate(sizes)]
        groups = [sums[min(at + rows, len(sizes))] - sums[at] for at in range(0, len(sizes), rows)]
        assert max(groups, default=0.0) <= 2 * GROUP_BYTES + 2 * max(sizes, default=0.0)


def test_a_few_long_rows_do_not_make_many_groups_of_many_short_ones() -> None:
    short, long = [(100_000, 4_000_000)] * 50, [(4, 4_000_000)] * 20
    assert rowgroups.together(short, 5) == ROW_GROUP
    assert rowgroups.together(long, 5) <= 32
    assert rowgroups.together([*short, *long], 5) >= 5_000_000 * 5 // MOST_CHUNKS


def test_a_file_of_long_rows_is_written_in_small_groups(tmp_path: Path) -> None:
    lines = "".join(f"{at:06d}" * 170_000 + "\n" for at in range(60))  # 1 MB each
    target = tmp_path / "table.parquet"
    taken = take(io.BytesIO(lines.encode()), Dialect(format="text"), target)
    weights = rowgroups.weights(target)
    assert taken.rows == sum(count for count, _ in weights) == 60
    assert max(count for count, _ in weights) <= 24, weights
    texts = pl.read_parquet(target)["text"]
    assert [one[:6] for one in texts] == [f"{at:06d}" for at in range(60)]


@settings(max_examples=25, deadline=None)
@given(groups=st.lists(st.tuples(st.integers(1, 60_000), st.integers(1, 1000)), max_size=20))
def test_spans_are_all_rows_once(groups: list[tuple[int, int]]) -> None:
    weights = [(rows, rows * each) for rows, each in groups]
    spans = list(rowgroups.spans(weights))
    at = 0
    for first, rows in spans:
        assert first == at and 0 < rows <= ROW_GROUP
        at += rows
    assert at == sum(rows for rows, _ in groups)
    sizes = [each for rows, each in groups for _ in range(rows)]
    assert all(sum(sizes[first : first + rows]) <= GROUP_BYTES + 1000 for first, rows in spans)


def test_a_sample_of_long_rows_is_the_same_sample(tmp_path: Path) -> None:
    table = pl.DataFrame({"x": range(900), "text": [f"{at:04d}" * 2000 for at in range(900)]})
    file = tmp_path / "table.parquet"
    table.write_parquet(file, row_group_size=70)
    spans = rowgroups.of_long_rows(file)
    assert spans is not None
    frame = pl.scan_parquet(file)
    drawn = sample(frame, 900, 100, 7, spans)
    assert 50 < drawn.height < 150
    assert drawn.equals(sample(frame, 900, 100, 7))
    assert rowgroups.of_long_rows(frame) is None
