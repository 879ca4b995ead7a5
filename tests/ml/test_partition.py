"""Splits: exact, disjoint, reproducible, and never through a group or a moment."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.ml import chance, partition
from modelyard.ml.partition import (
    Unsplittable,
    at_random,
    by_time,
    coded,
    counts,
    grouped,
    stratified,
)

USUAL = {"train": 0.7, "validation": 0.15, "test": 0.15}
shares = st.lists(st.integers(1, 20), min_size=2, max_size=6).map(
    lambda found: {str(at): one / sum(found) for at, one in enumerate(found)}
)


def test_the_numbers_are_those_of_splitmix64() -> None:
    # Vigna's splitmix64.c, seeded with 1234567: the first outputs.
    begin = np.uint64(1234567)
    steps = np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert chance.mix(steps + begin).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_the_same_seed_gives_the_same_split_everywhere() -> None:
    parts = at_random(10_000, USUAL, seed=42)
    assert hashlib.sha256(parts.tobytes()).hexdigest()[:16] == "3b0d1f24a98a3f1e"
    groups = [f"customer {number % 777}" for number in range(10_000)]
    parts = grouped(groups, USUAL, seed=42)
    assert hashlib.sha256(parts.tobytes()).hexdigest()[:16] == "9c7938cb1f5f9c13"
    assert (at_random(10_000, USUAL, seed=43) != at_random(10_000, USUAL, seed=42)).any()


def digest(parts: partition.Parts) -> str:
    return hashlib.sha256(parts.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("block", [partition._BLOCK, 3001, 1000], ids=str)
def test_blocks_and_large_classes_change_nothing(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "_BLOCK", block)
    few = [("a", "b", None, "c")[(n * n + n // 7) % 4] for n in range(10_000)]
    assert digest(stratified(*coded(few), USUAL, seed=42)) == "f4579ca004b0258a"
    many = [n * 7919 % 1999 for n in range(100_000)]
    thirds = {"a": 0.5, "b": 0.3, "c": 0.2}
    assert digest(stratified(*coded(many), thirds, seed=7)) == "e9748cfeee4fc456"
    assert digest(at_random(10_000, USUAL, seed=42)) == "3b0d1f24a98a3f1e"


def test_a_class_of_millions() -> None:
    codes = np.array([n % 3 == 0 for n in range(3_000_000)], dtype=np.uint8)
    assert digest(stratified(codes, [False, True], USUAL, seed=1)) == "6968a77c98e5d1da"


def test_numbers_of_a_position_do_not_depend_on_what_is_asked_with_it() -> None:
    whole = chance.of_positions(100, 7)
    assert (chance.of_positions(40, 7, first=60) == whole[60:]).all()
    assert (chance.at_positions(np.array([70, 3]), 7) == whole[[70, 3]]).all()


@given(rows=st.integers(6, 3000), fractions=shares, seed=st.integers(0, 2**63))
def test_a_random_split_has_exact_sizes(rows: int, fractions: dict[str, float], seed: int) -> None:
    parts = at_random(rows, fractions, seed)
    sizes = counts(rows, list(fractions.values()))
    assert sum(sizes) == rows
    for size, one in zip(sizes, fractions.values(), strict=True):
        assert abs(size - rows * one) < 1
    assert [int((parts == at).sum()) for at in range(len(sizes))] == sizes


@given(
    classes=st.lists(st.sampled_from(["a", "b", None]), min_size=3, max_size=300),
    seed=st.integers(0, 1000),
)
def test_each_class_is_divided_as_the_whole(classes: list[str | None], seed: int) -> None:
    if min(Counter(classes).values()) < 3:
        with pytest.raises(Unsplittable, match="too few"):
            stratified(*coded(classes), USUAL, seed)
        return
    parts = stratified(*coded(classes), USUAL, seed)
    for name, size in Counter(classes).items():
        mine = [part for part, one in zip(parts, classes, strict=True) if one == name]
        assert [mine.count(at) for at in range(3)] == counts(size, list(USUAL.values()))


@given(
    groups=st.lists(st.integers(0, 30), min_size=3, max_size=400).filter(lambda g: len(set(g)) > 2),
    seed=st.integers(0, 1000),
)
def test_no_group_is_in_two_parts_and_none_is_empty(groups: list[int], seed: int) -> None:
    parts = grouped(groups, USUAL, seed)
    assert len(set(zip(groups, parts.tolist(), strict=True))) == len(set(groups))
    assert set(parts.tolist()) == {0, 1, 2}
    largest = max(Counter(groups).values())
    for at, one in enumerate(USUAL.values()):
        assert int((parts == at).sum()) <= one * len(groups) + largest


@given(times=st.lists(st.integers(0, 50), min_size=3, max_size=300))
def test_time_goes_one_way(times: list[int]) -> None:
    moments = np.array(times, dtype="datetime64[s]")
    try:
        parts = by_time(moments, USUAL)
    except Unsplittable:
        return
    for at in range(2):
        assert moments[parts == at].max() < moments[parts == at + 1].min()


def test_by_time_of_distinct_moments_has_exact_sizes() -> None:
    times = np.random.default_rng(1).permutation(1000).astype("float64")
    parts = by_time(times, USUAL)
    assert np.bincount(parts).tolist() == [700, 150, 150]
    times[3] = np.nan
    with pytest.raises(Unsplittable, match="1 rows have no time"):
        by_time(times, USUAL)


@pytest.mark.parametrize(
    "fractions, why",
    [
        ({"all": 1.0}, "2 to 32 parts"),
        ({"a": 0.5, "b": 0.6}, "add up to 1.1"),
        ({"a": 0.0, "b": 1.0}, "between 0 and 1"),
    ],
)
def test_what_is_no_split(fractions: dict[str, float], why: str) -> None:
    with pytest.raises(Unsplittable, match=why):
        at_random(100, fractions, 1)
    with pytest.raises(Unsplittable, match="too few"):
        at_random(2, USUAL, 1)
