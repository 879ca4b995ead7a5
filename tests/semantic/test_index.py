"""The nearest are found, whatever the kind of the index; large ones are built beside the work."""

from pathlib import Path

import numpy as np
import pytest

from modelyard.inference.semantic import spaces
from modelyard.inference.semantic.frames import Keep
from modelyard.inference.semantic.index import FLAT, SCANNED, WIDTH, Index, Vectors
from modelyard.inference.semantic.service import Vector
from semantic.bench import LATER, Bench, Worker, is_hit, key, vector


def cloud(size: int, seed: int) -> Vectors:
    """Vectors around a hundredth as many centres, as prompts gather around topics."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((max(1, size // 100), WIDTH))
    made = centres[draw.integers(0, len(centres), size)] + draw.standard_normal((size, WIDTH))
    vectors: Vectors = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return vectors


@pytest.mark.parametrize("size", [0, 1, FLAT, FLAT + 1, SCANNED + 2_000])
def test_the_nearest_are_found(size: int) -> None:
    vectors = cloud(size, seed=1)
    index = Index(np.arange(size, dtype=np.int64) * 3, vectors)
    assert len(index) == size
    draw = np.random.default_rng(2)
    found = 0
    for place in draw.integers(0, size, 50) if size else []:
        asked = vectors[place] + draw.standard_normal(WIDTH).astype(np.float32) * 0.01
        found += index.nearest(asked / np.linalg.norm(asked), 4)[0] == place * 3
    assert found >= 48 if size else index.nearest(vector("a"), 4) == []
    index.add(999_999, vector("something new"))
    assert index.nearest(vector("something new"), 4)[0] == 999_999


@pytest.mark.parametrize("size", [FLAT, FLAT + 1, SCANNED + 2_000])
def test_what_is_clearly_too_far_is_left_out_and_nothing_else(size: int) -> None:
    vectors = cloud(size, seed=1)
    index = Index(np.arange(size, dtype=np.int64), vectors)
    draw = np.random.default_rng(2)
    left_out = 0
    for place in draw.integers(0, size, 50):
        asked = vectors[place] + draw.standard_normal(WIDTH).astype(np.float32) * 0.03
        asked /= np.linalg.norm(asked)
        whole, near = index.nearest(asked, 12), index.nearest(asked, 12, 0.5)
        enough = [number for number in whole if float(vectors[number] @ asked) >= 0.5]
        assert near[: len(enough)] == enough
        assert all(float(vectors[number] @ asked) > 0.4 for number in near)
        left_out += len(whole) - len(near)
    assert left_out


def told_back(bench: Bench) -> None:
    """Let what is being built be taken."""
    for future in bench.service.building():
        future.result(60)
    while bench.backs:
        bench.backs.pop(0)()


def fill(bench: Bench, worker: Worker, count: int) -> None:
    vectors = cloud(count, seed=3)
    for number in range(count):
        text = f"filler {number}"
        bench.store.keep("w", b"s", key(text), text, vectors[number], bench.now, LATER)


def test_a_large_scope_is_loaded_beside_the_work(tmp_path: Path) -> None:
    bench = Bench(tmp_path, entries=10_000, workspace_entries=10_000)
    worker = bench.worker()
    fill(bench, worker, FLAT + 50)
    bench.store.keep("w", b"s", key("a b c"), "a b c", vector("a b c"), bench.now, LATER)
    assert not is_hit(worker.find(1, "is a b c")), "it is being loaded: nothing is waited for"
    bench.service.keep(worker, Keep(1, LATER))  # comes meanwhile
    told_back(bench)
    assert is_hit(worker.find(2, "b c"))
    assert worker.told[-1].key in (key("a b c"), key("is a b c"))


def test_an_index_grows_into_another_kind(tmp_path: Path) -> None:
    bench = Bench(tmp_path, entries=10_000, workspace_entries=10_000)
    worker = bench.worker()
    fill(bench, worker, FLAT - 1)
    for number in range(3):
        worker.find(number, f"alpha {number} gamma")
        worker.keep(number)
    assert bench.service.building()
    assert is_hit(worker.find(10, "the alpha 1 gamma")), "the old one serves"
    told_back(bench)
    assert not bench.service.building()
    assert is_hit(worker.find(11, "an alpha 2 gamma"))


def test_what_is_gone_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "_DEAD", 3)
    bench = Bench(tmp_path)
    worker = bench.worker()
    for number in range(20):
        worker.answered(number, f"alpha beta {number}")
    bench.now += 100
    for number in range(15):
        bench.service.gone(b"s", key(f"alpha beta {number}"))
    worker.find(100, "alpha beta 3")
    assert bench.service.building()
    told_back(bench)
    worker.find(101, "alpha beta 4")
    assert not bench.service.building(), "none of them is in the new one"
    assert is_hit(worker.find(102, "the alpha beta 17"))


def test_a_vector_of_the_process_is_what_it_says() -> None:
    assert Vector(vector("a"), False).values.dtype == np.float32
    assert abs(float(np.linalg.norm(vector("a b c"))) - 1) < 1e-6
