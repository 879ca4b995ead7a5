"""The SQLite driver: what is its own; what it shares with the other is in tests/conformance."""

import asyncio
import contextlib
import itertools
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelyard.protocol.errors import Failure
from modelyard.storage import sqlite as module
from modelyard.storage import syncing
from modelyard.storage.driver import Duplicate, Statement, Work
from modelyard.storage.sqlite import Database

ADD = """INSERT INTO event (id, at, workspace, actor, verb, resource, request_id)
VALUES (?, 1, '', '', '', '', '')"""
COUNT = "SELECT count(*) FROM event"


@pytest.fixture(params=["second", "commit"])
async def database(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    database = Database(tmp_path / "a.db", sync=request.param)
    yield database
    await database.shut()


@pytest.fixture
async def threaded(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "a.db", sync="commit")
    yield database
    await database.shut()


@pytest.fixture
async def prompt(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "a.db", sync="second")
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


async def test_a_write_runs_on_another_thread_one_at_a_time(threaded: Database) -> None:
    def work() -> Work[int]:
        yield from add(str(len(threads)))
        threads.append(threading.get_ident())
        return len(threads)

    threads: list[int] = []
    results = await asyncio.gather(*(threaded.transact(work) for _ in range(20)))
    assert sorted(results) == list(range(1, 21))
    assert set(threads) == {threads[0]} != {threading.get_ident()}
    assert await count(threaded) == 20


async def test_writes_that_wait_go_to_the_disk_together(threaded: Database) -> None:
    other = sqlite3.connect(threaded.path, check_same_thread=False)
    begun, go = threading.Event(), threading.Event()
    seen = []

    def slow() -> Work[None]:
        begun.set()
        go.wait(60)
        yield from add("slow")

    def later(number: int) -> Work[None]:
        seen.append(other.execute(COUNT).fetchone()[0])
        yield from add(str(number))

    first = asyncio.create_task(threaded.transact(slow))
    await asyncio.to_thread(begun.wait, 60)
    rest = [asyncio.create_task(threaded.transact(partial(later, n))) for n in range(9)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, *rest)
    other.close()
    assert seen == [1] * 9  # the slow one is committed, none of the nine is before all are done
    assert await count(threaded) == 10


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
    tried = [database.transact(partial(add, str(n))) for n in range(3)]
    done = await asyncio.gather(*tried, database.transact(much), return_exceptions=True)
    assert done[:3] == [None] * 3
    assert isinstance(done[3], Failure)
    assert (done[3].code.symbol, done[3].status) == ("STORAGE_FULL", 507)
    assert await count(database) == 3


async def test_reads_cannot_write(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await database.fetch(ADD, ("a",))


async def test_the_pragmas(threaded: Database) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys")
    assert [await pragma(threaded, name) for name in names] == ["wal", 2, 1]


async def test_the_pragmas_of_one_that_syncs_each_second(prompt: Database) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint")
    assert [await pragma(prompt, name) for name in names] == ["wal", 1, 1, 0]


async def test_changes_of_one_turn_are_written_in_it(prompt: Database) -> None:
    threads: list[int] = []

    def work() -> Work[None]:
        yield from add(str(len(threads)))
        threads.append(threading.get_ident())

    await asyncio.gather(*(prompt.transact(work) for _ in range(50)))
    assert threads == [threading.get_ident()] * 50
    assert await count(prompt) == 50


async def test_a_short_change_waits_for_a_long_one_and_does_not_hold_the_loop(
    prompt: Database,
) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow() -> Work[None]:
        begun.set()
        go.wait(60)
        yield from add("slow")

    long = asyncio.create_task(prompt.transact(slow, long=True))
    await asyncio.to_thread(begun.wait, 60)
    short = asyncio.create_task(prompt.transact(add))
    for _ in range(20):
        await asyncio.sleep(0.001)  # the loop goes on
    assert not short.done()
    go.set()
    await asyncio.gather(long, short)
    assert await count(prompt) == 2


async def test_what_is_committed_is_moved_into_the_file_without_being_asked(
    prompt: Database, tmp_path: Path
) -> None:
    await prompt.transact(add)
    alone = tmp_path / "alone.db"  # without its log, as a disk that lost power may have it
    async with asyncio.timeout(60):
        while True:
            alone.write_bytes(prompt.path.read_bytes())
            with contextlib.closing(sqlite3.connect(alone)) as copy:
                if copy.execute(COUNT).fetchone() == (1,):
                    return
            await asyncio.sleep(0.05)


DYING = """
import asyncio, os, signal, sys
from pathlib import Path
from modelyard.storage.driver import Statement
from modelyard.storage.sqlite import Database

def add(name):
    yield Statement(sys.argv[2], (name,))

async def main():
    database = Database(Path(sys.argv[1]), sync=sys.argv[3])
    for number in range(50):
        await database.transact(lambda: add(str(number)))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize("sync", ["second", "commit"])
async def test_what_was_committed_survives_the_end_of_the_process(
    tmp_path: Path, sync: str
) -> None:
    command = [sys.executable, "-c", DYING, str(tmp_path / "a.db"), ADD, sync]
    dying = await asyncio.create_subprocess_exec(*command)
    assert await dying.wait() == -signal.SIGKILL
    database = Database(tmp_path / "a.db")
    assert await count(database) == 50
    await database.shut()


async def test_the_log_begins_anew_while_changes_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncing, "_LONG", 20)
    database = Database(tmp_path / "a.db", sync="second")
    log, begun = tmp_path / "a.db-wal", set[bytes]()
    async with asyncio.timeout(60):
        for number in itertools.count():
            await database.transact(partial(add, f"{number}"))
            begun.add(log.read_bytes()[16:24])  # the salts change when it begins anew
            if len(begun) > 2:
                break
            await asyncio.sleep(0.001)
    await database.shut()


def test_a_database_that_cannot_be_opened_yet_is_synced_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "later"
    syncer = syncing.Syncer(place / "a.db", lambda _: None)
    syncer.due.set()
    until(lambda: "cannot be synced" in caplog.text)  # the folder is not there
    (tmp_path / "made").mkdir()
    writer = sqlite3.connect(tmp_path / "made" / "a.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE thing (id)")
    shutil.copytree(tmp_path / "made", tmp_path / "copied")
    writer.close()
    (tmp_path / "copied").rename(place)
    until(lambda: (place / "a.db").stat().st_size >= 8192)  # the log is in the database
    syncer.stop()


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.001)


class Failing:
    """A connection on a disk that fails: once neither a commit nor its undoing comes to pass."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.left = ["COMMIT", "ROLLBACK"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: Any) -> Any:
        if self.left and sql == self.left[0]:
            self.left.pop(0)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return self._connection.execute(sql, *values)


@pytest.mark.parametrize("sync", ["commit", "second"])
async def test_a_disk_that_fails_in_the_undoing_ends_no_writer(tmp_path: Path, sync: Any) -> None:
    database = Database(tmp_path / "a.db", sync=sync)
    failing: Any = Failing(database._connection)
    database._connection = failing
    for name in ("kept", "told"):  # what is left of the first is undone with the second
        with pytest.raises(sqlite3.OperationalError):
            await asyncio.wait_for(database.transact(partial(add, name)), 60)
    assert not failing.left
    await asyncio.wait_for(database.transact(partial(add, "next")), 60)
    assert await count(database) == 1
    await database.shut()


async def test_closing_finishes_what_was_begun(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", sync="commit")
    begun, go = threading.Event(), threading.Event()

    def slow() -> Work[None]:
        begun.set()
        go.wait(60)
        yield from add()

    writing = asyncio.create_task(database.transact(slow))
    await asyncio.to_thread(begun.wait, 60)
    threading.Timer(0.05, go.set).start()
    await database.shut()
    await writing
    with pytest.raises(Failure, match="stopping"):
        await database.transact(add)
    found = sqlite3.connect(tmp_path / "a.db")
    assert found.execute(COUNT).fetchone() == (1,)
    found.close()


async def test_the_loop_writes_before_the_next_long_change(
    prompt: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COURTESY_SECONDS", 60.0)
    begun, go, order = threading.Event(), threading.Event(), list[str]()

    def named(name: str) -> Work[None]:
        if name == "first":
            begun.set()
            go.wait(60)
        yield from add(name)
        order.append(name)

    first = asyncio.create_task(prompt.transact(lambda: named("first"), long=True))
    await asyncio.to_thread(begun.wait, 60)
    second = asyncio.create_task(prompt.transact(lambda: named("second"), long=True))
    short = asyncio.create_task(prompt.transact(lambda: named("short")))
    await asyncio.sleep(0)  # both are asked for
    go.set()
    await asyncio.gather(first, second, short)
    assert order == ["first", "short", "second"]
