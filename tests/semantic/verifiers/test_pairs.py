"""Labelled pairs: what is wrong with a file is told by line and field; parts share no text."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.inference.semantic.verifiers.pairs import (
    Labelled,
    PairsError,
    divide,
    read_pairs,
    texts_of,
)

GOOD = {"text_a": "a?", "text_b": "b?", "label": 1}


def written(folder: Path, *lines: object) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return path


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 3: "),
        ({"text_a": "a?", "label": 1}, "line 3: Object missing required field `text_b`"),
        (GOOD | {"label": "1"}, "line 3: label: Expected `int`, got `str`"),
        (GOOD | {"label": 2}, "line 3: label: is 2; 1 is the same, 0 is not."),
        (GOOD | {"text_b": " "}, "line 3: text_b: is empty. Leave such pairs out."),
        (GOOD | {"text_a": None}, "line 3: text_a: Expected `str`, got `null`"),
        (GOOD | {"text_a": "x" * 100_001}, "line 3: text_a: has 100,001 characters"),
    ],
)
def test_what_is_wrong_names_line_and_field(tmp_path: Path, line: object, said: str):
    with pytest.raises(PairsError) as caught:
        read_pairs(written(tmp_path, GOOD, "", line))
    assert said in str(caught.value)


def test_gzipped_or_not_is_the_same(tmp_path: Path):
    plain = written(tmp_path, GOOD, GOOD | {"label": 0})
    packed = tmp_path / "pairs.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_pairs(plain) == read_pairs(packed)
    assert [pair.label for pair in read_pairs(plain)] == [1, 0]
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(PairsError, match="cannot be read"):
        read_pairs(packed)


text = st.text(st.sampled_from("abcdeAB "), min_size=1, max_size=2)
pairs = st.lists(st.builds(Labelled, text, text, st.integers(0, 1)), max_size=40)


@given(pairs, st.text(max_size=3))
def test_parts_share_no_text(found: list[Labelled], salt: str):
    parts = divide(found, (0.5, 0.2, 0.3), salt)
    assert sorted(map(repr, found)) == sorted(repr(pair) for part in parts for pair in part)
    seen: set[str] = set()
    for part in parts:
        mine = {one.strip().lower() for one in texts_of(part)}
        assert not mine & seen
        seen |= mine
    assert divide(found, (0.5, 0.2, 0.3), salt) == parts


def test_parts_have_about_their_shares():
    found = [Labelled(f"a{number}", f"b{number}", 0) for number in range(2000)]
    sizes = [len(part) for part in divide(found, (0.8, 0.2), "x")]
    assert 1500 < sizes[0] < 1700
