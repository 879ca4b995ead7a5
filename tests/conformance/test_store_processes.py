"""Several processes on one database, and databases that are busy or gone."""

import asyncio
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from conformance.things import ALL, COLOUR, event, gone, put, thing
from modelyard.kernel.ports import Commit, Indexed, Query, Refused, Write
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import Compare
from modelyard.storage import homes, postgres, sqlite
from modelyard.storage.postgres import Postgres
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store
from patience import TRIES
from postgres import Server


async def soon(told: Callable[[], bool], seconds: float = 60.0) -> float:
    """How long it took until it was told."""
    begun = time.monotonic()
    while not told():
        assert time.monotonic() - begun < seconds
        await asyncio.sleep(0.005)
    return time.monotonic() - begun


async def quiet(*stores: Store) -> None:
    """Until nothing is told of any more."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        told = [one.changed() for one in stores]
        if not any(told):
            return
    raise AssertionError("changes without end")


async def test_every_commit_is_told_to_all_and_nothing_else(
    store: Store, opened: Callable[[], Any]
) -> None:
    await store.declare(ALL)
    other = await opened()
    await quiet(store, other)
    for one, another in ((store, other), (other, store)):
        took: list[float] = []
        while not took or min(took) >= 1:  # what else runs makes it slower: the best counts
            assert len(took) < TRIES, took
            await one.commit(put(thing(f"a{id(one)}-{len(took)}")))
            assert one.changed()
            took.append(await soon(another.changed))
            await quiet(store, other)
    await store.seal()  # makes the words of what was put
    await quiet(store, other)
    for left in reversed(range(TRIES)):  # a word of what was changed before may come late, once
        with pytest.raises(Refused):
            await store.commit(put(thing("x"), expected=4))
        await store.commit(put(thing("x")), dry=True)
        await store.page(Query(kind="test/things", workspace="w"))
        assert await store.seal() == 0
        await asyncio.sleep(0.2)
        told = (store.changed(), other.changed())
        if told == (False, False):
            break
        assert left, told
    await other.commit(Commit(events=[event()]))
    await other.seal()
    await soon(store.changed)


async def test_commits_that_wait_together_fail_alone(store: Store) -> None:
    """SQLite writes them in one transaction."""
    await store.declare(ALL)
    await store.commit(put(thing("taken")))
    commits = [put(thing("taken" if n % 3 == 0 else f"r{n}")) for n in range(60)]
    dry = [n % 3 == 1 for n in range(60)]
    tried = [store.commit(one, dry=only) for one, only in zip(commits, dry, strict=True)]
    done = await asyncio.gather(*tried, return_exceptions=True)
    assert [isinstance(one, Refused) for one in done] == [n % 3 == 0 for n in range(60)]
    found = await store.page(Query(kind="test/things", workspace="w", size=100))
    names = {"taken", *(f"r{n}" for n in range(60) if n % 3 == 2)}
    assert {row.address.id for row in found} == names


async def test_declarations_are_made_once_and_follow_what_is_declared(
    store: Store, opened: Callable[[], Any]
) -> None:
    others = [await opened() for _ in range(3)]
    await asyncio.gather(*(one.declare(ALL) for one in (store, *others)))
    await quiet(store, *others)
    await store.declare(ALL)
    assert not store.changed()
    names = await indexes(store)
    assert len(names) == len(set(names)) > 10
    fewer = (replace(ALL[0], fields=ALL[0].fields[:2], unique=()), *ALL[1:])
    await store.declare(fewer)
    left = await indexes(store)
    assert set(left) < set(names)
    assert not [name for name in left if "unique" in name]
    await store.declare([Indexed(kind="test/new", fields=(COLOUR,))])
    assert len(await indexes(store)) == 2
    with pytest.raises(ValueError, match="no name of a kind"):
        await store.declare([Indexed(kind="it's", fields=(COLOUR,))])
    bad = Compare(replace(COLOUR, path=("a'b",)), "=", "x")
    with pytest.raises(ValueError, match="no name of a field"):
        await store.page(Query(kind="test/new", workspace="w", filter=bad))


async def indexes(store: Store) -> list[str]:
    if store.driver.dialect.name == "sqlite":
        sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'declared%'"
    else:
        sql = "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'declared%'"
    return [str(name) for (name,) in await store.driver.fetch(sql)]


async def test_hostile_text_stays_text(store: Store) -> None:
    await store.declare(ALL)
    for text in ("'; DROP TABLE resource; --", '" OR 1=1', "$1", "%", "\\", "{}", "NULL", "?"):
        spec = {"colour": text, "tags": [text], "title": text, "login": text}
        row = thing("a", spec, labels={text: text}, created_by=text)
        await store.commit(put(row))
        assert await store.get(row.address) == row
        wanted = Compare(COLOUR, "=", text)
        assert await store.page(Query(kind="test/things", workspace="w", filter=wanted)) == [row]
        assert await store.find("test/things", ("login",), text) == row
        await store.commit(gone(row))


async def test_another_writer_that_blocks_is_503(
    store: Store, place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.declare(ALL)
    row = thing("a")
    await store.commit(put(row))
    change = put(replace(row, revision=2), expected=1)
    if isinstance(place, Path):
        monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
        impatient = Store(Database(place))
        locking = sqlite3.connect(place, isolation_level=None)
        locking.execute("BEGIN IMMEDIATE")
    else:
        monkeypatch.setitem(postgres._SETTINGS, "lock_timeout", "50")
        driver = Postgres(place)
        await driver.open()
        impatient = Store(driver)
        connection = await postgres.asyncpg.connect(place)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(f"UPDATE {homes.table('test/things')} SET revision = 1")
    impatient.know(ALL)
    with pytest.raises(Failure) as raised:
        await impatient.commit(change)
    assert (raised.value.code.symbol, raised.value.retry_after) == ("SYSTEM_OVERLOADED", 1)
    if isinstance(place, Path):
        locking.execute("ROLLBACK")
        locking.close()
    else:
        await transaction.rollback()
        await connection.close()
    await impatient.commit(change)
    await impatient.close()


@pytest.fixture
def own() -> Iterator[Server]:
    server = Server(("max_connections=60",))
    yield server
    server.close()


@pytest.fixture
async def remote(own: Server) -> AsyncIterator[Store]:
    driver = Postgres(await asyncio.to_thread(own.create))
    await driver.open()
    store = Store(driver)
    await store.declare(ALL)
    yield store
    await store.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_a_server_that_restarts_is_503_while_it_is_gone(
    remote: Store, own: Server, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_AGAIN_SECONDS", 0.05)
    row = thing("a", {"colour": "red"})
    await remote.commit(put(row))
    await asyncio.gather(*(remote.get(row.address) for _ in range(20)))
    await asyncio.to_thread(own.stop, how)
    for asked in (
        remote.get(row.address),
        remote.commit(put(thing("b"))),
        remote.seal(),
        remote.count(Query(kind="test/things", workspace="w")),
    ):
        with pytest.raises(Failure) as raised:
            await asked
        assert (raised.value.code.symbol, raised.value.retry_after) == ("SYSTEM_OVERLOADED", 1)
    await asyncio.to_thread(own.start)
    assert await remote.get(row.address) == row
    await remote.commit(put(thing("b")))
    await quiet(remote)
    other = Postgres(remote.driver.url)
    await other.open()
    await Store(other).commit(put(thing("c")))
    assert await soon(remote.changed) < 1
    await other.shut()


async def test_a_change_that_nobody_told_of_is_seen(
    remote: Store, own: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process died between its commit and its word."""
    await remote.close()
    monkeypatch.setattr(postgres, "_LOOK_SECONDS", 0.05)
    driver = Postgres(remote.driver.url)
    await driver.open()
    await quiet(Store(driver))
    connection = await postgres.asyncpg.connect(remote.driver.url)
    await connection.execute(
        "INSERT INTO event (id, at, workspace, actor, verb, resource, request_id) "
        "VALUES ('e', 1, 'w', 'a', 'v', 'r', 'q')"
    )
    await connection.close()
    assert await soon(driver.changed) < 1
    await driver.shut()
    await remote.driver.open()


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(Failure, match="cannot be reached") as raised:
        await Postgres("postgresql://postgres@127.0.0.1:1/x").open()
    assert raised.value.code.symbol == "SYSTEM_OVERLOADED"


