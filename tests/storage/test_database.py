import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.kernel.errors import Failure
from modelyard.storage import sqlite as module
from modelyard.storage.sqlite import Database

ADD = """INSERT INTO event (id, at, workspace, actor, verb, resource, request_id)
VALUES (?, 1, '', '', '', '', '')"""
COUNT = "SELECT count(*) FROM event"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "a.db")
    yield database
    database.close()


def add(connection: sqlite3.Connection, name: str = "a") -> None:
    connection.execute(ADD, (name,))


async def test_what_was_written_is_read(database: Database) -> None:
    assert await database.write(lambda connection: connection.execute(ADD, ("a",)).rowcount) == 1
    assert database.read("SELECT id FROM event WHERE id = ?", ("a",)) == [("a",)]


async def test_a_write_runs_on_another_thread_one_at_a_time(database: Database) -> None:
    def work(connection: sqlite3.Connection) -> int:
        add(connection, str(len(threads)))
        threads.append(threading.get_ident())
        return len(threads)

    threads: list[int] = []
    results = await asyncio.gather(*(database.write(work) for _ in range(20)))
    assert sorted(results) == list(range(1, 21))
    assert set(threads) == {threads[0]} != {threading.get_ident()}
    assert database.read(COUNT) == [(20,)]


async def test_an_error_rolls_back_and_the_next_write_works(database: Database) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        add(connection)
        raise Failure("CONFLICT", "no")

    with pytest.raises(Failure, match="no"):
        await database.write(fail)
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(lambda connection: [add(connection), add(connection)])
    assert database.read(COUNT) == [(0,)]
    await database.write(add)
    assert database.read(COUNT) == [(1,)]


async def test_every_writer_is_noticed_and_nothing_else(tmp_path: Path, database: Database) -> None:
    other = Database(database.path)
    try:
        assert not database.changed()
        await database.write(add)
        assert (database.changed(), other.changed()) == (True, True)
        assert (database.changed(), other.changed()) == (False, False)
        other.write_now(lambda connection: add(connection, "b"))
        assert (database.changed(), other.changed()) == (True, True)
        database.read(COUNT)
        assert (database.changed(), other.changed()) == (False, False)
        assert database.read(COUNT) == [(2,)]
    finally:
        other.close()


async def test_a_busy_database_is_503(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    impatient = Database(database.path)
    locking = sqlite3.connect(database.path, isolation_level=None)
    try:
        locking.execute("BEGIN IMMEDIATE")
        with pytest.raises(Failure) as raised:
            await impatient.write(add)
        assert (raised.value.code.symbol, raised.value.status) == ("SYSTEM_OVERLOADED", 503)
        assert raised.value.retry_after
        locking.execute("ROLLBACK")
        await impatient.write(add)
    finally:
        locking.close()
        impatient.close()


async def test_a_full_disk_is_507(database: Database) -> None:
    def small(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def much(connection: sqlite3.Connection) -> None:
        for number in range(1000):
            add(connection, "x" * 500 + str(number))

    await database.write(small)
    with pytest.raises(Failure) as raised:
        await database.write(much)
    assert (raised.value.code.symbol, raised.value.status) == ("STORAGE_FULL", 507)
    assert database.read(COUNT) == [(0,)]


async def test_reads_cannot_write(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.read(ADD, ("a",))


def test_the_pragmas(database: Database) -> None:
    def pragma(connection: sqlite3.Connection, name: str) -> object:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    def all_of(connection: sqlite3.Connection) -> list[object]:
        return [
            pragma(connection, name) for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert database.write_now(all_of) == ["wal", 2, 1]


def test_closing_finishes_what_was_begun(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db")
    begun, go = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        begun.set()
        go.wait(10)
        add(connection)

    writing = threading.Thread(target=database.write_now, args=(slow,))
    writing.start()
    begun.wait(10)
    threading.Timer(0.05, go.set).start()
    database.close()
    writing.join(10)
    assert sqlite3.connect(tmp_path / "a.db").execute(COUNT).fetchone() == (1,)
