"""A folder that is sent as one tar file which is never written: it is made as it is read.

The same files make the same bytes, whenever and by whomever they are packed: in the order of their
names, without times and owners. So an upload goes on where it stopped, and the same folder is the
same artifact.
"""

from __future__ import annotations

import io
import tarfile
from bisect import bisect_right
from pathlib import Path

from modelyard.cli.problem import Problem

_BLOCK = tarfile.BLOCKSIZE


class Folder:
    """The tar of a folder's files. Links and what is hidden are left out."""

    def __init__(self, path: Path) -> None:
        self.name = f"{path.resolve().name}.tar"
        self._pieces: list[tuple[int, bytes, Path | None]] = []  # where, a header, or a file
        at = 0
        for file in _files(path):
            size = file.stat().st_size
            header = _header(f"{path.resolve().name}/{file.relative_to(path).as_posix()}", size)
            self._pieces += [(at, header, None), (at + len(header), b"", file)]
            at += len(header) + size + -size % _BLOCK
        if not self._pieces:
            raise Problem(f"{path} holds no files", status=2)
        self.size = at + 2 * _BLOCK
        self._begins = [begin for begin, _, _ in self._pieces]

    def open(self, _: str) -> Tar:
        """Its bytes, from the beginning."""
        return Tar(self)

    def read(self, at: int, size: int) -> bytes:
        """Bytes from one place on, of one file or header at most."""
        number = bisect_right(self._begins, at) - 1
        begin, header, file = self._pieces[number]
        end = self._begins[number + 1] if number + 1 < len(self._begins) else self.size
        size = min(size, end - at)
        if file is None:
            return header[at - begin : at - begin + size]
        with file.open("rb") as stream:
            stream.seek(at - begin)
            data = stream.read(size)
        return data.ljust(size, b"\0") if len(data) < size else data


class Tar(io.RawIOBase):
    """Reads a folder's tar."""

    def __init__(self, folder: Folder) -> None:
        self._folder, self._at = folder, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place, counted from the beginning."""
        self._at = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; fewer only at the end."""
        left = self._folder.size - self._at
        left = left if size < 0 else min(left, size)
        found = bytearray()
        while len(found) < left:
            found += self._folder.read(self._at + len(found), left - len(found))
        self._at += len(found)
        return bytes(found)


def _files(path: Path) -> list[Path]:
    found = (one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
    return sorted(one for one in found if not _hidden(one.relative_to(path)))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _header(name: str, size: int) -> bytes:
    about = tarfile.TarInfo(name)
    about.size = size
    return about.tobuf(tarfile.PAX_FORMAT)