async def test_what_cannot_be_stored_is_told(store: Store) -> None:
    await store.declare(ALL)
    for more in ({"spec": {"note": "a\0b"}}, {"spec": {"tags": ["\0"]}}, {"labels": {"k": "\\\0"}}):
        with pytest.raises(Failure, match="U\\+0000") as raised:
            await store.commit(put(replace(thing("a"), **more)))
        assert raised.value.code.symbol == "INVALID_REQUEST"
    kept = thing("a", {"note": "a\\u0000b\\\\u0000"})
    await store.commit(put(kept))
    assert await store.get(kept.address) == kept


async def test_a_text_too_long_for_an_index_is_told(remote: Store) -> None:
    spec = {"colour": "".join(chr(0x4E00 + n) for n in range(4000))}
    with pytest.raises(Failure, match="too long") as raised:
        await remote.commit(Commit(writes=[Write(row=thing("a", spec))]))
    assert raised.value.code.symbol == "INVALID_REQUEST"


async def test_transactions_that_wait_for_each_other_are_begun_anew(remote: Store) -> None:
    """Rows are locked in order; where that fails, the database breaks the tie."""
    rows = [thing("a"), thing("b")]

    async def insert(first: int, second: int) -> None:
        writes = [Write(row=rows[first]), Write(row=rows[second])]
        await remote.commit(Commit(writes=writes))

    done = await asyncio.gather(insert(0, 1), insert(1, 0), return_exceptions=True)
    assert [type(one) for one in done].count(Refused) == 1
    assert None in done
