"""Copying an installation: to another database, into an archive, and from there back.

An archive is a ZIP file: ``manifest.json``, a file of lines per table, and the home folder's own
files (the pepper, the first admin key, records that are not loaded yet). It holds secrets.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import time
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from modelyard import __version__
from modelyard.storage import files
from modelyard.storage.copies import artifacts as bytes_of
from modelyard.storage.copies.artifacts import Kept
from modelyard.storage.copies.databases import BATCH, Databases, summed
from modelyard.storage.copies.tables import TABLES, Sum, Table
from modelyard.storage.progress import BYTES, ROWS, SILENT, Progress

FORMAT = 1
MANIFEST = "manifest.json"
_HOME = "home/"
_CHUNK = 1024 * 1024
# What reading a damaged archive may raise.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
# Of the home folder: what is written elsewhere in the archive, and what the operator keeps.
_LEFT_OUT = (".db", ".db-wal", ".db-shm", ".db-journal", ".toml", ".log", ".pid", ".sock", ".zip")


class UnusableArchive(Exception):
    """The file is no archive of this version, or it is damaged; the message tells which."""


class Entry(Struct):
    """What a part of the archive must be."""

    digest: str
    rows: int = 0
    size: int = 0


class Manifest(Struct):
    """What is in an archive. ``schemas`` are the revisions of the databases."""

    format: int
    version: str
    created_at: float
    schemas: dict[str, str]
    tables: dict[str, Entry]
    files: dict[str, Entry]
    artifacts: Kept = Kept()


class Unequal(Exception):
    """What was written is not what was read; nothing of it was kept."""


async def copy(
    source: Databases,
    target: Databases,
    progress: Progress = SILENT,
    finish: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Copy all tables, compare what was written with what was read, then keep it and ``finish``.

    Returns how many rows each table has. Ctrl-C ends it before the last two, or after both. Raises
    ``Unequal``.
    """
    read: dict[str, Sum] = {}
    progress.phase("writing rows", await _rows(source), ROWS)
    for table in TABLES:
        total = read[table.path] = Sum()
        async for rows in source.rows(table):
            for row in rows:
                total.add(table.line(row))
            await target.write(table, rows)
            progress.advance(len(rows))
    progress.phase("comparing rows", sum(total.rows for total in read.values()), ROWS)
    await _compare(target, read, progress)
    if await source.changed():
        raise Unequal("the source was changed while it was copied: stop its server, and repeat.")
    with files.undisturbed():
        await target.keep()
        finish()
    return {path: total.rows for path, total in read.items()}


async def _rows(source: Databases) -> int:
    return sum([await source.count(table) for table in TABLES])


async def _compare(target: Databases, read: dict[str, Sum], progress: Progress) -> None:
    for table in TABLES:
        written = await summed(target, table, progress)
        wanted = read[table.path]
        if written.told() != wanted.told():
            raise Unequal(
                f"{table.path}: {wanted.rows} rows were read, {written.rows} were written, and "
                "they are not the same. Nothing was changed."
            )


