"""What nobody needs any more is removed. Any process may do so, also several at a time.

Nothing here decides by what it read a moment ago: each removal is a commit that the store refuses
if anything was done to the row meanwhile, or if something refers to it. Bytes are deleted after
the commit that removed their row, and no place is ever written again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import AsyncGenerator
from typing import Any

from msgspec import Struct, structs

from modelyard.artifacts import artifacts, blobs, keeping, trash, uploads
from modelyard.artifacts.depot import Depot
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Commit, Query, Refused, Row, Store, Write, position
from modelyard.kernel.purge import ACTOR
from modelyard.kernel.resource import Resource
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import Compare, Filter
from modelyard.storage.commits import REFERS

_PAGE = 200
_PLACE = re.compile("place_[0-9a-f]{16}")
_SWEEP_SECONDS = 6 * 3600.0  # between looks for bytes that have no row: what a crash left
WORKSPACES = "auth/workspaces"

log = logging.getLogger("modelyard.artifacts")


class Collected(Struct):
    """What one round removed."""

    uploads: int = 0
    artifacts: int = 0
    blobs: int = 0
    places: int = 0


class Collector:
    """Removes uploads that were left, artifacts that nothing refers to, and bytes without one."""

    def __init__(self, store: Store, depot: Depot) -> None:
        self._store = store
        self._depot = depot
        every = depot.settings.collect_seconds
        self._at = time.monotonic() + random.random() * every  # noqa: S311 (not all at once)
        self._sweep_at = self._at
        self._running: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Begin a round where it is time for one; called often, returns at once."""
        if self._running is not None or time.monotonic() < self._at:
            return
        self._running = asyncio.create_task(self._round())

    async def _round(self) -> None:
        try:
            sweep = time.monotonic() >= self._sweep_at
            done = await self.collect(time.time(), sweep=sweep)
            if sweep:
                self._sweep_at = time.monotonic() + _SWEEP_SECONDS
            if done != Collected():
                log.info("artifacts were collected", extra=structs.asdict(done))
        except (Failure, OSError) as error:
            log.error("artifacts cannot be collected: %s", error)
        finally:
            self._at = time.monotonic() + self._depot.settings.collect_seconds
            self._running = None

    async def stop(self) -> None:
        """End a round that runs: what it has begun is gone on with by the next."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def collect(self, now: float, *, sweep: bool = True) -> Collected:
        """One round, as of a time in Unix seconds."""
        done = Collected()
        before = now - self._depot.settings.grace_seconds
        done.uploads = await self._uploads(now)
        done.artifacts = await self._artifacts(now, before)
        done.blobs = await self._blobs(before)
        for row in await self._store.everywhere(trash.kind):  # what a crash left
            await keeping.throw(self._store, self._depot, row.address.id)
            done.places += 1
        if sweep:
            done.places += await self._places(before)
        return done

    async def _uploads(self, now: float) -> int:
        removed = 0
        for row in await self._store.everywhere(uploads.kind):
            spec = uploads.load(row)
            if row.created_at + spec.idle_seconds > now:
                continue
            parts, _ = await self._depot.places.survey(spec.place)
            if max((one.at for one in parts), default=0.0) + spec.idle_seconds > now:
                continue
            event = _event(uploads, row, "artifact.expire")
            if await self._removed([_gone(row), keeping.thrown(spec.place)], [event]):
                await keeping.throw(self._store, self._depot, spec.place)
                removed += 1
        return removed

    async def _artifacts(self, now: float, before: float) -> int:
        """Those that are kept by reference, and have none for the grace period."""
        removed = 0
        wanted = Compare(artifacts.filterable["retention"], "=", "referenced")
        async for page in self._pages(wanted):
            workspace = page[0].address.workspace
            used = await self._used(workspace, [row.address.name for row in page])
            for row in page:
                idle = row.spec.get("idle_since")
                if row.address.name in used:
                    await self._idle(row, None)
                elif idle is None:
                    await self._idle(row, now)
                elif idle <= before:
                    removed += await self._ended(row, now)
        return removed

    async def _pages(self, wanted: Filter) -> AsyncGenerator[list[Row], None]:
        for workspace in await self._store.everywhere(WORKSPACES):
            query = Query(
                kind=artifacts.kind, workspace=workspace.address.id, filter=wanted, size=_PAGE
            )
            while page := await self._store.page(query):
                yield page
                query = structs.replace(query, after=position(query, page[-1]))

    async def _used(self, workspace: str, names: list[str]) -> set[str]:
        """Those that something refers to; some may lack, as the removal itself looks again."""
        edges = await self._store.edges(workspace, names, towards=True, size=10 * _PAGE)
        return {one.target for one in edges if one.relation == REFERS}

    async def _idle(self, row: Row, since: float | None) -> None:
        spec = artifacts.load(row)
        if spec.idle_since != since:
            write = keeping.changed(artifacts, row, structs.replace(spec, idle_since=since))
            await self._removed([write], [])

    async def _ended(self, row: Row, now: float) -> bool:
        spec, workspace = artifacts.load(row), row.address.workspace
        writes = [
            _gone(row),
            await keeping.counted(self._store, workspace, -spec.size, -1),
            *await keeping.freed(self._store, row.address.id, now),
        ]
        return await self._removed(writes, [_event(artifacts, row, "artifact.collect")])

    async def _blobs(self, before: float) -> int:
        removed = 0
        for row in await self._freed(before):
            spec = blobs.load(row)
            if await self._removed([_gone(row), keeping.thrown(spec.place)], []):
                await keeping.throw(self._store, self._depot, spec.place)
                removed += 1
                continue
            now = await self._store.get(row.address)
            if now is not None and now.revision == row.revision:  # others have the same bytes
                kept = structs.replace(spec, freed_at=0.0)
                await self._removed([keeping.changed(blobs, row, kept)], [])
        return removed

    async def _freed(self, before: float) -> list[Row]:
        field = blobs.filterable["freed_at"]
        found: list[Row] = []
        query = Query(kind=blobs.kind, workspace="", filter=Compare(field, ">", 0.0), size=_PAGE)
        while page := await self._store.page(query):
            found += [row for row in page if float(row.spec["freed_at"]) <= before]
            query = structs.replace(query, after=position(query, page[-1]))
        return found

    async def _places(self, before: float) -> int:
        """Bytes that no row knows, such as of a part that came as its upload was aborted.

        Only in a folder: a bucket may be another's, too. A place has its row before its bytes.
        """
        objects = self._depot.places.objects
        if objects.folder is None:
            return 0
        removed = await objects.sweep(before)
        for place in filter(_PLACE.fullmatch, await objects.folders()):
            known = [
                await self._store.find(kind, ("place",), place)
                for kind in (uploads.kind, blobs.kind)
            ]
            # In this order: what is completed in between is found as bytes.
            if known == [None, None]:
                await self._depot.drop(place)
                removed += 1
        return removed

    async def _removed(self, writes: list[Write], events: list[Event]) -> bool:
        try:
            await self._store.commit(Commit(writes=writes, events=events))
        except Refused:  # somebody needs it, or changed it
            return False
        return True


def _gone(row: Row) -> Write:
    after = structs.replace(row, revision=row.revision + 1)
    return Write(row=after, expected=row.revision, remove=True, guard=True)


def _event(one: Resource[Any], row: Row, verb: str) -> Event:
    return Event(
        workspace=row.address.workspace,
        actor=ACTOR,
        verb=verb,
        resource=row.address.name,
        kind=one.kind,
        request_id="",
        before=one.show(row),
    )
