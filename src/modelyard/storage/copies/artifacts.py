"""The bytes of artifacts in an archive. Those of a bucket stay where they are.

They are read after the databases: what an artifact there refers to is removed a grace period later
at the earliest. Each file is a part of at most 8 MiB, whose name tells the SHA-256 of its bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from modelyard.storage import files
from modelyard.storage.progress import BYTES, SILENT, Progress

MEMBER = "artifacts/"
_PART = re.compile(r"place_[0-9a-f]{16}/(index|[0-9]{6}-[0-9]+-([0-9a-f]{64}))")


class ArtifactEntry(Struct):
    """What a file of artifacts must be."""

    digest: str
    size: int


class Kept(Struct, frozen=True):
    """What was archived; ``damaged`` are files that are not what their names say."""

    files: dict[str, ArtifactEntry] = {}
    damaged: list[str] = []


def store(archive: zipfile.ZipFile, folder: Path | None, progress: Progress = SILENT) -> Kept:
    """Write all files of a folder, as they are: they seldom become smaller."""
    kept = Kept(files={}, damaged=[])
    parts = [*_parts(folder)]
    if parts:
        progress.phase("reading artifacts", sum(size for _, _, _, size in parts), BYTES)
    for name, path, told, _ in parts:
        with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            if told and digest != told:
                kept.damaged.append(name)
            archive.writestr(MEMBER + name, data, zipfile.ZIP_STORED)
            kept.files[name] = ArtifactEntry(digest, len(data))
            progress.advance(len(data))
    return kept


def write(archive: zipfile.ZipFile, kept: Kept, folder: Path, progress: Progress = SILENT) -> None:
    """Write what was archived into a folder."""
    if not kept.files:
        return
    progress.phase("writing artifacts", sum(one.size for one in kept.files.values()), BYTES)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with files.own_folder(folder) as work:
        for name, one in kept.files.items():
            place = folder / name
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.put(archive.read(MEMBER + name), work, place)
            progress.advance(one.size)


def _parts(folder: Path | None) -> Iterator[tuple[str, Path, str, int]]:
    """Name, place, the SHA-256 that the name tells ("" where it does not), and size."""
    if folder is None or not folder.is_dir():
        return
    for path in sorted(folder.glob("place_*/*")):
        name = path.relative_to(folder).as_posix()
        found = _PART.fullmatch(name)
        if found is not None and path.is_file() and not path.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                yield name, path, found[2] or "", path.stat().st_size
