import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from modelyard.storage.ledger import file as ledger_file
from modelyard.storage.ledger.file import LedgerFile, encode
from modelyard.storage.ledger.keeper import Keeper, open_ledger
from modelyard.storage.ledger.loading import Loader
from modelyard.storage.ledger.queries import Filters
from storage.ledger.records import loaded, record, rows

PATIENCE = 60.0  # seconds for what takes milliseconds on an idle machine

# Writes records until it is killed; tells each id on standard output once it is written.
WRITER = """
import sys
from pathlib import Path
from modelyard.storage.ledger.file import encode
from modelyard.storage.ledger.keeper import Keeper
from modelyard.storage.ledger.file import LedgerFile
from modelyard.storage.ledger.loading import Loader
from storage.ledger.records import record

home = Path(sys.argv[1])
file = LedgerFile.open(home / "ledger", rotate_bytes=100_000)
Keeper(file, Loader(home / "ledger.db"), interval=0.02).start()
number = int(sys.argv[2])
while True:
    one = record(number, metadata={"text": "x" * (number % 3000)})
    file.append(encode(one))
    sys.stdout.write(one.id + "\\n")
    sys.stdout.flush()
    number += 1
"""


@contextmanager
def kept(
    home: Path, interval: float = 0.02, rotate: int = 10**6
) -> Iterator[tuple[LedgerFile, Keeper]]:
    file = LedgerFile.open(home / "ledger", rotate_bytes=rotate)
    keeper = Keeper(file, Loader(home / "ledger.db"), interval)
    keeper.start()
    try:
        yield file, keeper
    finally:
        keeper.stop(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_records_are_loaded_in_the_background(tmp_path: Path) -> None:
    with kept(tmp_path) as (file, _):
        for number in range(10):
            file.append(encode(record(number)))
        until(lambda: len(loaded(tmp_path / "ledger.db")) == 10)


def test_one_reads_ones_own_writes(tmp_path: Path) -> None:
    file, keeper = open_ledger(tmp_path / "ledger", tmp_path / "ledger.db")
    keeper.start()
    for number in range(20):
        file.append(encode(record(number)))
        assert keeper.catch_up(PATIENCE)
        assert len(keeper.reader.requests("default", Filters(), None, 100)) == number + 1
    assert keeper.stop(PATIENCE)


def test_another_processes_writes_are_caught_up_with(tmp_path: Path) -> None:
    """Of two workers each has a file of its own; a client's next request may reach the other."""
    with kept(tmp_path, 3600) as (file, _), kept(tmp_path, 3600) as (_, keeper):
        file.append(encode(record(1)))
        assert keeper.catch_up(PATIENCE)
        assert loaded(tmp_path / "ledger.db") == [record(1)]
        assert file.segment.path.exists()


def test_catching_up_has_an_end_while_the_database_is_locked(tmp_path: Path) -> None:
    with kept(tmp_path, 3600) as (file, keeper):
        file.append(encode(record(1)))
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert not keeper.catch_up(0.1)
            other.execute("ROLLBACK")
        assert keeper.catch_up(PATIENCE)
        assert loaded(tmp_path / "ledger.db") == [record(1)]


def test_full_files_are_loaded_and_deleted(tmp_path: Path) -> None:
    with kept(tmp_path, rotate=2000) as (file, _):
        for number in range(100):
            file.append(encode(record(number)))
        until(lambda: len(list(file.folder.iterdir())) == 1)
        until(lambda: not file.retired)  # forgotten a moment after its file is deleted
    assert [one.id for one in loaded(tmp_path / "ledger.db")] == [
        record(number).id for number in range(100)
    ]
    assert not list((tmp_path / "ledger").iterdir())


def test_stopping_loads_what_is_left_and_leaves_no_file(tmp_path: Path) -> None:
    others = set(threading.enumerate())
    file, keeper = open_ledger(tmp_path / "ledger", tmp_path / "ledger.db")
    keeper.start()
    for number in range(1000):
        file.append(encode(record(number)))
    assert keeper.stop(PATIENCE)
    assert len(loaded(tmp_path / "ledger.db")) == 1000
    assert not list(file.folder.iterdir())
    left = set(threading.enumerate()) - others
    assert not [one for one in left if one.name.startswith("ledger-")]


def test_stopping_without_time_leaves_the_rest_to_the_next_start(tmp_path: Path) -> None:
    file, keeper = open_ledger(tmp_path / "ledger", tmp_path / "ledger.db")
    for number in range(100):
        file.append(encode(record(number)))
    assert not keeper.stop(0.0)
    assert loaded(tmp_path / "ledger.db") == []
    os.close(file.segment.fd)  # the process ends
    with kept(tmp_path):
        assert len(loaded(tmp_path / "ledger.db")) == 100


def test_a_failing_sync_or_load_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[str] = []

    def sync(fd: int) -> None:
        failed.append("sync")
        raise OSError(5, "Input/output error")

    def batch(*_: object) -> bool:
        failed.append("load")
        raise sqlite3.OperationalError("disk I/O error")

    with kept(tmp_path) as (file, keeper):
        with monkeypatch.context() as patch:
            patch.setattr(ledger_file, "_datasync", sync)
            patch.setattr(Loader, "_batch", batch)
            file.append(encode(record(1)))
            until(lambda: failed.count("sync") > 2 and failed.count("load") > 2)
        assert keeper.catch_up(PATIENCE)
        until(lambda: file.segment.synced == file.segment.size)
    assert loaded(tmp_path / "ledger.db") == [record(1)]
    assert "could not be synced" in caplog.text
    assert "could not be loaded" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_the_loading_thread_goes_last(tmp_path: Path) -> None:
    with kept(tmp_path) as (_, keeper):
        assert keeper.catch_up(PATIENCE)
        nice = {
            thread.name: os.getpriority(os.PRIO_PROCESS, thread.native_id or 0)
            for thread in threading.enumerate()
            if thread.name in ("ledger-load", "ledger-sync", "MainThread")  # others may end
        }
    assert nice["ledger-load"] == 19
    assert nice["ledger-sync"] == nice["MainThread"] == os.getpriority(os.PRIO_PROCESS, 0)


async def test_the_event_loop_goes_on_while_a_reader_waits(tmp_path: Path) -> None:
    with kept(tmp_path, 3600) as (file, keeper):
        for number in range(5000):
            file.append(encode(record(number)))
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # until then nothing can be loaded
            waiting = asyncio.create_task(asyncio.to_thread(keeper.catch_up, PATIENCE))
            for _ in range(20):
                await asyncio.sleep(0.001)
                assert not waiting.done()
            other.execute("ROLLBACK")
        assert await waiting


@pytest.mark.parametrize("round_", range(3))
def test_what_a_killed_process_wrote_is_there_once(tmp_path: Path, round_: int) -> None:
    """Killed in mid-write, while its keeper loads and deletes files: three processes in turn."""
    written: list[str] = []
    for start in (0, 1_000_000, 2_000_000):
        written += kill_after(tmp_path, start, 150 + 400 * round_)
    with kept(tmp_path):
        found = [one.id for one in loaded(tmp_path / "ledger.db")]
    assert len(found) == len(set(found))
    assert set(written) <= set(found)
    assert len(found) - len(written) <= 3  # written, but killed before it could tell
    assert rows(tmp_path / "ledger.db", "SELECT sum(requests) FROM usage") == [(len(found),)]
    assert not list((tmp_path / "ledger").iterdir())


def kill_after(home: Path, start: int, count: int) -> list[str]:
    """The ids that a writer told before it was killed, at least ``count``."""
    command = [sys.executable, "-c", WRITER, str(home), str(start)]
    tests = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": tests}
    )
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(count)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    return [line.strip() for line in told if line.endswith("\n")]
