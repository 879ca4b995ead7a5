"""What a sound file tells of itself: WAV, FLAC, MP3 and Ogg (Vorbis, Opus), without decoding any.

Formats: RIFF WAVE, FLAC (RFC 9639), MPEG audio frames (ISO/IEC 11172-3, 13818-3), Ogg (RFC 3533)
with Vorbis I and Opus (RFC 7845).
"""

from __future__ import annotations

import struct

from msgspec import Struct

from modelyard.catalog.datasets.media.pictures import Broken

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KBITS = {  # by whether it is MPEG 1, and the layer's bits: 3 is layer I
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_OPUS = 48_000  # Opus counts its samples at this rate, whatever was recorded


class Sound(Struct, frozen=True):
    """A sound: seconds (None where the file does not tell), samples a second, channels."""

    media_type: str
    duration: float | None
    sample_rate: int
    channels: int


class Frame(Struct, frozen=True):
    """The header of an MPEG audio frame."""

    size: int
    samples: int
    rate: int
    channels: int


def media_type(head: bytes) -> str:
    """The media type by the first 12 bytes; "" for what is no sound."""
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "audio/wav"
    if head.startswith(b"fLaC"):
        return "audio/flac"
    if head.startswith(b"OggS"):
        return "audio/ogg"
    if head.startswith(b"ID3") or _frame(head[:4]) is not None:
        return "audio/mpeg"
    return ""


class Counting:
    """Walks over the frames of an MP3 as its bytes go by: exact without a Xing header."""

    def __init__(self) -> None:
        self._kept = b""
        self._skip = 0
        self._begun = False
        self.first: Frame | None = None
        self.samples = 0
        self.lost = 0  # bytes that are of no frame

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        kept, at = self._kept + data[self._skip :], 0
        self._skip = 0
        if not self._begun and kept[:3] == b"ID3":
            if len(kept) < 10:
                self._kept = kept
                return
            at = 10 + sum((kept[6 + place] & 0x7F) << 7 * (3 - place) for place in range(4))
        self._begun = True
        while at + 4 <= len(kept):
            frame = _frame(kept[at : at + 4])
            if frame is None:
                self._lose(kept[at : at + 3])
                at += 1
                continue
            self.first = self.first or frame
            self.samples += frame.samples
            at += frame.size
        self._skip = max(0, at - len(kept))
        self._kept = kept[at:]

    def _lose(self, begin: bytes) -> None:
        if begin != b"TAG":  # ID3v1 is at the end
            self.lost += 1


def sound(head: bytes, tail: bytes, size: int, frames: Counting) -> Sound:
    """A sound of ``size`` bytes by its first and its last ones. Raises ``Broken``."""
    kind = media_type(head)
    try:
        made = _mp3(frames) if kind == "audio/mpeg" else _READERS[kind](head, tail, size)
    except (struct.error, IndexError, KeyError):
        raise Broken("its header is cut short or damaged") from None
    if made.sample_rate <= 0 or made.channels <= 0:
        raise Broken(f"its header tells of {made.sample_rate} Hz and {made.channels} channels")
    return made


def _wav(head: bytes, tail: bytes, size: int) -> Sound:
    at, form = 12, None
    while True:
        name, length = struct.unpack_from("<4sI", head, at)
        if name == b"fmt ":
            form = struct.unpack_from("<HHIIHH", head, at + 8)
        if name == b"data":
            break
        at += 8 + length + length % 2
    if form is None:
        raise Broken("it has no format before its data")
    _, channels, rate, second, _, _ = form
    there = size - at - 8
    if length in (0, 0xFFFFFFFF):  # it was written as a stream
        length = there
    if length > there:
        raise Broken(f"it tells of {length} bytes of sound and has {there}: it was cut off")
    return Sound("audio/wav", length / second if second else None, rate, channels)


def _flac(head: bytes, tail: bytes, size: int) -> Sound:
    if head[4] & 0x7F != 0 or len(head) < 42:
        raise Broken("a FLAC begins with STREAMINFO")
    bits = int.from_bytes(head[18:26], "big")
    rate, channels, samples = bits >> 44, (bits >> 41 & 7) + 1, bits & (1 << 36) - 1
    return Sound("audio/flac", samples / rate if samples and rate else None, rate, channels)


def _ogg(head: bytes, tail: bytes, size: int) -> Sound:
    packet = 27 + head[26]
    if head[packet : packet + 7] == b"\x01vorbis":
        channels, rate = struct.unpack_from("<BI", head, packet + 11)
        counted, before = rate, 0
    elif head[packet : packet + 8] == b"OpusHead":
        channels, before, rate = struct.unpack_from("<BHI", head, packet + 9)
        counted, rate = _OPUS, rate or _OPUS
    else:
        raise Broken("it holds neither Vorbis nor Opus")
    last = tail.rfind(b"OggS")
    if last < 0 or last + 14 > len(tail):
        raise Broken("it has no last page: it was cut off")
    (samples,) = struct.unpack_from("<q", tail, last + 6)
    if not tail[last + 5] & 4:
        raise Broken("its last page is not marked so: it was cut off")
    return Sound("audio/ogg", max(0, samples - before) / counted, rate, channels)


def _mp3(frames: Counting) -> Sound:
    first = frames.first
    if first is None:
        raise Broken("there is no MPEG frame in it")
    if frames.lost > 4096 and frames.lost > frames.samples:
        raise Broken(f"{frames.lost} bytes of it are of no MPEG frame")
    return Sound("audio/mpeg", frames.samples / first.rate, first.rate, first.channels)


def _frame(head: bytes) -> Frame | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    kbits, rate_at = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 0 or kbits in (0, 15) or rate_at == 3:
        return None
    rate, padding = _RATES[version][rate_at], head[2] >> 1 & 1
    speed = _KBITS[version == 3, layer][kbits - 1] * 1000
    channels = 1 if head[3] >> 6 == 3 else 2
    if layer == 3:
        return Frame((12 * speed // rate + padding) * 4, 384, rate, channels)
    samples = 576 if layer == 1 and version != 3 else 1152
    return Frame(samples // 8 * speed // rate + padding, samples, rate, channels)


_READERS = {"audio/wav": _wav, "audio/flac": _flac, "audio/ogg": _ogg}
