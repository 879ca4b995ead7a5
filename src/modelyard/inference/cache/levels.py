"""The exact cache: its levels, from the memory down."""

from __future__ import annotations

from math import inf
from time import monotonic

from modelyard.inference.answer import Answer
from modelyard.inference.cache.level import Level, Lookup
from modelyard.inference.cache.memory import MemoryCache
from modelyard.settings import CacheSettings


class Levels:
    """L1 in this process, and the ``lower`` levels in the order in which they are asked.

    An answer that a lower level has goes into those above it. No level fails a request: what
    cannot be asked in its time is skipped.
    """

    def __init__(self, settings: CacheSettings) -> None:
        self.memory: MemoryCache[Answer] = MemoryCache(
            settings.l1_entries, settings.l1_bytes, settings.l1_ttl
        )
        self.lower: list[Level] = []

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
        size = len(answer.body) if log is None else log.size
        now = monotonic()
        kept = Answer(
            body=answer.body,
            log=log,
            target=answer.target,
            provider=answer.provider,
            price=answer.price,
            usage=answer.usage if log is None else log.usage,
            model=answer.model,
            finish_reason=answer.finish_reason if log is None else log.finish_reason,
            cache="l1",
            native=answer.native,
            warnings=answer.warnings,
            stored=now,
        )
        self.memory.put(lookup.workspace, lookup.key, kept, size, now, lookup.terms.ttl)
