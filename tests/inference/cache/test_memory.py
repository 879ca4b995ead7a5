"""L1 against a model of it: bounds, order, time, and workspaces apart."""

from collections import OrderedDict
from time import monotonic

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from modelyard.inference.cache.memory import MemoryCache

OVERHEAD = MemoryCache.OVERHEAD
ENTRIES, BYTES, TTL = 8, 20 * OVERHEAD, 10.0
SPACES = ("busy", "small", "third")
KEYS = [bytes([n]) for n in range(12)]


class Cached(RuleBasedStateMachine):
    """``kept`` is what must be found: per workspace, the least recently used first."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: MemoryCache[int] = MemoryCache(ENTRIES, BYTES, TTL)
        self.kept: dict[str, OrderedDict[bytes, tuple[int, int, float]]] = {
            name: OrderedDict() for name in SPACES
        }
        self.now = 0.0
        self.made = 0
        self.found = [0, 0]

    @rule(space=st.sampled_from(SPACES), key=st.sampled_from(KEYS), size=st.integers(0, 1800))
    def put(self, space: str, key: bytes, size: int) -> None:
        self.made += 1
        mine = self.kept[space]
        self.cache.put(space, key, self.made, size, self.now)
        size += OVERHEAD
        if size > BYTES // 10:
            return  # too large to be kept: what was there stays
        before = {name: len(one) for name, one in self.kept.items()}
        if mine.pop(key, None) is None:
            before[space] += 1
        held = {name: sum(v[1] for v in one.values()) for name, one in self.kept.items()}
        lost = {name: n - self.cache.count(name)[0] for name, n in before.items()}
        for name in SPACES:
            assert lost[name] >= 0
            for _ in range(lost[name]):
                self.kept[name].popitem(last=False)
            if name != space and lost[name]:
                larger = held[name] >= held[space] or before[name] >= before[space] - 1
                assert larger, "a smaller workspace had to make room"
        mine[key] = (self.made, size, self.now + TTL)
        if not any(lost.values()):
            return
        needed = sum(before.values()) > ENTRIES or sum(held.values()) + size > BYTES
        assert needed, "an answer was dropped though there was room"

    @rule(space=st.sampled_from(SPACES), key=st.sampled_from(KEYS))
    def get(self, space: str, key: bytes) -> None:
        got = self.cache.get(space, key, self.now)
        mine = self.kept[space]
        if key in mine and mine[key][2] > self.now:
            assert got == mine[key][0]
            mine.move_to_end(key)
            self.found[0] += 1
        else:
            assert got is None
            mine.pop(key, None)
            self.found[1] += 1

    @rule(seconds=st.sampled_from([0.1, 3.0, TTL]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: any(self.kept.values()))
    @rule(space=st.sampled_from([*SPACES, "unknown", None]))
    def clear(self, space: str | None) -> None:
        names = SPACES if space is None else tuple({space} & set(SPACES))
        assert self.cache.clear(space) == sum(len(self.kept[name]) for name in names)
        for name in names:
            self.kept[name].clear()

    @invariant()
    def bounded_and_counted(self) -> None:
        cache = self.cache
        for name, one in self.kept.items():
            assert cache.count(name) == (len(one), sum(v[1] for v in one.values()))
        assert cache.entries == sum(map(len, self.kept.values())) <= ENTRIES
        assert cache.bytes == sum(cache.count(name)[1] for name in SPACES) <= BYTES
        assert [cache.hits, cache.misses] == self.found


Cached.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestCached = Cached.TestCase


def test_a_busy_workspace_cannot_push_out_a_small_ones() -> None:
    cache: MemoryCache[str] = MemoryCache(100, 10_000_000, 60.0)
    for number in range(10):
        cache.put("small", b"%d" % number, "kept", 1000, 0.0)
    for number in range(10_000):
        cache.put("busy", b"%d" % number, "many", 1000, 0.0)
    assert cache.count("small")[0] == 10 and cache.entries == 100
    assert all(cache.get("small", b"%d" % number, 0.0) == "kept" for number in range(10))


def test_many_short_answers_do_not_push_out_a_few_long_ones() -> None:
    """Where the number of entries is scarce, who holds most entries makes room."""
    cache: MemoryCache[str] = MemoryCache(100, 10_000_000, 60.0)
    for number in range(5):
        cache.put("few", b"%d" % number, "long", 500_000, 0.0)
    for number in range(1_000):
        cache.put("busy", b"%d" % number, "short", 10, 0.0)
    assert cache.count("few")[0] == 5 and cache.entries == 100


def test_a_newcomer_finds_room_in_a_full_cache() -> None:
    cache: MemoryCache[str] = MemoryCache(10, 10_000_000, 60.0)
    for number in range(10):
        cache.put("busy", b"%d" % number, "old", 0, 0.0)
    for number in range(8):
        cache.put("new", b"%d" % number, "new", 0, 0.0)
    assert (cache.count("busy")[0], cache.count("new")[0]) == (5, 5)


@pytest.mark.parametrize(("entries", "size"), [(0, 10_000_000), (10, 0), (10, 5_000)])
def test_a_cache_without_room_keeps_nothing(entries: int, size: int) -> None:
    cache: MemoryCache[str] = MemoryCache(entries, size, 60.0)
    cache.put("w", b"k", "v", 100, 0.0)
    assert cache.get("w", b"k", 0.0) is None and cache.entries == cache.bytes == 0


def test_an_answer_is_kept_for_its_time_and_no_longer() -> None:
    cache: MemoryCache[str] = MemoryCache(10, 10_000_000, 60.0)
    cache.put("w", b"k", "v", 10, 100.0)
    assert cache.get("w", b"k", 159.9) == "v", "a read does not make it last longer"
    assert cache.get("w", b"k", 160.0) is None and cache.entries == 0


def test_a_cleared_workspace_keeps_no_answer_that_began_before() -> None:
    cache: MemoryCache[str] = MemoryCache(10, 10_000_000, 60.0)
    began = monotonic()
    assert not cache.outdated("w", began)
    cache.put("w", b"k", "v", 10, began)
    assert cache.clear("w") == 1
    assert cache.outdated("w", began) and not cache.outdated("other", began)
    assert not cache.outdated("w", monotonic() + 1.0)


def test_what_was_read_last_stays_longest() -> None:
    cache: MemoryCache[str] = MemoryCache(3, 10_000_000, 60.0)
    for key in (b"a", b"b", b"c"):
        cache.put("w", key, "v", 10, 0.0)
    assert cache.get("w", b"a", 0.0) == "v"
    cache.put("w", b"d", "v", 10, 0.0)
    assert cache.get("w", b"b", 0.0) is None
    cache.put("w", b"c", "new", 10, 0.0)
    cache.put("w", b"e", "v", 10, 0.0)
    assert [cache.get("w", key, 0.0) for key in (b"a", b"c", b"d", b"e")] == [None, "new", "v", "v"]
