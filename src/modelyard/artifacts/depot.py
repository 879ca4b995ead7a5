"""The bytes of an installation, as one process takes them in and gives them out."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager

from modelyard.artifacts.schema import Upload
from modelyard.protocol.digests import Digests
from modelyard.protocol.errors import Failure
from modelyard.settings.artifacts import ArtifactSettings
from modelyard.storage.artifacts.places import PART, Bytes, Part, Places

SLICE = 256 * 1024  # bytes that are sent at a time
_REMEMBERED = 256  # uploads whose hash goes on with the next part


class Hash:
    """The SHA-256 of an upload's first parts, as far as they came in their order."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sha256 = hashlib.sha256()


class Depot:
    """Takes in and gives out; in memory is a part or two of each transfer.

    ``opened`` makes the places at the first use.
    """

    def __init__(self, opened: Callable[[], Places], settings: ArtifactSettings) -> None:
        self.settings = settings
        self._opened = opened
        self._places: Places | None = None
        self._transfers = 0
        self._hashes: dict[str, Hash] = {}

    @property
    def places(self) -> Places:
        """Where the bytes are."""
        if self._places is None:
            self._places = self._opened()
        return self._places

    def admit(self) -> None:
        """Raise ``SYSTEM_OVERLOADED`` where as many transfers run as may."""
        if self._transfers >= self.settings.max_transfers:
            raise Failure(
                "SYSTEM_OVERLOADED",
                f"{self._transfers} artifacts are on their way here or from here. Try again in a "
                "moment.",
                retry_after=2,
            )

    @contextmanager
    def transfer(self) -> Iterator[None]:
        """Count a transfer while it runs."""
        self._transfers += 1
        try:
            yield
        finally:
            self._transfers -= 1

    async def receive(
        self, body: AsyncIterable[bytes], upload: Upload, digests: Digests
    ) -> tuple[Bytes, str]:
        """Store a whole body at the upload's place; what it is, and its SHA-256.

        While a part is stored the next one comes in. Raises ``PAYLOAD_TOO_LARGE``,
        ``STORAGE_FULL``, ``INVALID_REQUEST`` where a digest does not fit.
        """
        parts: list[Part] = []
        pending: asyncio.Task[Part] | None = None
        try:
            async for content in self._cut(body):
                if pending is not None:
                    parts.append(await pending)
                number = len(parts) + 1
                pending = asyncio.create_task(self._store(upload, number, content, digests))
            if pending is not None:
                parts.append(await pending)
        finally:
            if pending is not None and not pending.done():
                pending.cancel()
                await asyncio.gather(pending, return_exceptions=True)
        digests.check()
        made = await self.places.finish(upload.place, parts, sealed=upload.sealed)
        return made, digests.sha256.hexdigest()

    async def _cut(self, body: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """The body in parts."""
        waiting, total = bytearray(), 0
        async for data in body:
            total += len(data)
            self.check_size(total)
            waiting += data
            while len(waiting) >= PART:
                content = bytes(memoryview(waiting)[:PART])
                del waiting[:PART]
                yield content
        if waiting:
            yield bytes(waiting)

    async def _store(self, upload: Upload, number: int, content: bytes, digests: Digests) -> Part:
        await asyncio.to_thread(digests.update, content)
        return await self.places.write(upload.place, number, content, sealed=upload.sealed)

    def check_size(self, size: int) -> None:
        """Raise ``PAYLOAD_TOO_LARGE`` for more than an artifact may have."""
        limit = self.settings.max_bytes
        if size > limit:
            raise Failure(
                "PAYLOAD_TOO_LARGE",
                f"An artifact may have {limit} bytes here (artifacts.max_bytes).",
                details={"limit_bytes": limit},
            )

    async def receive_part(
        self,
        body: AsyncIterable[bytes],
        upload: Upload,
        number: int,
        headers: Mapping[bytes, bytes],
    ) -> Part:
        """Store one part of an upload. Raises as ``receive``."""
        content, most = bytearray(), part_size(upload, number)
        async for data in body:
            content += data
            if len(content) > most:
                raise _wrong_size(number, most, upload)
        if not content or (upload.size is not None and len(content) != most):
            raise _wrong_size(number, most, upload)
        self.check_size((number - 1) * PART + len(content))
        digests, whole = Digests(headers), bytes(content)
        del content
        await asyncio.to_thread(digests.update, whole)
        digests.check()
        part = await self.places.write(upload.place, number, whole, sealed=upload.sealed)
        await self._go_on(upload.place, part, whole)
        return part

    async def _go_on(self, place: str, part: Part, content: bytes) -> None:
        """Hash on with a part that came in its order; else all is read again in the end."""
        if part.number == 1:
            while len(self._hashes) >= _REMEMBERED:
                self._hashes.pop(next(iter(self._hashes)))
            self._hashes[place] = Hash()
        known = self._hashes.pop(place, None)
        if known is not None and len(known.names) == part.number - 1:
            await asyncio.to_thread(known.sha256.update, content)
            known.names.append(part.name)
            self._hashes[place] = known

    async def complete(self, upload: Upload) -> tuple[Bytes, str]:
        """An upload whose parts are all there; its SHA-256. Raises ``CONFLICT``, ``Damaged``."""
        parts, superseded = await self.places.survey(upload.place)
        _check_whole(upload, parts)
        self.check_size(sum(one.size for one in parts))
        known = self._hashes.get(upload.place)
        if known is None or known.names != [one.name for one in parts]:
            known = Hash()
            for one in parts:
                content = await self.places.part(upload.place, one, sealed=upload.sealed)
                await asyncio.to_thread(known.sha256.update, content)
                known.names.append(one.name)
            self._hashes[upload.place] = known  # where it has to be decided anew
        for name in superseded:
            await self.places.objects.remove(f"{upload.place}/{name}")
        made = await self.places.finish(upload.place, parts, sealed=upload.sealed)
        return made, known.sha256.hexdigest()

    async def stored(self, place: str) -> int:
        """The bytes at a place, also of parts that others superseded."""
        return sum([one.size async for one in self.places.objects.under(place)])

    async def drop(self, place: str) -> None:
        """Remove all bytes of a place."""
        self._hashes.pop(place, None)
        await self.places.objects.drop(place)

    async def send(
        self, first: memoryview, rest: AsyncGenerator[memoryview, None]
    ) -> AsyncGenerator[bytes, None]:
        """The parts in pieces that fit into a connection's buffer."""
        with self.transfer():
            async with aclosing(rest):
                part: memoryview | None = first
                while part is not None:
                    for at in range(0, len(part), SLICE):
                        yield bytes(part[at : at + SLICE])
                    part = await anext(rest, None)


def part_size(upload: Upload, number: int) -> int:
    """The most bytes of a part; exactly so many where the size of the whole is known."""
    if upload.size is None:
        return PART
    return max(0, min(PART, upload.size - (number - 1) * PART))


def _wrong_size(number: int, most: int, upload: Upload) -> Failure:
    exact = upload.size is not None
    return Failure(
        "INVALID_REQUEST",
        f"Part {number} must have {'' if exact else 'at most '}{most} bytes"
        f"{'' if exact else ' and not be empty'}. Nothing of it was kept.",
        details={"field": "body", "rule": "size", "allowed": most},
    )


def _check_whole(upload: Upload, parts: list[Part]) -> None:
    present = {one.number for one in parts}
    last = max(present, default=0)
    if upload.size is not None:
        last = max(last, -(-upload.size // PART))
    missing = [number for number in range(1, last + 1) if number not in present]
    short = [one.number for one in parts[:-1] if one.size != PART]
    if missing or short:
        told = f"parts are missing: {missing[:10]}" if missing else f"too short: {short[:10]}"
        raise Failure(
            "CONFLICT",
            f"The upload is not whole: {told}. Send those, then complete it.",
            details={"field": "parts", "missing": missing[:1000], "short": short[:1000]},
        )
