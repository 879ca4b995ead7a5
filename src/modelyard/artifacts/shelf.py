"""The artifacts of one workspace, for the methods of other resources: ``context.artifacts``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing

from msgspec import structs

from modelyard.artifacts import artifacts, blobs, keeping, purging, uploads
from modelyard.artifacts.depot import Depot
from modelyard.artifacts.schema import OCTETS, Artifact, Blob, Upload
from modelyard.kernel import names
from modelyard.kernel.context import Context, Item
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Address, Commit, Refused, Row, Store
from modelyard.kernel.purge import ACTOR
from modelyard.protocol import errors
from modelyard.protocol.asgi import Inflow
from modelyard.protocol.digests import Digests
from modelyard.protocol.errors import Failure
from modelyard.storage.artifacts.places import Bytes, Damaged

log = logging.getLogger("modelyard.artifacts")


class Shelf:
    """Implements ``kernel.ports.Artifacts`` for a context."""

    def __init__(self, context: Context, depot: Depot) -> None:
        self._context = context
        self._depot = depot

    async def put(self, body: AsyncIterable[bytes], *, name: str = "", media_type: str = "") -> str:
        """See ``Artifacts``."""
        upload = uploads.fit(
            {"name": name, "media_type": media_type or OCTETS, "retention": "referenced"}
        )
        return (await self.take(body, upload, Digests({}), unchecked=True)).id

    async def take(
        self,
        body: AsyncIterable[bytes],
        upload: Upload,
        digests: Digests,
        *,
        unchecked: bool = False,
    ) -> Item[Artifact]:
        """Store a body, and stage its artifact. A body of a request is read once, however often
        the request has to be decided.
        """
        memo = body.memo if isinstance(body, Inflow) else None
        if memo is None:
            memo = await self._received(body, upload, digests)
            if isinstance(body, Inflow):
                body.memo = memo
        item, made, sha256 = memo
        try:
            return await keeping.keep(
                self._context, self._depot, item, made, sha256, unchecked=unchecked
            )
        except Failure:
            await keeping.discard(self._context.ports.store, self._depot, item)
            raise

    async def _received(
        self, body: AsyncIterable[bytes], upload: Upload, digests: Digests
    ) -> tuple[Item[Upload], Bytes, str]:
        depot, store = self._depot, self._context.ports.store
        depot.admit()
        with depot.transfer():
            item = await keeping.begin(self._context, depot, upload)
            try:
                made, sha256 = await depot.receive(body, item.spec, digests)
                check_sha256(upload.sha256, sha256)
                place = item.spec.place
                await keeping.affordable(self._context, depot, made.size, place=place)
            except BaseException:
                await asyncio.shield(keeping.discard(store, depot, item))
                raise
        return item, made, sha256

    async def size(self, ref: str) -> int:
        """See ``Artifacts``."""
        return (await self._artifact(ref)).spec.size

    async def encrypted(self, ref: str) -> bool:
        """See ``Artifacts``."""
        for write in self._context.commit.writes:
            if (write.row.address.kind, write.row.address.id) == (blobs.kind, ref):
                return blobs.load(write.row).bytes.sealed
        item = await self._artifact(ref)
        row = await self._context.ports.store.get(Address(blobs.kind, "", "", item.spec.blob))
        if row is None:
            raise names.missing(item.row.address)
        return blobs.load(row).bytes.sealed

    async def purge(self, ref: str) -> int:
        """See ``Artifacts``."""
        context = self._context
        return await purging.purge(context.ports.store, self._depot, context.workspace, ref)

    async def open(
        self, ref: str, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """See ``Artifacts``."""
        item = await self._artifact(ref)
        stop = item.spec.size if end is None else min(end, item.spec.size)
        async with aclosing(self.read(item, start, stop)) as parts:
            async for part in parts:
                yield bytes(part)

    async def read(
        self, item: Item[Artifact], start: int, end: int
    ) -> AsyncGenerator[memoryview, None]:
        """The bytes of an artifact, part by part. What is damaged is marked so, and told."""
        store = self._context.ports.store
        row = await store.get(Address(blobs.kind, "", "", item.spec.blob))
        if row is None:
            raise names.missing(item.row.address)
        blob = blobs.load(row)
        try:
            async with aclosing(self._depot.places.read(blob.bytes, start, end)) as parts:
                async for part in parts:
                    yield part
        except Damaged as error:
            log.error("artifact %s is damaged: %s", item.id, error)
            await mark(store, item, row, blob)
            raise Failure(
                "INTERNAL",
                "The stored bytes of this artifact are damaged: what was read of them is not what "
                "was stored. Upload it again to mend it.",
                details={"resource": item.name, "damaged": True},
            ) from error

    async def _artifact(self, ref: str) -> Item[Artifact]:
        address = Address(artifacts.kind, self._context.workspace, "", ref)
        row = await self._context.ports.store.get(address)
        if row is None:
            raise names.missing(address)
        return Item(artifacts, row)


async def mark(store: Store, item: Item[Artifact], row: Row, blob: Blob) -> None:
    """Record that bytes are damaged, so that the next upload of them takes their place."""
    before = item.row
    spec = structs.replace(item.spec, damaged_at=item.spec.damaged_at or errors.timestamp())
    writes = [keeping.changed(artifacts, before, spec)]
    if not blob.damaged:
        writes.append(keeping.changed(blobs, row, structs.replace(blob, damaged=True)))
    event = Event(
        workspace=before.address.workspace,
        actor=ACTOR,
        verb="artifact.damage",
        resource=before.address.name,
        kind=artifacts.kind,
        request_id="",
        before=artifacts.show(before),
        after=artifacts.show(writes[0].row),
    )
    try:
        await store.commit(Commit(writes=writes, events=[event]))
    except Refused:
        return  # somebody changed it meanwhile: the next read finds it again


def check_sha256(wanted: str | None, found: str) -> None:
    """Raise ``INVALID_REQUEST`` where the bytes are not those that were declared."""
    if wanted is not None and wanted != found:
        raise Failure(
            "INVALID_REQUEST",
            f"The bytes have the SHA-256 {found}, not what 'sha256' says. Send them again.",
            details={"field": "sha256", "rule": "digest", "expected": wanted, "found": found},
        )
