"""Files that came packed: read as if they were not, whatever packed them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from modelyard.ml.intake.sniffing import Unreadable

_OPENERS: dict[bytes, tuple[str, Callable[[Path], Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
}
_ZSTD = b"\x28\xb5\x2f\xfd"


class _Unpacked(io.RawIOBase):
    """What comes of a packed file. Where it is broken, reading raises ``Unreadable``."""

    def __init__(self, stream: BinaryIO, kind: str) -> None:
        self._stream, self._kind = stream, kind

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            at = self._stream.tell()
            raise Unreadable(
                f"it is packed by {self._kind}, and broken behind {at:,} unpacked bytes: {error}"
            ) from error

    def close(self) -> None:
        self._stream.close()
        super().close()


def packed_by(source: Path) -> str:
    """``gzip``, ``bzip2`` or ``xz``; "" for none of them. Raises ``Unreadable`` for Zstandard."""
    with source.open("rb") as stream:
        head = stream.read(6)
    if head.startswith(_ZSTD):
        raise Unreadable("it is packed by Zstandard; unpack it, or pack it by gzip, bzip2 or xz")
    return next((kind for mark, (kind, _) in _OPENERS.items() if head.startswith(mark)), "")


def opened(source: Path) -> BinaryIO:
    """The bytes of a file, unpacked where it is packed. Raises ``Unreadable``, also when read."""
    kind = packed_by(source)
    if not kind:
        return source.open("rb")
    opener = next(one for name, one in _OPENERS.values() if name == kind)
    return cast("BinaryIO", _Unpacked(cast("BinaryIO", opener(source)), kind))
