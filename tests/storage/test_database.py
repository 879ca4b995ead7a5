"""The SQLite driver: what is its own; what it shares with the other is in tests/conformance."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.protocol.errors import Failure
from modelyard.storage import sqlite as module
from modelyard.storage.driver import Duplicate, Statement, Work
from modelyard.storage.sqlite import Database

ADD = """INSERT INTO event (id, at, workspace, actor, verb, resource, request_id)
VALUES (?, 1, '', '', '', '', '')"""
COUNT = "SELECT count(*) FROM event"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "a.db")
    yield database
    await database.shut()


def add(name: str = "a") -> Work[None]:
    yield Statement(ADD, (name,))


async def count(database: Database) -> int:
    return int((await database.fetch(COUNT))[0][0])


async def pragma(database: Database, name: str) -> Any:
    """Of the connection that writes."""

    def work() -> Work[Any]:
        rows = yield Statement(f"PRAGMA {name}")
        return rows[0][0]

    return await database.transact(work)


async def test_what_was_written_is_read(database: Database) -> None:
    def work() -> Work[str]:
        yield Statement(ADD, [("a",), ("b",)], many=True)
        rows = yield Statement("SELECT id FROM event WHERE id > ?", ("a",))
        return str(rows[0][0])

    assert await database.transact(work) == "b"
    assert await database.fetch("SELECT id FROM event WHERE id = ?", ("a",)) == [("a",)]


async def test_a_write_runs_on_another_thread_one_at_a_time(database: Database) -> None:
    def work() -> Work[int]:
        yield from add(str(len(threads)))
        threads.append(threading.get_ident())
        return len(threads)

    threads: list[int] = []
    results = await asyncio.gather(*(database.transact(work) for _ in range(20)))
    assert sorted(results) == list(range(1, 21))
    assert set(threads) == {threads[0]} != {threading.get_ident()}
    assert await count(database) == 20


async def test_writes_that_wait_go_to_the_disk_together(database: Database) -> None:
    other = sqlite3.connect(database.path, check_same_thread=False)
    begun, go = threading.Event(), threading.Event()
    seen = []

    def slow() -> Work[None]:
        begun.set()
        go.wait(10)
        yield from add("slow")

    def later(number: int) -> Work[None]:
        seen.append(other.execute(COUNT).fetchone()[0])
        yield from add(str(number))

    first = asyncio.create_task(database.transact(slow))
    await asyncio.to_thread(begun.wait, 10)
    rest = [asyncio.create_task(database.transact(lambda n=n: later(n))) for n in range(9)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, *rest)
    other.close()
    assert seen == [1] * 9  # the slow one is committed, none of the nine is before all are done
    assert await count(database) == 10


async def test_an_error_rolls_back_and_the_next_write_works(database: Database) -> None:
    def fail() -> Work[None]:
        yield from add()
        raise Failure("CONFLICT", "no")

    def twice() -> Work[None]:
        yield from add()
        yield from add()

    with pytest.raises(Failure, match="no"):
        await database.transact(fail)
    with pytest.raises(Duplicate):
        await database.transact(twice)
    assert await count(database) == 0
    await database.transact(add)
    assert await count(database) == 1


async def test_every_writer_is_noticed_and_nothing_else(database: Database) -> None:
    other = Database(database.path)
    try:
        assert not database.changed()
        await database.transact(add)
        assert (database.changed(), other.changed()) == (True, True)
        assert (database.changed(), other.changed()) == (False, False)
        await other.transact(lambda: add("b"))
        assert (database.changed(), other.changed()) == (True, True)
        await database.transact(lambda: add("c"), dry=True)
        assert await count(database) == 2
        assert (database.changed(), other.changed()) == (False, False)
    finally:
        await other.shut()


async def test_a_busy_database_is_503(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    impatient = Database(database.path)
    locking = sqlite3.connect(database.path, isolation_level=None)
    try:
        locking.execute("BEGIN IMMEDIATE")
        with pytest.raises(Failure) as raised:
            await impatient.transact(add)
        assert (raised.value.code.symbol, raised.value.status) == ("SYSTEM_OVERLOADED", 503)
        assert raised.value.retry_after
        locking.execute("ROLLBACK")
        await impatient.transact(add)
    finally:
        locking.close()
        await impatient.shut()


async def test_a_full_disk_is_507_for_those_that_do_not_fit(database: Database) -> None:
    """Also in a group: what fits is written all the same."""

    def much() -> Work[None]:
        yield Statement(ADD, [("x" * 500 + str(number),) for number in range(1000)], many=True)

    pages = await pragma(database, "page_count")
    await pragma(database, f"max_page_count = {pages + 4}")
    tried = [database.transact(lambda n=n: add(str(n))) for n in range(3)]
    done = await asyncio.gather(*tried, database.transact(much), return_exceptions=True)
    assert done[:3] == [None] * 3
    assert isinstance(done[3], Failure)
    assert (done[3].code.symbol, done[3].status) == ("STORAGE_FULL", 507)
    assert await count(database) == 3


async def test_reads_cannot_write(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await database.fetch(ADD, ("a",))


async def test_the_pragmas(database: Database) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys")
    assert [await pragma(database, name) for name in names] == ["wal", 2, 1]


async def test_closing_finishes_what_was_begun(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db")
    begun, go = threading.Event(), threading.Event()

    def slow() -> Work[None]:
        begun.set()
        go.wait(10)
        yield from add()

    writing = asyncio.create_task(database.transact(slow))
    await asyncio.to_thread(begun.wait, 10)
    threading.Timer(0.05, go.set).start()
    await database.shut()
    await writing
    with pytest.raises(Failure, match="stopping"):
        await database.transact(add)
    found = sqlite3.connect(tmp_path / "a.db")
    assert found.execute(COUNT).fetchone() == (1,)
    found.close()
