"""Texts of different parts that are nearly the same: what is found of them, and what is not."""

import csv
import itertools
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.warehouse import real
from modelyard.catalog.datasets.leaking import Spread, Texts, equal
from modelyard.ml import shingles

WORDS = ("parcel", "late", "again", "nobody", "called", "office", "friday", "refund", "blue")


def made(count: int) -> list[str]:
    """Texts that have little in common."""
    chance = random.Random(5)
    return [
        " ".join(f"{chance.choice(WORDS)}{chance.randrange(1000)}" for _ in range(20))
        for _ in range(count)
    ]


def edited(text: str, chance: random.Random) -> str:
    """The same text with a word changed, another left out, and other punctuation."""
    words = text.split(" ")
    words[chance.randrange(len(words))] = "otherwise"
    del words[chance.randrange(len(words))]
    return (", ".join(words[:3]) + " " + " ".join(words[3:])).upper()


def near(folder: Path, texts: list[str | None], parts: list[int], least: float = 0.8) -> Any:
    found = Texts(folder)
    numbers = np.array(parts, dtype=np.uint8)
    for begin in range(0, len(texts), 700):
        here = slice(begin, begin + 700)
        found.add(texts[here], numbers[here], begin)
    return found.near(max(parts) + 1, least)


def test_copies_that_were_edited_are_found(tmp_path: Path) -> None:
    """Recall and precision on made near-duplicates, against every pair compared."""
    chance = random.Random(11)
    originals = made(1500)
    copies = [edited(one, chance) for one in originals[:300]]
    texts: list[str | None] = [*originals, *copies, None, "", "ok"]
    parts = [0] * 1500 + [1] * 303
    [(count, told)] = near(tmp_path, texts, parts, least=0.7).values()
    plain = [shingles.plain(one or "") for one in texts]
    alike = [shingles.similarity(plain[at], plain[1500 + at]) for at in range(300)]
    wanted = sum(one >= 0.7 for one in alike)
    assert wanted > 250
    assert 0.98 * wanted <= count <= wanted
    for one in told:
        first, second = one.rows
        assert second - first == 1500, "each copy is found with its own original"
        assert one.similarity == pytest.approx(alike[first - 1])
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not real("sms_spam.tsv").exists(), reason="the shared data is not here")
def test_real_messages(tmp_path: Path) -> None:
    """All pairs of 5,574 messages that are alike to 0.8, by an index of all shingles."""
    with real("sms_spam.tsv").open(encoding="utf-8", newline="") as file:
        texts = [row[1] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    parts = [int(at % 5 == 0) for at in range(len(texts))]
    [(count, told)] = near(tmp_path, list(texts), parts).values()
    truth = _alike([shingles.plain(one) for one in texts], parts, 0.8)
    assert len(truth) > 150
    assert count >= 0.99 * len(truth)
    assert count <= len(truth), "nothing is told that is not alike"
    assert {one.rows[1] - 1 for one in told} <= truth


def _alike(texts: list[str], parts: list[int], least: float) -> set[int]:
    """The rows of part 1 that have their like in part 0: by prefix filtering, without chance."""
    sets = [{one[at : at + 5] for at in range(max(1, len(one) - 4))} for one in texts]
    where: dict[str, list[int]] = {}
    for at, mine in enumerate(sets):
        for one in mine:
            where.setdefault(one, []).append(at)
    found = set()
    for at, mine in enumerate(sets):
        if parts[at] == 0 or not texts[at]:
            continue
        rare = sorted(mine, key=lambda one: len(where[one]))
        prefix = rare[: len(mine) - int(np.ceil(least * len(mine))) + 1]
        others = {other for one in prefix for other in where[one] if parts[other] == 0}
        if any(len(mine & sets[one]) / len(mine | sets[one]) >= least for one in others):
            found.add(at)
    return found


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2)), min_size=1, max_size=60),
    st.booleans(),
)
def test_equal_rows_are_counted(rows: list[tuple[int, int]], once: bool) -> None:
    hashes = np.array([one * 0x9E3779B97F4A7C15 % 2**64 for one, _ in rows], dtype=np.uint64)
    parts = np.array([part for _, part in rows], dtype=np.uint8)
    spread = Spread(Path(tempfile.gettempdir()))
    spread.add(hashes[:30], parts[:30], 0)
    spread.add(hashes[30:], parts[30:], 30)
    found = equal(spread, 3, once=once)
    for first, second in itertools.combinations(range(3), 2):
        mine = [value for value, part in rows if part == second]
        asked = set(mine) if once else mine
        known = {value for value, part in rows if part == first}
        assert found[first, second] == sum(one in known for one in asked)
