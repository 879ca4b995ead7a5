"""The labelled questions: the part to train on, and the part to report on."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modelyard.inference.semantic.verifiers.pairs import Labelled, divide, read_pairs
from modelyard.inference.semantic.verifiers.training import Vectors, vectors_of

QUESTIONS = "qqp_pairs.jsonl.gz"
SHARES = (0.75, 0.25)
OUT = Path(__file__).parents[1] / "out"


def given(path: Path) -> list[Labelled]:
    """What may be trained on."""
    return divide(read_pairs(path), SHARES, "bench")[0]


def held_out(path: Path) -> list[Labelled]:
    """What is reported on: no text of it is in the other part."""
    return divide(read_pairs(path), SHARES, "bench")[1]


def told(minilm: Path, texts: Sequence[str]) -> Vectors:
    """The texts' vectors, which take minutes, from ``bench/out`` where they are there."""
    sign = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    kept = OUT / f"vectors-{sign}.npy"
    if kept.exists():
        return dict(zip(texts, np.load(kept), strict=True))
    found = vectors_of(minilm, texts, progress)
    OUT.mkdir(exist_ok=True)
    np.save(kept, np.array([found[text] for text in texts]))
    return found


def progress(done: float) -> None:
    """Tell how far the vectors are."""
    print(f"\rvectors {done:.0%}", end="", file=sys.stderr, flush=True)
