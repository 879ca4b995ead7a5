"""The files of an archive become a table: a row for each picture or sound, in constant memory.

For the processes of jobs alone.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

import polars as pl
from msgspec import Struct

from modelyard.catalog.datasets.media import archives, layout, pictures, sounds
from modelyard.catalog.datasets.media.archives import Member, Torn
from modelyard.catalog.datasets.media.index import Entry
from modelyard.catalog.datasets.media.indexing import Indexing
from modelyard.catalog.datasets.media.pictures import Broken, Picture
from modelyard.catalog.datasets.media.sounds import Counting, Sound
from modelyard.ml.intake import packing
from modelyard.ml.intake.sniffing import Unreadable
from modelyard.ml.intake.taking import MOST_FAULTS, Fault, TooMany
from modelyard.ml.rowgroups import ROW_GROUP

Progress = Callable[[int], None]
Row = dict[str, str | int | float | None]
_HEAD, _TAIL = 2 << 20, 1 << 16  # bytes that are kept of a file: its header lies within
_PIECE = 20_000  # rows
_TOLD = 5  # files that are told of by name
_MOST_METADATA = 256 << 20  # bytes of a table about the files
_CHUNK = 1 << 20
_SUFFIXES = frozenset(
    "png jpg jpeg jpe gif webp bmp wav wave flac mp3 ogg oga opus".split()  # noqa: SIM905
)
_OWN: dict[str, type[pl.DataType]] = {
    "path": pl.String,
    "folder": pl.String,
    "bytes": pl.Int64,
    "sha256": pl.String,
    "media_type": pl.String,
}
_PICTURE: dict[str, type[pl.DataType]] = {
    "width": pl.Int64,
    "height": pl.Int64,
    "mode": pl.String,
}
_SOUND: dict[str, type[pl.DataType]] = {
    "duration": pl.Float64,
    "sample_rate": pl.Int64,
    "channels": pl.Int64,
}


class Gathered(Struct, frozen=True, kw_only=True):
    """What was found. ``archive`` is the file in which the ``index`` finds the others."""

    type: Literal["Image", "Audio", "Mixed"]
    form: Literal["zip", "tar"]
    archive: Path
    index: Path
    faults: list[Fault]
    fault_count: int
    said: tuple[str, ...]


def gathered(
    source: Path, target: Path, progress: Progress, most_faults: int | None
) -> Gathered | None:
    """Write the table of an archive's files to ``target``; None where ``source`` is no archive.

    Raises ``Unreadable``, ``TooMany`` for more than ``most_faults`` broken files, by a hundred.
    """
    archive, form = source, archives.form_of(source)
    if not form and packing.packed_by(source):
        archive = target.parent / "unpacked.tar"
        form = "tar" if _unpacked(source, archive) else ""
    if not form:
        return None
    folder = Path(tempfile.mkdtemp(prefix="files-", dir=target.parent))
    try:
        return _Gathering(archive, form, folder, most_faults).run(target, progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpacked(source: Path, target: Path) -> bool:
    """Unpack a packed tar; whether it is one."""
    most = archives.MOST_TIMES * source.stat().st_size + archives.FREE_BYTES
    with packing.opened(source) as stream, target.open("wb") as out:
        head = stream.read(512)
        if head[257:262] != b"ustar":
            return False
        out.write(head)
        while data := stream.read(_CHUNK):
            out.write(data)
            if out.tell() > most:
                raise Unreadable("it unpacks to more than a hundred times its size")
    return True


class _Gathering:
    """One archive on its way into a table."""

    def __init__(self, archive: Path, form: str, folder: Path, most_faults: int | None) -> None:
        self._archive, self._form, self._folder = archive, form, folder
        self._stop = None if most_faults is None else most_faults + MOST_FAULTS
        self._faults: list[Fault] = []
        self._fault_count = 0
        self._rows: list[Row] = []
        self._pieces: list[Path] = []
        self._others: list[str] = []
        self._other_count = 0
        self._about: list[tuple[str, Path]] = []  # tables about the files, and of which folder
        self._folders = layout.Folders()
        self._found: set[str] = set()
        self._seen = 0

    def run(self, target: Path, progress: Progress) -> Gathered:
        index = target.with_suffix(".index")
        with (
            self._archive.open("rb") as stream,
            self._archive.open("rb") as directory,
            tempfile.TemporaryFile(dir=self._folder) as spill,
        ):
            indexing = Indexing(spill)
            for member in archives.members(directory, self._form):
                self._take(stream, member, indexing)
                progress(member.offset + member.stored)
            with index.open("wb") as out:
                twice = indexing.write(out)
        if twice:
            raise Unreadable(f"{twice!r} is there twice")
        if not self._found:
            raise Unreadable(self._nothing())
        self._flush()
        said = self._write(target)
        types: dict[frozenset[str], Literal["Image", "Audio", "Mixed"]] = {
            frozenset({"image"}): "Image",
            frozenset({"audio"}): "Audio",
        }
        return Gathered(
            type=types.get(frozenset(self._found), "Mixed"),
            form="zip" if self._form == "zip" else "tar",
            archive=self._archive,
            index=index,
            faults=self._faults,
            fault_count=self._fault_count,
            said=said,
        )

    def _nothing(self) -> str:
        if self._faults:
            one = self._faults[0]
            return f"none of {self._seen} files can be read; {one.sample}: {one.reason}"
        told = ", ".join(self._others) or "nothing"
        return f"it is an archive without pictures or sounds: there is {told}"

    def _take(self, stream: BinaryIO, member: Member, indexing: Indexing) -> None:
        name = PurePosixPath(member.path)
        if name.name in ("metadata.csv", "metadata.jsonl"):
            self._keep(stream, member)
            return
        if member.path == "[Content_Types].xml":
            raise Unreadable("it is an office document; save it as CSV")
        try:
            row = _row(stream, member)
        except (Broken, Torn) as error:
            self._fault(member.path, str(error))
            return
        if row is None:
            if name.suffix.lower()[1:] in _SUFFIXES:
                self._fault(member.path, "its first bytes are of no picture or sound")
            else:
                self._other_count += 1
                self._others += [member.path] if len(self._others) < _TOLD else []
            return
        self._seen += 1
        self._found.add(str(row["media_type"]).partition("/")[0])
        self._folders.add(str(row["folder"]))
        indexing.add(_entry(row, member))
        self._rows.append(row)
        if len(self._rows) >= _PIECE:
            self._flush()

    def _fault(self, path: str, reason: str) -> None:
        self._seen += 1
        self._fault_count += 1
        if len(self._faults) < MOST_FAULTS:
            self._faults.append(Fault(row=self._seen, reason=reason, sample=path))
        if self._stop is not None and self._fault_count > self._stop:
            raise TooMany(self._fault_count, self._faults)

    def _keep(self, stream: BinaryIO, member: Member) -> None:
        if member.size > _MOST_METADATA:
            raise Unreadable(f"{member.path} has more than {_MOST_METADATA:,} bytes")
        name = PurePosixPath(member.path)
        file = self._folder / f"{len(self._about)}-{name.name}"
        try:
            with file.open("wb") as out:
                out.writelines(archives.contents(stream, member))
        except Torn as error:
            raise Unreadable(f"{member.path}: {error}") from error
        folder = str(name.parent)
        self._about.append(("" if folder == "." else folder + "/", file))

    def _flush(self) -> None:
        if self._rows:
            piece = self._folder / f"{len(self._pieces):06d}.parquet"
            pl.DataFrame(self._rows, schema=_OWN | _PICTURE | _SOUND).write_parquet(piece)
            self._pieces.append(piece)
            self._rows = []

    def _write(self, target: Path) -> tuple[str, ...]:
        own = [name for name in _OWN if name not in ("path", "folder")]
        own += [*_PICTURE] if "image" in self._found else []
        own += [*_SOUND] if "audio" in self._found else []
        rows = pl.scan_parquet(self._pieces)
        rows, made, said = self._folders.told(rows)
        columns = ["path", *made, *own]
        if self._about:
            about, found = layout.about(self._about)
            more = [name for name in about.columns if name != "path"]
            rows = rows.drop([name for name in more if name in made])
            columns = [one for one in columns if one not in more] + more
            rows = rows.join(about.lazy(), on="path", how="left", maintain_order="left")
            said += found
        rows.select(columns).sink_parquet(
            target, compression="zstd", row_group_size=ROW_GROUP, maintain_order=True
        )
        if self._other_count:
            named = ", ".join(self._others)
            said += (f"{self._other_count} files are no pictures or sounds: {named}",)
        return (f"a {self._form} archive, a row for each file", *said)


def _row(stream: BinaryIO, member: Member) -> Row | None:
    """What is told of a file; None where it is neither a picture nor a sound."""
    parts: Iterator[bytes] = archives.contents(stream, member)
    head = bytearray()
    sha256, tail, frames = hashlib.sha256(), b"", Counting()
    kind = None
    for part in parts:
        head += part[: max(0, _HEAD - len(head))]
        if kind is None and len(head) >= min(12, member.size):
            first = bytes(head[:12])
            kind = pictures.media_type(first) or sounds.media_type(first)
            if not kind:
                return None
        sha256.update(part)
        tail = (tail + part)[-_TAIL:]
        if kind == "audio/mpeg":
            frames.feed(part)
    if not kind:
        return None
    made: Picture | Sound = (
        pictures.picture(bytes(head), tail, member.size)
        if kind.startswith("image/")
        else sounds.sound(bytes(head), tail, member.size, frames)
    )
    folder, _, _ = member.path.rpartition("/")
    common: Row = {
        "path": member.path,
        "folder": folder,
        "bytes": member.size,
        "sha256": sha256.hexdigest(),
    }
    about = {name: getattr(made, name) for name in made.__struct_fields__}
    return common | about


def _entry(row: Row, member: Member) -> Entry:
    return Entry(
        path=member.path,
        offset=member.offset,
        stored=member.stored,
        method=member.method,
        size=member.size,
        sha256=str(row["sha256"]),
        media_type=str(row["media_type"]),
    )
