"""Pictures and sounds made by hand, and archives of them."""

import io
import struct
import tarfile
import wave
import zipfile
import zlib
from collections.abc import Mapping


def png(width: int, height: int, colour: int = 0) -> bytes:
    """A picture of one colour."""
    rows = (b"\0" + bytes([colour, 0, 255 - colour]) * width) * height

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def jpeg(width: int, height: int) -> bytes:
    """A JPEG's frame, with as much before it as cameras write."""
    exif = b"\xff\xe1" + struct.pack(">H", 60_002) + bytes(60_000)
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8" + exif + frame + b"\xff\xda\x00\x02" + bytes(50) + b"\xff\xd9"


def wav(seconds: float, rate: int = 8000, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(bytes(int(seconds * rate) * 2 * channels))
    return buffer.getvalue()


def flac(samples: int, rate: int = 16_000) -> bytes:
    packed = (rate << 44 | 0 << 41 | 15 << 36 | samples).to_bytes(8, "big")
    return b"fLaC\x80\x00\x00\x22" + bytes(10) + packed + bytes(16)


def mp3(frames: int) -> bytes:
    """Frames of 128 kbit/s at 44.1 kHz, behind a tag."""
    frame = b"\xff\xfb\x90\x40" + bytes(413)
    return b"ID3\x04\0\0\0\0\x0a\0" + bytes(10 << 7) + frame * frames


def opus(samples: int) -> bytes:
    def page(flags: int, granule: int, packet: bytes) -> bytes:
        head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, 1, 0, 0, 1)
        return head + bytes([len(packet)]) + packet

    header = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 312, 44_100, 0, 0)
    return page(2, 0, header) + page(0, 9000, bytes(40)) + page(4, samples + 312, bytes(40))


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as out:
        for name, data in files.items():
            out.writestr(name, data)
    return buffer.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as out:  # type: ignore[call-overload]
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            out.addfile(about, io.BytesIO(data))
    return buffer.getvalue()


PHOTOS = {
    "photos/cat/1.png": png(30, 20, 10),
    "photos/cat/2.png": png(31, 21, 20),
    "photos/dog/1.jpg": jpeg(640, 480),
    "photos/dog/.DS_Store": b"x",
    "__MACOSX/photos/dog/._1.jpg": b"x",
    "photos/README.txt": b"about them",
}
