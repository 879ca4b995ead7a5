"""What the first bytes of a picture tell: PNG, JPEG, GIF, WebP and BMP, without decoding any.

Formats: PNG (ISO/IEC 15948), JPEG (ITU-T T.81), GIF89a, the WebP container (RFC 9649) and the
bitmap headers of Windows. Modes have Pillow's names: ``1``, ``L``, ``LA``, ``P``, ``RGB``,
``RGBA``, ``CMYK``, ``I;16``.
"""

from __future__ import annotations

import struct

from msgspec import Struct

LARGEST = 1 << 20  # pixels of a side: above, a header is nonsense
_PNG = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's frames (SOF)


class Broken(ValueError):
    """A file that is not what it seems to be; the message says why."""


class Picture(Struct, frozen=True):
    """A picture: its sides in pixels."""

    media_type: str
    width: int
    height: int
    mode: str


def media_type(head: bytes) -> str:
    """The media type by the first 12 bytes; "" for what is no picture."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "image/bmp"
    return ""


def picture(head: bytes, tail: bytes, size: int) -> Picture:
    """A picture of ``size`` bytes by its first and its last ones. Raises ``Broken``."""
    kind = media_type(head)
    try:
        width, height, mode = _READERS[kind](head, tail, size)
    except (struct.error, IndexError, KeyError):
        raise Broken("its header is cut short or damaged") from None
    if not (0 < width <= LARGEST and 0 < height <= LARGEST):
        raise Broken(f"its header tells of {width} by {height} pixels")
    return Picture(kind, width, height, mode)


def _png(head: bytes, tail: bytes, size: int) -> tuple[int, int, str]:
    length, name = struct.unpack_from(">I4s", head, 8)
    if name != b"IHDR" or length != 13:
        raise Broken("a PNG begins with IHDR")
    width, height, depth, colour = struct.unpack_from(">IIBB", head, 16)
    if tail[-8:-4] != b"IEND":
        raise Broken("it ends before its end (no IEND): it was cut off")
    mode = _PNG[colour]
    if mode == "L":
        mode = {1: "1", 16: "I;16"}.get(depth, "L")
    return width, height, mode


def _jpeg(head: bytes, tail: bytes, size: int) -> tuple[int, int, str]:
    at = 2
    while True:
        if head[at] != 0xFF:
            raise Broken("there is no marker where one must be")
        while head[at] == 0xFF:
            at += 1
        marker = head[at]
        at += 1
        if marker in (0x01, *range(0xD0, 0xD9)):  # these have no length
            continue
        (length,) = struct.unpack_from(">H", head, at)
        if marker in _SIZES:
            _, height, width, parts = struct.unpack_from(">BHHB", head, at + 2)
            break
        if marker in (0xD9, 0xDA) or length < 2:
            raise Broken("there is no frame in it")
        at += length
    if b"\xff\xd9" not in tail:
        raise Broken("it ends before its end (no EOI): it was cut off")
    return width, height, {1: "L", 3: "RGB", 4: "CMYK"}[parts]


def _gif(head: bytes, tail: bytes, size: int) -> tuple[int, int, str]:
    width, height = struct.unpack_from("<HH", head, 6)
    if b"\x3b" not in tail[-16:]:
        raise Broken("it ends before its end (no trailer): it was cut off")
    return width, height, "P"


def _webp(head: bytes, tail: bytes, size: int) -> tuple[int, int, str]:
    (length,) = struct.unpack_from("<I", head, 4)
    if length + 8 > size:
        raise Broken(f"it tells of {length + 8} bytes and has {size}: it was cut off")
    kind = head[12:16]
    if kind == b"VP8X":
        flags, width, height = head[20], head[24:27], head[27:30]
        wide, high = (int.from_bytes(one, "little") + 1 for one in (width, height))
        return wide, high, "RGBA" if flags & 0x10 else "RGB"
    if kind == b"VP8L":
        if head[20] != 0x2F:
            raise Broken("its lossless header is damaged")
        bits = int.from_bytes(head[21:25], "little")
        alpha = bits >> 28 & 1
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, "RGBA" if alpha else "RGB"
    if kind != b"VP8 " or head[23:26] != b"\x9d\x01\x2a":
        raise Broken("its header is damaged")
    width16, height16 = struct.unpack_from("<HH", head, 26)
    return width16 & 0x3FFF, height16 & 0x3FFF, "RGB"


def _bmp(head: bytes, tail: bytes, size: int) -> tuple[int, int, str]:
    length, _, _, header = struct.unpack_from("<IIII", head, 2)
    if length > size:
        raise Broken(f"it tells of {length} bytes and has {size}: it was cut off")
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", head, 18)
    return width, abs(height), {1: "1", 4: "P", 8: "P", 16: "RGB", 24: "RGB", 32: "RGB"}[bits]


_READERS = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/gif": _gif,
    "image/webp": _webp,
    "image/bmp": _bmp,
}
