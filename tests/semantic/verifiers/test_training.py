"""``modelyard semantic``: a light verifier from pairs to a file that answers."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.semantic.written import written

from local.conftest import minilm as minilm
from local.conftest import wheel as wheel
from modelyard.inference.local.models import MINILM, folder_of
from modelyard.inference.semantic.verifiers.loading import load
from modelyard.inference.semantic.verifiers.model import NoVerifier, names
from modelyard.inference.semantic.verifiers.training import paired, vectors_of

ASKED = [
    ("How do I cook rice?", "What is the best way to cook rice?", 1),
    ("How do I cook rice?", "How much does it cost to cook rice?", 0),
    ("What is the capital of Peru?", "Tell me the capital of Peru.", 1),
    ("What is the capital of Peru?", "Tell me the climate of Peru.", 0),
]


def semantic(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (home / "modelyard.toml").touch()
    return subprocess.run(
        [sys.executable, "-m", "modelyard", "semantic", *words],
        env={**os.environ, "MODELYARD_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture
def home(minilm: Path, tmp_path: Path) -> Path:
    place = folder_of(tmp_path, MINILM)
    place.parent.mkdir()
    place.symlink_to(folder_of(minilm, MINILM))
    return tmp_path


def pairs(folder: Path, count: int) -> Path:
    path = folder / "pairs.jsonl"
    lines = [
        json.dumps({"text_a": one.text_a, "text_b": one.text_b, "label": one.label})
        for one in written(count, 3)
    ]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
def test_a_light_verifier_is_trained_and_answers(home: Path):
    done = semantic(home, "train", str(pairs(home, 900)), "--light", "--name", "ours")
    assert done.returncode == 0, done.stderr
    assert 'cache.semantic.verifier = "ours"' in done.stdout
    assert names(home) == ["light", "ours"]
    assert [path.name for path in folder_of(home, MINILM).parents[1].glob("semantic/*/.*")] == []
    verifier = load("ours", home)
    texts = [text for one, other, _ in ASKED for text in (one, other)]
    vectors = vectors_of(folder_of(home, MINILM), list(dict.fromkeys(texts)), lambda _: None)
    told = verifier.confidence([paired(one, other, vectors) for one, other, _ in ASKED])
    right = [value for value, (*_, label) in zip(told, ASKED, strict=True) if label]
    wrong = [value for value, (*_, label) in zip(told, ASKED, strict=True) if not label]
    assert min(right) > max(wrong)
    shown = json.loads(semantic(home, "show", "ours", "--json").stdout)
    assert shown["kind"] == "light"
    assert shown["made_of"] == "900 labelled pairs of pairs.jsonl"
    assert [tuple(point) for point in shown["curve"]] == list(verifier.curve)
    assert shown["held_out"] > 50
    listed = json.loads(semantic(home, "list", "--json").stdout)["verifiers"]
    assert [one["name"] for one in listed] == ["light", "ours"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("train", "none.jsonl", "--light"), 1, "none.jsonl cannot be read"),
        (("train", "few.jsonl", "--light"), 1, "few.jsonl holds 1 pairs; 200 are the least."),
        (("train", "bad.jsonl", "--light"), 1, "bad.jsonl, line 1: label: Expected `int`"),
        (("train", "few.jsonl", "--light", "--name", "../x"), 1, "'../x' is no name"),
        (("train", "few.jsonl", "--name", "light"), 2, "'light' is the verifier that ships"),
        (("show", "nobody"), 1, "There is no verifier 'nobody'. There are: light."),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, words: tuple[str, ...], status: int, said: str):
    (tmp_path / "few.jsonl").write_text('{"text_a": "a", "text_b": "b", "label": 1}')
    (tmp_path / "bad.jsonl").write_text('{"text_a": "a", "text_b": "b", "label": "1"}')
    done = semantic(tmp_path, *words)
    assert done.returncode == status, done.stderr
    assert said in done.stderr


def test_one_label_alone_is_not_enough(tmp_path: Path):
    lines = [f'{{"text_a": "a{at}", "text_b": "b{at}", "label": 1}}' for at in range(300)]
    (tmp_path / "ones.jsonl").write_text("\n".join(lines))
    done = semantic(tmp_path, "train", "ones.jsonl", "--light")
    assert "too few pairs labelled 0" in done.stderr


def test_nobody_trains_a_verifier_that_somebody_trains(tmp_path: Path):
    pairs(tmp_path, 300)
    folder = tmp_path / "semantic" / "verifiers"
    folder.mkdir(parents=True)
    with (folder / ".training-ours.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = semantic(tmp_path, "train", "pairs.jsonl", "--light", "--name", "ours")
    assert done.returncode == 1
    assert "'ours' is being trained already" in done.stderr


def test_the_verifier_that_ships_needs_the_vocabulary(tmp_path: Path):
    with pytest.raises(NoVerifier, match="modelyard local install minilm"):
        load("light", tmp_path)
    assert "rules and features" in semantic(tmp_path, "show", "light").stdout
