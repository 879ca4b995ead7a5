"""The chunks of a body whose length is not known (RFC 9112, section 7.1)."""

from __future__ import annotations

from typing import Final

_SMALL: Final = 4096  # bytes; what a stream's chunks hold, nearly always
_LINES: Final = [b"%x\r\n" % size for size in range(_SMALL)]
_UPPER: Final = [b"%X\r\n" % size for size in range(_SMALL)]


def frame(data: bytes) -> bytes:
    """One chunk that holds ``data``, which is not empty."""
    size = len(data)
    line = _LINES[size] if size < _SMALL else b"%x\r\n" % size
    return line + data + b"\r\n"


def unframe(data: bytes) -> bytes | None:
    """What a chunk holds, if ``data`` is exactly one: a small one without extensions.

    None for anything else, well-formed or not: that is the parser's to judge.
    """
    length = len(data)
    framing = 6 if length < 262 else 7  # with a size of two digits, or of three
    size = length - framing
    if size < 16 or size >= _SMALL or length == 262:
        return None
    line = data[: framing - 2]
    if line not in (_LINES[size], _UPPER[size]):
        return None
    return data[framing - 2 : length - 2] if data.endswith(b"\r\n") else None