async def backup(
    source: Callable[[], Databases],
    home: Path,
    path: Path,
    *,
    artifacts: Path | None = None,
    replace: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Write an archive of an installation, which may serve meanwhile.

    The home folder is read before the databases: a record is in its file, or loaded, or both.
    ``artifacts`` is the folder of their bytes. Raises FileExistsError unless ``replace``.
    """
    _refuse(path, replace)
    with files.unfinished(path) as unfinished:
        unfinished.touch(files.PRIVATE, exist_ok=False)
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
            manifest = Manifest(FORMAT, __version__, time.time(), _schemas(), {}, {})
            for name, file in _files_of(home, artifacts):
                with contextlib.suppress(FileNotFoundError):  # loaded and deleted meanwhile
                    manifest.files[name] = _store(archive, name, file)
            async with source() as databases:
                progress.phase("reading rows", await _rows(databases), ROWS)
                for table in TABLES:
                    entry = await _dump(archive, databases, table, progress)
                    manifest.tables[table.path] = entry
            manifest.artifacts = bytes_of.store(archive, artifacts, progress)
            archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        with files.undisturbed():
            files.rename(unfinished, path)
    return manifest


def _refuse(path: Path, replace: bool) -> None:
    if path.exists() and not replace:
        raise FileExistsError(path)


async def restore(
    path: Path,
    target: Callable[[], Databases],
    home: Path,
    *,
    artifacts: Path | None = None,
    replace: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Write what an archive holds into ``target`` and ``home``, after it was found undamaged.

    The bytes of artifacts go first, into the folder ``artifacts``; then the databases, which are
    kept whole or not at all; then the files. Raises ``UnusableArchive``,
    ``Unequal``, and FileExistsError where a file would be replaced without ``replace``.
    """
    manifest = verify(path, progress)
    if artifacts is None and manifest.artifacts.files:
        raise UnusableArchive(
            f"{path} holds the bytes of artifacts, and artifacts_url names no folder that they "
            "could go to. Leave it out, or name one."
        )
    _make_room(home, manifest, replace)
    with zipfile.ZipFile(path) as archive:
        if artifacts is not None:
            bytes_of.write(archive, manifest.artifacts, artifacts, progress)
        finish = partial(_write_home, archive, manifest, home)
        async with target() as databases:
            await copy(_Archived(archive, manifest), databases, progress, finish)
    return manifest


def _write_home(archive: zipfile.ZipFile, manifest: Manifest, home: Path) -> None:
    for name in manifest.files:
        place = home / name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace(place, archive.read(_HOME + name))


def _make_room(home: Path, manifest: Manifest, replace: bool) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    existing = [home / name for name in manifest.files if (home / name).exists()]
    if existing and not replace:
        raise FileExistsError(existing[0])


def verify(path: Path, progress: Progress = SILENT) -> Manifest:
    """The manifest, after every part was found to be what it says. Raises ``UnusableArchive``."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _verified(archive, progress)
    except _DAMAGE as error:
        raise UnusableArchive(f"{path} is no archive, or damaged: {error}.") from error
    except UnusableArchive as error:
        raise UnusableArchive(f"{path} cannot be used: {error}") from error


def _verified(archive: zipfile.ZipFile, progress: Progress) -> Manifest:
    try:
        manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
    except (KeyError, msgspec.MsgspecError) as error:
        raise UnusableArchive(f"it has no manifest of ours ({error}).") from error
    if manifest.format != FORMAT or manifest.schemas != _schemas():
        raise UnusableArchive(
            f"it was written by version {manifest.version} with other tables. Restore it with "
            "that version, then start this one on it."
        )
    named = [*manifest.files, *manifest.artifacts.files]
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in named):
        raise UnusableArchive("it names a file outside the home folder.")
    parts = {_HOME + name: entry for name, entry in manifest.files.items()}
    parts |= {_member(name): entry for name, entry in manifest.tables.items()}
    parts |= {
        bytes_of.MEMBER + name: Entry(one.digest, size=one.size)
        for name, one in manifest.artifacts.files.items()
    }
    there = [archive.NameToInfo[name].file_size for name in parts if name in archive.NameToInfo]
    progress.phase("checking the archive", sum(there), BYTES)
    for name, entry in parts.items():
        known = name in archive.NameToInfo
        if not known or _digest(archive.open(name), progress) != entry.digest:
            raise UnusableArchive(f"{name} is damaged or missing.")
    if manifest.tables.keys() != {table.path for table in TABLES}:
        raise UnusableArchive("it does not hold every table.")
    return manifest


class _Archived:
    """An archive, read as a source."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self._manifest = manifest

    async def __aenter__(self) -> Databases:
        return self

    async def __aexit__(self, kind: object, error: object, at: object) -> None:
        pass

    async def rows(self, table: Table) -> AsyncIterator[list[tuple[object, ...]]]:
        """See ``Databases``."""
        batch = []
        with self._archive.open(_member(table.path)) as lines:
            for line in lines:
                batch.append(table.row(line))
                if len(batch) == BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch

    async def count(self, table: Table) -> int:
        """See ``Databases``."""
        return self._manifest.tables[table.path].rows

    async def write(self, table: Table, rows: object) -> None:
        """Never asked of an archive."""
        raise NotImplementedError

    async def keep(self) -> None:
        """Nothing was written."""

    async def changed(self) -> bool:
        """An archive does not change."""
        return False


async def _dump(
    archive: zipfile.ZipFile, databases: Databases, table: Table, progress: Progress
) -> Entry:
    total = Sum()
    with archive.open(_member(table.path), "w", force_zip64=True) as member:
        async for rows in databases.rows(table):
            lines = [table.line(row) for row in rows]
            for line in lines:
                total.add(line)
            member.write(b"".join(lines))
            progress.advance(len(rows))
    return Entry(total.digest, total.rows)


def _store(archive: zipfile.ZipFile, name: str, path: Path) -> Entry:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file, archive.open(_HOME + name, "w", force_zip64=True) as member:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            member.write(chunk)
    return Entry(digest.hexdigest(), size=size)


def _files_of(home: Path, artifacts: Path | None) -> Iterator[tuple[str, Path]]:
    for path in sorted(home.rglob("*")):
        if artifacts is not None and path.is_relative_to(artifacts):
            continue
        name = path.relative_to(home).as_posix()
        kept = not name.endswith(_LEFT_OUT) and not any(
            part.startswith(".") for part in name.split("/")
        )
        if kept and path.is_file() and not path.is_symlink():
            yield name, path


def _digest(stream: IO[bytes], progress: Progress) -> str:
    digest = hashlib.sha256()
    with stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            progress.advance(len(chunk))
    return digest.hexdigest()


def _member(path: str) -> str:
    return f"tables/{path}.jsonl"


def _schemas() -> dict[str, str]:
    return {table.schema.name: table.schema.head for table in TABLES}
