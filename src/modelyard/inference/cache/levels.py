"""The exact cache: its levels, from the memory down."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import inf
from time import monotonic, time
from typing import Final

from modelyard.inference.answer import Answer
from modelyard.inference.cache import records
from modelyard.inference.cache.level import Found, Level, Lookup
from modelyard.inference.cache.memory import MemoryCache
from modelyard.inference.cache.sealing import Sealer, Unreadable
from modelyard.inference.series import LevelCounts
from modelyard.settings import CacheSettings

_EVENT: Final = 112  # bytes that an event and its text take as objects, on CPython 3.11
_LARGE: Final = 32 * 1024  # bytes that are compressed and encrypted in a thread
_MOST_AT_ONCE: Final = 64  # large answers being sealed: more are not kept below


class Levels:
    """L1 in this process, and the ``lower`` levels in the order in which they are asked.

    An answer that a lower level has goes into those above it. No level fails a request: what
    cannot be asked in its time is skipped.
    """

    def __init__(self, settings: CacheSettings) -> None:
        self.settings = settings
        self.memory: MemoryCache[Answer] = MemoryCache(
            settings.l1_entries,
            settings.l1_bytes,
            settings.l1_ttl,
            settings.l1_policy,
            settings.l1_workspace_share,
        )
        self.lower: list[Level] = []
        self._sealer: Sealer | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._sealing = 0
        self._forgetting: set[asyncio.Task[int | None]] = set()

    def extend(self, lower: list[Level], sealer: Sealer) -> None:
        """Use these levels below the memory, from now on."""
        self.lower = lower
        self._sealer = sealer
        self._threads = ThreadPoolExecutor(1, "cache") if lower else None

    def get(self, lookup: Lookup) -> Answer | None:
        """The answer that the memory has."""
        terms = lookup.terms
        if terms.fresh:
            return None
        now = monotonic()
        oldest = -inf if terms.max_age is None else now - terms.max_age
        return self.memory.get(lookup.workspace, lookup.key, now, oldest)

    async def seek(self, lookup: Lookup) -> Answer | None:
        """The answer that a lower level has."""
        above: list[Level] = []
        for level in self.lower:
            if lookup.terms.fresh:
                await level.mark(lookup)
                continue
            found = await level.get(lookup)
            answer = None if found is None else await self._open(level, lookup, found)
            if found is not None and answer is not None:
                self._promote(lookup, answer, found, above)
                return answer
            above.append(level)
        return None

    def keep(self, lookup: Lookup, answer: Answer) -> None:
        """Put a complete, new answer into every level.

        Not one that began before its workspace was cleared, nor a stream whose beginning is gone
        or whose tokens nobody counted.
        """
        log = answer.log
        if answer.hit or self.memory.outdated(lookup.workspace, lookup.began):
            return
        if log is not None and (not log.joinable or log.usage is None):
            return
        now = monotonic()
        kept = Answer(
            body=answer.body,
            log=log,
            target=answer.target,
            provider=answer.provider,
            price=answer.price,
            usage=answer.usage if log is None else log.usage,
            model=answer.model if log is None else log.model or answer.model,
            finish_reason=answer.finish_reason if log is None else log.finish_reason,
            cache="l1",
            native=answer.native,
            warnings=answer.warnings,
            stored=now,
        )
        ttl = lookup.terms.ttl
        self.memory.put(lookup.workspace, lookup.key, kept, _size(kept), now, ttl)
        if self.lower:
            self._keep_below(lookup, kept)

    async def clear(self, level: str, workspace: str) -> int | None:
        """Forget a workspace's answers in one level; how many. None: when the level is back."""
        if level == "l1":
            return self.memory.clear(workspace)
        for one in self.lower:
            if one.name == level:
                return await one.clear(workspace)
        return 0

    def follow(
        self, workspace: str, at: float, level: str = "all", pending: Sequence[str] = ()
    ) -> None:
        """Another process has cleared a level of a workspace (Unix time), or all.

        ``pending`` are the levels that it could not reach.
        """
        if level in ("l1", "all"):
            self.memory.clear(workspace)
        for one in self.lower:
            if level in (one.name, "all"):
                one.remember(workspace, at, one.name not in pending)

    def forget(self, workspace: str) -> None:
        """Begin to clear every level of a workspace that is no more."""
        self.memory.clear(workspace)
        for level in self.lower:
            task = asyncio.get_running_loop().create_task(level.clear(workspace))
            self._forgetting.add(task)
            task.add_done_callback(self._forgetting.discard)

    def names(self) -> list[str]:
        """The levels that are turned on."""
        memory = self.memory
        first = ["l1"] if memory.max_entries and memory.max_bytes else []
        return first + [level.name for level in self.lower]

    def counted(self, into: dict[str, LevelCounts]) -> None:
        """Put what this process has counted into ``into``, by level."""
        first = into.setdefault("l1", LevelCounts())
        first.hits, first.misses = self.memory.hits, self.memory.misses
        for level in self.lower:
            into[level.name] = level.counts

    async def close(self) -> None:
        """Finish what is being kept."""
        if self._threads is not None:
            await asyncio.to_thread(self._threads.shutdown)
        await asyncio.gather(*self._forgetting, return_exceptions=True)
        for level in self.lower:
            await level.close()

    async def _open(self, level: Level, lookup: Lookup, found: Found) -> Answer | None:
        """The answer; None for one that cannot be read, or is too old for the request."""
        assert self._sealer is not None
        unseal = partial(self._sealer.open, _question(lookup), found.sealed)
        try:
            if len(found.sealed) > _LARGE:
                loop = asyncio.get_running_loop()
                data = await loop.run_in_executor(self._threads, unseal)
            else:
                data = unseal()
            record = records.decode(data)
        except (Unreadable, records.DecodeError):
            level.counts.errors += 1
            return None
        age = max(0.0, time() - record.created)
        if lookup.terms.max_age is not None and age > lookup.terms.max_age:
            level.counts.misses += 1
            return None
        level.counts.hits += 1
        return records.revive(record, level.name, monotonic() - age)

    def _promote(self, lookup: Lookup, answer: Answer, found: Found, above: list[Level]) -> None:
        """Put what a lower level had into those above it, for no longer than it lasts there."""
        space, now = lookup.workspace, monotonic()
        left = found.expires - time()
        if left <= 0.0 or self.memory.outdated(space, lookup.began):
            return
        kept = records.copy(answer, "l1")
        age = 0.0 if answer.stored is None else now - answer.stored
        ttl = min(left, self.memory.ttl)
        self.memory.put(space, lookup.key, kept, _size(kept), now, ttl, age)
        for level in above:
            level.put(lookup, found.sealed, min(found.expires, time() + level.ttl))

    def _keep_below(self, lookup: Lookup, kept: Answer) -> None:
        """Seal an answer and put it into the lower levels: in a thread where that takes time."""
        sealer = self._sealer
        assert sealer is not None
        if _size(kept) > self.settings.entry_bytes:
            return
        created = time()
        record = records.encode(kept, created)
        if len(record) > self.settings.entry_bytes:
            return
        if len(record) <= _LARGE:
            self._put_below(lookup, created, sealer.seal(_question(lookup), record))
        elif self._sealing < _MOST_AT_ONCE and self._threads is not None:
            self._sealing += 1
            loop = asyncio.get_running_loop()
            done = partial(self._put_below, lookup, created)
            work = loop.run_in_executor(self._threads, sealer.seal, _question(lookup), record)
            work.add_done_callback(partial(self._sealed, done))

    def _sealed(self, done: partial[None], work: asyncio.Future[bytes]) -> None:
        self._sealing -= 1
        if not work.cancelled() and work.exception() is None:
            done(work.result())

    def _put_below(self, lookup: Lookup, created: float, sealed: bytes) -> None:
        ttl = lookup.terms.ttl
        for level in self.lower:
            level.put(lookup, sealed, created + (level.ttl if ttl is None else ttl))


def _size(answer: Answer) -> int:
    """Bytes that an answer takes in memory, beside what every one takes."""
    native = answer.native
    size = len(answer.body) if native is None else len(answer.body) + len(native)
    log = answer.log
    if log is None:
        return size
    return size + log.size + log.text_bytes + len(log.events) * _EVENT


def _question(lookup: Lookup) -> bytes:
    return lookup.key + lookup.workspace.encode()
