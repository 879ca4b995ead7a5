"""From an operator's labelled pairs to a verifier in MODELYARD_HOME.

The pairs are divided so that no text is in two parts: one to learn from, one to stop and to
calibrate on, and one that only measures. What takes long is kept in a folder beside the
verifier's until it is done, so that an interrupted run goes on.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelyard.inference.local import models
from modelyard.inference.local.engine import Embedder
from modelyard.inference.semantic.verdict import Pair
from modelyard.inference.semantic.verifiers.features import reader
from modelyard.inference.semantic.verifiers.fitting import Part, train_light
from modelyard.inference.semantic.verifiers.model import Model, folder_of, write
from modelyard.inference.semantic.verifiers.pairs import Labelled, divide, texts_of

SHARES = (0.82, 0.06, 0.12)  # to fit, to tune, to measure
LEAST = 200  # pairs, and
LEAST_OF_EACH = 10  # of each label in each part
_ROWS = 16
_TEXTS = 512  # embedded between two reports

Tell = Callable[[str, float], None]  # a step's name, and how much of it is done, 0 to 1
Vectors = dict[str, NDArray[np.float32]]


class TrainingError(Exception):
    """Why there is nothing to train, and the way out."""


class Job(NamedTuple):
    """What is to be trained, and where."""

    home: Path
    name: str
    pairs: Sequence[Labelled]
    source: str  # the file's name

    @property
    def folder(self) -> Path:
        """The verifier's."""
        return folder_of(self.home, self.name)

    @property
    def work(self) -> Path:
        """Of what is kept until it is done."""
        return self.folder.with_name(f".training-{self.name}")

    @property
    def minilm(self) -> Path:
        """The installed model's files."""
        return models.folder_of(self.home, models.MINILM)


def parts_of(job: Job) -> list[list[Labelled]]:
    """The pairs' three parts. Raises TrainingError where there are too few."""
    if len(job.pairs) < LEAST:
        raise TrainingError(f"{job.source} holds {len(job.pairs)} pairs; {LEAST} are the least.")
    parts = divide(job.pairs, SHARES, "train")
    for part in parts:
        for label in (0, 1):
            if sum(pair.label == label for pair in part) < LEAST_OF_EACH:
                raise TrainingError(
                    f"{job.source} holds too few pairs labelled {label}, or too many of its pairs "
                    "share a text: each of the three parts that it is divided into needs "
                    f"{LEAST_OF_EACH}. Add pairs of other texts."
                )
    return parts


def prepare(job: Job) -> None:
    """Make the folder of what is kept. Raises TrainingError where MiniLM is not installed."""
    if models.installed(job.home, models.MINILM) is None:
        raise TrainingError("all-MiniLM-L6-v2 is not installed: 'modelyard local install minilm'.")
    job.work.mkdir(mode=0o700, parents=True, exist_ok=True)


def light_of(job: Job, parts: Sequence[Sequence[Labelled]], tell: Tell) -> tuple[Model, list[Part]]:
    """The light verifier of the parts, and the parts with their vectors."""
    vectors = embedded(job, texts_of([pair for part in parts for pair in part]), tell)
    ready = [part_of(part, vectors) for part in parts]
    made_of = f"{len(job.pairs):,} labelled pairs of {job.source}"
    kept = job.work / f"light-{_sign(job.pairs)}.json"
    if kept.exists():
        return msgspec.json.decode(kept.read_bytes(), type=Model), ready
    model = train_light(job.name, (ready[0], ready[1], ready[2]), made_of, reader(job.minilm), tell)
    model = msgspec.structs.replace(model, created_at=now())
    kept.write_bytes(msgspec.json.encode(model))
    return model, ready


def train(job: Job, tell: Tell) -> Model:
    """A light verifier, written to its folder. Raises TrainingError."""
    parts = parts_of(job)
    prepare(job)
    model, _ = light_of(job, parts, tell)
    finish(job, model)
    return model


def finish(job: Job, model: Model) -> None:
    """Write the verifier, and delete what was kept for it."""
    job.folder.mkdir(mode=0o700, exist_ok=True)
    write(job.folder, model)
    shutil.rmtree(job.work)


def part_of(pairs: Sequence[Labelled], vectors: Vectors) -> Part:
    """Pairs with their vectors."""
    return Part(
        [paired(pair.text_a, pair.text_b, vectors) for pair in pairs],
        np.array([pair.label for pair in pairs], np.float64),
    )


def paired(asked: str, kept: str, vectors: Vectors) -> Pair:
    """Two texts as a candidate."""
    one, other = vectors[asked], vectors[kept]
    return Pair(asked, kept, one, other, float(one @ other))


def embedded(job: Job, texts: Sequence[str], tell: Tell) -> Vectors:
    """The vector of each text, by the installed MiniLM; kept, as it takes milliseconds each."""
    kept = job.work / f"vectors-{_sign(texts)}.npy"
    if kept.exists():
        return dict(zip(texts, np.load(kept), strict=True))
    found = vectors_of(job.minilm, texts, lambda done: tell("Vectors", done))
    temporary = kept.with_suffix(".new.npy")
    np.save(temporary, np.array([found[text] for text in texts]))
    temporary.replace(kept)
    return found


def vectors_of(minilm: Path, texts: Sequence[str], tell: Callable[[float], None]) -> Vectors:
    """The vector of each text; short texts go together."""
    embedder = Embedder(minilm, models.MINILM.longest)
    rows = [ids for ids, _ in embedder.split(texts)]
    order = sorted(range(len(texts)), key=lambda at: len(rows[at]))
    found: Vectors = {}
    for start in range(0, len(order), _ROWS):
        part = order[start : start + _ROWS]
        for at, vector in zip(part, embedder.embed([rows[at] for at in part]), strict=True):
            found[texts[at]] = np.frombuffer(vector, "<f4")
        if start % _TEXTS == 0:
            tell(start / len(order))
    return found


def _sign(what: Sequence[object]) -> str:
    found = hashlib.sha256()
    for one in what:
        found.update(repr(one).encode())
    return found.hexdigest()[:16]


def now() -> str:
    """The time as it is written, RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
