"""Which of a workspace's answers leaves the memory first: LRU, LFU or by expiry."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from mypy_extensions import mypyc_attr

T = TypeVar("T")


class Entry(Generic[T]):
    """One kept answer."""

    __slots__ = ("expires", "rank", "size", "stored", "uses", "value")

    def __init__(self, value: T, size: int, expires: float, stored: float) -> None:
        self.value = value
        self.size = size  # bytes
        self.expires = expires  # loop time
        self.stored = stored  # loop time when it was new
        self.rank = 0  # the policy's own
        self.uses = 1


@mypyc_attr(allow_interpreted_subclasses=False)
class Entries(Generic[T]):
    """A workspace's answers; the least recently used one leaves first (LRU)."""

    def __init__(self) -> None:
        self.kept: OrderedDict[bytes, Entry[T]] = OrderedDict()
        self.bytes = 0

    def add(self, key: bytes, entry: Entry[T]) -> None:
        """Take an answer that is not there."""
        self.kept[key] = entry
        self.bytes += entry.size

    def used(self, key: bytes, entry: Entry[T]) -> None:
        """An answer was asked for."""
        self.kept.move_to_end(key)

    def remove(self, key: bytes) -> Entry[T]:
        """Take an answer out."""
        entry = self.kept.pop(key)
        self.bytes -= entry.size
        return entry

    def first(self) -> bytes:
        """The answer that leaves first."""
        return next(iter(self.kept))


class FrequencyEntries(Entries[T]):
    """The least frequently used answer leaves first; of equals the one used longest ago.

    An answer's rank is its uses plus the rank of the last one that left (LFU with dynamic aging;
    Arlitt et al., "Evaluating content management techniques for Web proxy caches", 2000): what
    was asked for often, but long ago, does not stay for ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self._age = 0
        self._ranks: dict[int, OrderedDict[bytes, None]] = {}
        self._order: list[int] = []  # a heap of the ranks

    def add(self, key: bytes, entry: Entry[T]) -> None:
        """See ``Entries``."""
        self.kept[key] = entry
        self.bytes += entry.size
        self._rank(key, entry)

    def used(self, key: bytes, entry: Entry[T]) -> None:
        """See ``Entries``."""
        self._unrank(key, entry)
        entry.uses += 1
        self._rank(key, entry)

    def remove(self, key: bytes) -> Entry[T]:
        """See ``Entries``."""
        entry = self.kept.pop(key)
        self.bytes -= entry.size
        self._unrank(key, entry)
        return entry

    def first(self) -> bytes:
        """See ``Entries``. It is about to leave: what comes then is ranked by it."""
        while not self._ranks.get(self._order[0]):
            heappop(self._order)
        self._age = self._order[0]
        return next(iter(self._ranks[self._age]))

    def _rank(self, key: bytes, entry: Entry[T]) -> None:
        rank = entry.rank = entry.uses + self._age
        equals = self._ranks.get(rank)
        if equals is None:
            equals = self._ranks[rank] = OrderedDict()
            heappush(self._order, rank)
        equals[key] = None

    def _unrank(self, key: bytes, entry: Entry[T]) -> None:
        equals = self._ranks[entry.rank]
        del equals[key]
        if equals:
            return
        del self._ranks[entry.rank]
        if len(self._order) > 2 * len(self._ranks) + 64:
            self._order = list(self._ranks)
            heapify(self._order)


class ExpiryEntries(Entries[T]):
    """The answer that expires first leaves first; of equals the older one."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._order: list[tuple[float, int, bytes]] = []  # a heap

    def add(self, key: bytes, entry: Entry[T]) -> None:
        """See ``Entries``."""
        self.kept[key] = entry
        self.bytes += entry.size
        self._count += 1
        entry.rank = self._count
        heappush(self._order, (entry.expires, entry.rank, key))
        if len(self._order) > 2 * len(self.kept) + 64:
            self._order = [(one.expires, one.rank, name) for name, one in self.kept.items()]
            heapify(self._order)

    def used(self, key: bytes, entry: Entry[T]) -> None:
        """See ``Entries``."""

    def first(self) -> bytes:
        """See ``Entries``."""
        while True:
            _, rank, key = self._order[0]
            entry = self.kept.get(key)
            if entry is not None and entry.rank == rank:
                return key
            heappop(self._order)
