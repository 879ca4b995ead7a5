"""A verifier's files: ``model.json`` in MODELYARD_HOME/semantic/verifiers/NAME, or shipped here.

Beside it, where it is a cross-encoder, are ``model.onnx`` and ``tokenizer.json``. ``model.json`` is
written last: without it there is no verifier.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from modelyard.inference.semantic.places import FOLDER
from modelyard.inference.semantic.verifiers.measured import Calibration, Curve
from modelyard.inference.semantic.verifiers.perceptron import Perceptron
from modelyard.inference.semantic.verifiers.trees import Trees

LIGHT, CROSS = "light", "cross-encoder"
RECORD = "model.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SHIPPED = Path(__file__).with_name("light.json")


class Words(Struct, frozen=True):
    """What words tell that both prompts have or only one: a weight for each hash."""

    weights: list[float]
    offset: float


class Linear(Struct, frozen=True):
    """Weights of features between bounds: ``weight * clip(value, low, high)``, by name."""

    weights: dict[str, tuple[float, float, float]]  # weight, low, high
    offset: float


class Model(Struct, frozen=True, kw_only=True):
    """All that is known of a verifier."""

    name: str
    kind: Literal["light", "cross-encoder"]
    made_of: str  # what it was trained on, in words
    created_at: str = ""  # RFC 3339
    pairs: int = 0  # it was fitted on
    held_out: int = 0  # pairs that its curve was measured on
    duplicates: int = 0  # of them that are labelled 1
    curve: Curve = []
    calibration: Calibration = Calibration(1.0, 0.0)
    features: list[str] = []
    linear: Linear | None = None
    trees: Trees | None = None
    perceptron: Perceptron | None = None
    words: Words | None = None
    share: float = 0.0  # of the cross-encoder's logit in the joined one; the rest is the light's


class NoVerifier(Exception):
    """Why a verifier cannot be loaded, and the way out."""


def folder_of(home: Path, name: str) -> Path:
    """Where a trained verifier is. Raises NoVerifier for what is no name."""
    if not _NAME.fullmatch(name):
        raise NoVerifier(
            f"'{name}' is no name of a verifier: small letters, digits, '.', '_' and '-', 63 at "
            "most, beginning with a letter or digit."
        )
    return home / FOLDER / "verifiers" / name


def names(home: Path) -> list[str]:
    """The verifiers that can be loaded: the one that ships first."""
    trained = sorted(path.parent.name for path in folder_of(home, "x").parent.glob(f"*/{RECORD}"))
    return [LIGHT, *trained]


def record_of(home: Path, name: str) -> Model:
    """What ``model.json`` says. Raises NoVerifier."""
    path = _SHIPPED if name == LIGHT else folder_of(home, name) / RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=Model)
    except FileNotFoundError:
        raise NoVerifier(
            f"There is no verifier '{name}'. There are: {', '.join(names(home))}. Others are made "
            "by 'modelyard semantic train'."
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise NoVerifier(f"{path} cannot be read: {error}") from error


def write(folder: Path, model: Model) -> None:
    """Make a folder's verifier complete."""
    temporary = folder / f".{RECORD}"
    temporary.write_bytes(msgspec.json.encode(model) + b"\n")
    temporary.replace(folder / RECORD)
