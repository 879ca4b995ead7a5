"""L1 by each policy against a plain model of it: bounds, order, time, and exact accounts."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from modelyard.inference.cache.memory import MemoryCache

OVERHEAD = MemoryCache.OVERHEAD
ENTRIES, BYTES, TTL = 10, 21 * OVERHEAD // 2, 10.0  # either of the bounds may be met first
KEYS = [bytes([n]) for n in range(14)]


class Kept:
    """What is known of an answer."""

    def __init__(self, number: int, size: int, expires: float, turn: int, rank: int) -> None:
        self.number, self.size, self.expires = number, size, expires
        self.added = self.used = turn
        self.uses, self.rank = 1, rank


class OnePolicy(RuleBasedStateMachine):
    """One workspace: the victim is the least by ``order``, whatever happened before."""

    policy = ""

    def __init__(self) -> None:
        super().__init__()
        self.cache: MemoryCache[int] = MemoryCache(ENTRIES, BYTES, TTL, self.policy)
        self.kept: dict[bytes, Kept] = {}
        self.now, self.turn, self.age = 0.0, 0, 0
        self.found = [0, 0]

    def order(self, one: Kept) -> tuple[Any, ...]:
        raise NotImplementedError

    @rule(
        key=st.sampled_from(KEYS),
        size=st.integers(0, 30),
        ttl=st.sampled_from([None, 1.0, 5.0, 50.0]),
    )
    def put(self, key: bytes, size: int, ttl: float | None) -> None:
        self.turn += 1
        self.cache.put("w", key, self.turn, size, self.now, ttl)
        self.kept.pop(key, None)
        size += OVERHEAD
        while (
            len(self.kept) >= ENTRIES or sum(one.size for one in self.kept.values()) + size > BYTES
        ):
            victim = min(self.kept, key=lambda name: self.order(self.kept[name]))
            self.age = self.kept.pop(victim).rank
        expires = self.now + (TTL if ttl is None else ttl)
        self.kept[key] = Kept(self.turn, size, expires, self.turn, 1 + self.age)

    @rule(key=st.sampled_from(KEYS))
    def get(self, key: bytes) -> None:
        self.turn += 1
        got = self.cache.get("w", key, self.now)
        one = self.kept.get(key)
        if one is None or one.expires <= self.now:
            assert got is None
            self.kept.pop(key, None)
            self.found[1] += 1
            return
        assert got == one.number
        one.used, one.uses = self.turn, one.uses + 1
        one.rank = one.uses + self.age
        self.found[0] += 1

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.3, 2.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(sure=st.integers(0, 9))
    def clear(self, sure: int) -> None:
        if sure:
            return
        assert self.cache.clear("w") == len(self.kept)
        self.kept.clear()
        self.age = 0

    @invariant()
    def exact(self) -> None:
        cache = self.cache
        size = sum(one.size for one in self.kept.values())
        assert (cache.entries, cache.bytes) == (len(self.kept), size) == cache.count("w")
        assert cache.entries <= ENTRIES and cache.bytes <= BYTES
        assert [cache.hits, cache.misses] == self.found


class Recency(OnePolicy):
    policy = "lru"

    def order(self, one: Kept) -> tuple[Any, ...]:
        return (one.used,)


class Frequency(OnePolicy):
    policy = "lfu"

    def order(self, one: Kept) -> tuple[Any, ...]:
        return (one.rank, one.used)


class Expiry(OnePolicy):
    policy = "ttl"

    def order(self, one: Kept) -> tuple[Any, ...]:
        return (one.expires, one.added)


for machine in (Recency, Frequency, Expiry):
    machine.TestCase.settings = settings(max_examples=40, stateful_step_count=120, deadline=None)
TestRecency = Recency.TestCase
TestFrequency = Frequency.TestCase
TestExpiry = Expiry.TestCase


@pytest.mark.parametrize("policy", ["lru", "lfu", "ttl"])
def test_a_workspace_has_no_more_than_its_share(policy: str) -> None:
    cache: MemoryCache[int] = MemoryCache(100, 1_000_000, 60.0, policy, share=0.25)
    for number in range(200):
        cache.put("busy", b"%d" % number, number, 100, 0.0)
    assert cache.count("busy")[0] == 25 == cache.entries
    for number in range(10):
        cache.put("large", b"%d" % number, number, 60_000, 0.0)
    assert cache.count("large")[1] <= 250_000 and cache.count("busy")[0] == 25


@pytest.mark.parametrize("policy", ["lru", "lfu", "ttl"])
def test_what_policies_keep_in_order_is_bounded_too(policy: str) -> None:
    """Their own books do not grow with what has come and gone."""
    cache: MemoryCache[int] = MemoryCache(50, 10_000_000, 60.0, policy)
    for number in range(20_000):
        cache.put("w", b"%d" % (number % 70), number, 10, number / 1000)
        cache.get("w", b"%d" % (number * 7 % 70), number / 1000)
    space = cache._spaces["w"]
    assert len(getattr(space, "_order", ())) <= 2 * 50 + 65
    assert len(getattr(space, "_ranks", ())) <= 50


def test_what_was_asked_for_often_but_long_ago_leaves() -> None:
    cache: MemoryCache[str] = MemoryCache(10, 10_000_000, 1e9, "lfu")
    cache.put("w", b"once popular", "old", 0, 0.0)
    for _ in range(50):
        cache.get("w", b"once popular", 0.0)
    for number in range(1_000):
        cache.put("w", b"%d" % number, "new", 0, 0.0)
        cache.get("w", b"%d" % number, 0.0)
    assert cache.get("w", b"once popular", 0.0) is None


def test_frequency_resists_a_scan() -> None:
    cache: MemoryCache[str] = MemoryCache(10, 10_000_000, 1e9, "lfu")
    for number in range(5):
        cache.put("w", b"hot %d" % number, "hot", 0, 0.0)
        for _ in range(20):
            cache.get("w", b"hot %d" % number, 0.0)
    for number in range(60):
        cache.put("w", b"%d" % number, "cold", 0, 0.0)
    assert all(cache.get("w", b"hot %d" % number, 0.0) for number in range(5))


def test_an_old_answer_does_not_do_where_a_young_one_is_wanted() -> None:
    cache: MemoryCache[str] = MemoryCache(10, 10_000_000, 60.0)
    cache.put("w", b"k", "v", 10, 100.0, age=30.0)
    assert cache.get("w", b"k", 110.0, oldest=75.0) is None
    assert cache.get("w", b"k", 110.0, oldest=65.0) == "v"
    assert (cache.hits, cache.misses, cache.entries) == (1, 1, 1)
