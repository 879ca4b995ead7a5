"""L1: exact answers in memory, bounded in entries and bytes, one space per workspace."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import Generic, TypeVar

from modelyard.inference.cache.entries import Entries, Entry, ExpiryEntries, FrequencyEntries
from modelyard.inference.series import LevelCounts

T = TypeVar("T")


class MemoryCache(Generic[T]):
    """When it is full, answers leave from the workspace that holds most, by the ``policy``.

    So a busy workspace cannot push another one's answers out, and no answer is ever found from
    another workspace: each has its own space, of at most ``share`` of the whole.
    """

    OVERHEAD = 600  # bytes an entry costs beside its answer, measured on CPython 3.11

    def __init__(
        self,
        max_entries: int,
        max_bytes: int,
        ttl: float,
        policy: str = "lru",
        share: float = 1.0,
    ) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.ttl = ttl
        self.policy = policy
        self.entries = 0
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self._most_entries = max(1, int(max_entries * share))
        self._most_bytes = int(max_bytes * share)
        self._cleared: dict[str, float] = {}
        self._spaces: dict[str, Entries[T]] = {}

    def continue_from(self, counts: LevelCounts) -> None:
        """Count on from what another process, which this one replaces, had counted."""
        self.hits += counts.hits
        self.misses += counts.misses

    def get(self, workspace: str, key: bytes, now: float, oldest: float = -inf) -> T | None:
        """The kept answer, or None. One that was stored before ``oldest`` will not do."""
        space = self._spaces.get(workspace)
        entry = space.kept.get(key) if space is not None else None
        if entry is None or space is None:
            self.misses += 1
            return None
        if entry.expires <= now:
            self._remove(workspace, space, key)
            self.misses += 1
            return None
        if entry.stored < oldest:
            self.misses += 1
            return None
        space.used(key, entry)
        self.hits += 1
        return entry.value

    def outdated(self, workspace: str, began: float) -> bool:
        """Whether the workspace was cleared after a call began: its answer is not to be kept."""
        return bool(self._cleared) and self._cleared.get(workspace, 0.0) >= began

    def put(
        self,
        workspace: str,
        key: bytes,
        value: T,
        size: int,
        now: float,
        ttl: float | None = None,
        age: float = 0.0,
    ) -> None:
        """Keep an answer of ``size`` bytes for ``ttl`` seconds (None: as all).

        One that is larger than a tenth of the cache is not kept. ``age``: seconds since it was new.
        """
        size += self.OVERHEAD
        if self.max_entries <= 0 or size > self.max_bytes // 10 or size > self._most_bytes:
            return
        space = self._spaces.get(workspace)
        if space is not None and key in space.kept:
            self._remove(workspace, space, key)
        self._make_room(workspace, size)
        space = self._spaces.get(workspace)
        if space is None:
            space = self._spaces[workspace] = self._new()
        expires = now + (self.ttl if ttl is None else ttl)
        space.add(key, Entry(value, size, expires, now - age))
        self.entries += 1
        self.bytes += size

    def clear(self, workspace: str | None = None) -> int:
        """Forget one workspace's entries (or all); returns how many."""
        names = list(self._spaces) if workspace is None else [workspace]
        removed = 0
        for name in names:
            self._cleared[name] = monotonic()
            space = self._spaces.pop(name, None)
            if space is not None:
                removed += len(space.kept)
                self.entries -= len(space.kept)
                self.bytes -= space.bytes
        return removed

    def count(self, workspace: str) -> tuple[int, int]:
        """Entries and bytes of one workspace."""
        space = self._spaces.get(workspace)
        return (0, 0) if space is None else (len(space.kept), space.bytes)

    def _new(self) -> Entries[T]:
        if self.policy == "lfu":
            return FrequencyEntries()
        return ExpiryEntries() if self.policy == "ttl" else Entries()

    def _make_room(self, workspace: str, size: int) -> None:
        """For one more entry, in the workspace's share and in the whole."""
        while True:
            space = self._spaces.get(workspace)
            if space is None:
                break
            if len(space.kept) < self._most_entries and space.bytes + size <= self._most_bytes:
                break
            self._remove(workspace, space, space.first())
        while self.entries >= self.max_entries or self.bytes + size > self.max_bytes:
            name = self._fullest(workspace)
            fullest = self._spaces[name]
            self._remove(name, fullest, fullest.first())

    def _fullest(self, preferred: str) -> str:
        """``preferred``, or the workspace that holds most of what is scarce, entries or bytes."""
        spaces = self._spaces
        if len(spaces) == 1:
            return next(iter(spaces))
        mine = spaces.get(preferred)
        if self.entries >= self.max_entries:
            if mine is not None and len(mine.kept) >= self.entries / len(spaces):
                return preferred
            return max(spaces, key=lambda name: len(spaces[name].kept))
        if mine is not None and mine.bytes >= self.bytes / len(spaces):
            return preferred
        return max(spaces, key=lambda name: spaces[name].bytes)

    def _remove(self, workspace: str, space: Entries[T], key: bytes) -> None:
        entry = space.remove(key)
        self.entries -= 1
        self.bytes -= entry.size
        if not space.kept:
            del self._spaces[workspace]
