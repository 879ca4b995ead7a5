"""A place holds the bytes of one upload, in parts; once complete it is never written again.

Each part is an object that is named by its number, its size and the SHA-256 of what is stored,
so that a listing tells how far an upload is, and each part can be checked by itself. Places are
not used twice: what is removed can never be what somebody has just written.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

from msgspec import Struct

from modelyard.storage.artifacts.objects import Exists, Objects

PART = 8 * 1024 * 1024  # bytes of a part; the last may be smaller
INLINE = 8  # digests that are kept with the list of an artifact; more of them are an object
_NAME = re.compile(r"([0-9]{6})-([0-9]+)-([0-9a-f]{64})")
_INDEX = "index"


class Cipher(Protocol):
    """How parts are encrypted; a purpose binds each to its place."""

    def seal(self, purpose: str, content: bytes) -> bytes:
        """Encrypt."""

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """Decrypt. Raises ValueError."""


class Damaged(Exception):
    """What is stored is not what was stored."""


class Part(NamedTuple):
    """A part that is there. ``number`` begins at 1; ``size`` is that of its content."""

    number: int
    size: int
    digest: str  # of what is stored
    at: float  # when it came, in Unix seconds

    @property
    def name(self) -> str:
        """The object's name within the place."""
        return f"{self.number:06d}-{self.size}-{self.digest}"


class Bytes(Struct, frozen=True, kw_only=True):
    """Where an artifact's bytes are, and what they must be.

    ``parts`` are the digests of what is stored; where they are many, ``index`` is the digest of
    the object that holds them.
    """

    place: str
    size: int
    parts: list[str] = []
    index: str = ""
    sealed: bool = False


class Places:
    """Writes and reads places. With ``seals`` new parts are encrypted."""

    def __init__(self, objects: Objects, cipher: Cipher, *, seals: bool = False) -> None:
        self.objects = objects
        self.seals = seals
        self._cipher = cipher

    async def write(self, place: str, number: int, content: bytes, *, sealed: bool) -> Part:
        """Keep a part, in the stead of another of this number.

        A bucket tells whole seconds, so what is there before is removed: a listing would not tell
        which of them came last.
        """
        others: list[str] = []
        if self.objects.folder is None:
            others = await self.objects.beginning(f"{place}/{number:06d}-")
        data, digest = await asyncio.to_thread(self._stored, place, number, content, sealed)
        part = Part(number, len(content), digest, 0.0)
        try:
            await self.objects.put(f"{place}/{part.name}", data)
        except Exists:  # the same part again: it is whole, but another may have come since
            await self.objects.put(f"{place}/{part.name}", data, again=True)
        for name in others:
            if name != f"{place}/{part.name}":
                await self.objects.remove(name)
        return part

    async def survey(self, place: str) -> tuple[list[Part], list[str]]:
        """The parts that are there, in their order, and the names of those they superseded."""
        found: dict[int, Part] = {}
        superseded = []
        async for one in self.objects.under(place):
            named = _NAME.fullmatch(one.name.rpartition("/")[2])
            if named is None:
                continue
            part = Part(int(named[1]), int(named[2]), named[3], one.changed)
            other = found.get(part.number, part)
            older, newer = (other, part) if other.at <= part.at else (part, other)
            found[part.number] = newer
            if older is not newer:
                superseded.append(older.name)
        return [found[number] for number in sorted(found)], superseded

    async def finish(self, place: str, parts: list[Part], *, sealed: bool) -> Bytes:
        """What is needed to read the place."""
        size, digests = sum(one.size for one in parts), [one.digest for one in parts]
        if len(digests) <= INLINE:
            return Bytes(place=place, size=size, parts=digests, sealed=sealed)
        data = bytes.fromhex("".join(digests))
        name = f"{place}/{_INDEX}"
        try:
            await self.objects.put(name, data)
        except Exists:  # a completion that was cut off
            await self.objects.remove(name)
            await self.objects.put(name, data)
        index = hashlib.sha256(data).hexdigest()
        return Bytes(place=place, size=size, index=index, sealed=sealed)

    async def read(self, bytes_: Bytes, start: int, end: int) -> AsyncGenerator[memoryview, None]:
        """The bytes from ``start`` to before ``end``, part by part, each checked before it comes.

        Raises ``Damaged``.
        """
        digests = bytes_.parts or await self._index(bytes_)
        for at in range(start // PART, len(digests)):
            first = at * PART
            if first >= end:
                return
            size = min(PART, bytes_.size - first)
            part = Part(at + 1, size, digests[at], 0.0)
            content = await self.part(bytes_.place, part, sealed=bytes_.sealed)
            yield content[max(0, start - first) : end - first]

    async def part(self, place: str, part: Part, *, sealed: bool) -> memoryview:
        """The content of a part. Raises ``Damaged``."""
        data = await self.objects.get(f"{place}/{part.name}")
        if data is None:
            raise Damaged(f"{place}/{part.name} is missing")
        return await asyncio.to_thread(self._checked, place, part, data, sealed)

    def _stored(self, place: str, number: int, content: bytes, sealed: bool) -> tuple[bytes, str]:
        data = self._cipher.seal(_purpose(place, number), content) if sealed else content
        return data, hashlib.sha256(data).hexdigest()

    def _checked(self, place: str, part: Part, data: memoryview, sealed: bool) -> memoryview:
        if hashlib.sha256(data).hexdigest() != part.digest:
            raise Damaged(f"{place}/{part.name} is not what it was")
        if sealed:
            try:
                data = memoryview(self._cipher.open(_purpose(place, part.number), bytes(data)))
            except ValueError as error:
                raise Damaged(f"{place}/{part.name}: {error}") from error
        if len(data) != part.size:
            raise Damaged(f"{place}/{part.name} has {len(data)} bytes")
        return data

    async def _index(self, bytes_: Bytes) -> list[str]:
        if not bytes_.index:
            return []
        data = await self.objects.get(f"{bytes_.place}/{_INDEX}")
        if data is None or hashlib.sha256(data).hexdigest() != bytes_.index:
            raise Damaged(f"{bytes_.place}/{_INDEX} is missing, or not what it was")
        text = data.hex()
        return [text[at : at + 64] for at in range(0, len(text), 64)]


def _purpose(place: str, number: int) -> str:
    return f"artifact {place} {number}"
