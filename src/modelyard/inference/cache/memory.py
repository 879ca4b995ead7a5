"""L1: exact answers in memory, bounded in entries and bytes, one space per workspace."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class Entry(Generic[T]):
    """One kept answer."""

    __slots__ = ("expires", "size", "stored", "value")

    def __init__(
        self,
        value: T,
        size: int,
        expires: float,
        stored: float,
    ) -> None:
        self.value = value
        self.size = size  # bytes
        self.expires = expires  # loop time
        self.stored = stored  # loop time when it was new


class MemoryCache(Generic[T]):
    """Least recently used entries leave first, from the workspace that holds most.

    So a busy workspace cannot push another one's answers out, and no answer is ever found from
    another workspace: each has its own space.
    """

    OVERHEAD = 600  # bytes an entry costs beside its answer, measured on CPython 3.11

    def __init__(self, max_entries: int, max_bytes: int, ttl: float) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.ttl = ttl
        self.entries = 0
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self._cleared: dict[str, float] = {}
        self._spaces: dict[str, OrderedDict[bytes, Entry[T]]] = {}
        self._sizes: dict[str, int] = {}

    def get(self, workspace: str, key: bytes, now: float, oldest: float = -inf) -> T | None:
        """The kept answer, or None. One that was stored before ``oldest`` will not do."""
        space = self._spaces.get(workspace)
        entry = space.get(key) if space is not None else None
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
        space.move_to_end(key)
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
        if self.max_entries <= 0 or size > self.max_bytes // 10:
            return
        space = self._spaces.get(workspace)
        if space is not None and key in space:
            self._remove(workspace, space, key)
        while self.entries >= self.max_entries or self.bytes + size > self.max_bytes:
            self._evict(workspace)
        space = self._spaces.get(workspace)
        if space is None:
            space = self._spaces[workspace] = OrderedDict()
            self._sizes[workspace] = 0
        space[key] = Entry(value, size, now + (self.ttl if ttl is None else ttl), now - age)
        self._sizes[workspace] += size
        self.entries += 1
        self.bytes += size

    def clear(self, workspace: str | None = None) -> int:
        """Forget one workspace's entries (or all); returns how many."""
        names = list(self._spaces) if workspace is None else [workspace]
        removed = 0
        for name in names:
            self._cleared[name] = monotonic()
            space = self._spaces.pop(name, OrderedDict())
            removed += len(space)
            self.entries -= len(space)
            self.bytes -= self._sizes.pop(name, 0)
        return removed

    def count(self, workspace: str) -> tuple[int, int]:
        """Entries and bytes of one workspace."""
        return len(self._spaces.get(workspace, ())), self._sizes.get(workspace, 0)

    def _evict(self, preferred: str) -> None:
        """Make room in ``preferred``, or where most is held of what is scarce, entries or bytes."""
        spaces = self._spaces
        if len(spaces) > 1 or preferred not in spaces:
            if self.entries >= self.max_entries:
                if len(spaces.get(preferred, ())) < self.entries / len(spaces):
                    preferred = max(spaces, key=lambda name: len(spaces[name]))
            elif self._sizes.get(preferred, 0) < self.bytes / len(spaces):
                preferred = max(self._sizes, key=self._sizes.__getitem__)
        space = self._spaces[preferred]
        entry = space.popitem(last=False)[1]
        self.entries -= 1
        self.bytes -= entry.size
        self._sizes[preferred] -= entry.size
        if not space:
            del self._spaces[preferred], self._sizes[preferred]

    def _remove(self, workspace: str, space: OrderedDict[bytes, Entry[T]], key: bytes) -> None:
        entry = space.pop(key)
        self.entries -= 1
        self.bytes -= entry.size
        self._sizes[workspace] -= entry.size
        if not space:
            del self._spaces[workspace]
            del self._sizes[workspace]
