"""The file of L3 against a plain model of it: exact accounts, bounds, workspaces apart, faults."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from modelyard.inference.cache.answer_file import OVERHEAD, AnswerFile, Put, Replaced

ENTRIES, BYTES = 6, 5_000
SPACES = ("one", "two")
KEYS = [bytes([n]) * 32 for n in range(10)]


def file_at(folder: Path, entries: int = 1000, size: int = 10_000_000) -> AnswerFile:
    return AnswerFile(folder / "answers.db", entries, size, 0)


class Filed(RuleBasedStateMachine):
    """``kept``: by key, what was put there: workspace, bytes, expiry, beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="modelyard-l3-"))
        self.file = file_at(self.folder, ENTRIES, BYTES)
        self.other = file_at(self.folder, ENTRIES, BYTES)  # of another process
        self.kept: dict[bytes, tuple[str, bytes, float, float]] = {}
        self.used: dict[bytes, int] = {}
        self.cleared = dict.fromkeys(SPACES, -1.0)
        self.now, self.turn = 1000.0, 0

    def teardown(self) -> None:
        self.file.close()
        self.other.close()
        shutil.rmtree(self.folder)

    @rule(
        key=st.sampled_from(KEYS),
        size=st.integers(1, 240),
        ttl=st.sampled_from([0.5, 50.0]),
        ago=st.sampled_from([0.0, 3.0]),
    )
    def put(self, key: bytes, size: int, ttl: float, ago: float) -> None:
        self.turn += 1
        self.now += 0.001
        space = SPACES[key[0] % 2]
        sealed = os.urandom(size)
        began = self.now - ago
        self.file.write([Put(space, key, sealed, self.now + ttl, began)], [], self.now)
        self.kept.pop(key, None)
        if began > self.cleared[space]:
            self.kept[key] = (space, sealed, self.now + ttl, began)
            self.used[key] = self.turn
        for name in [name for name, one in self.kept.items() if one[2] <= self.now]:
            del self.kept[name]
        self.evict()

    def evict(self) -> None:
        while True:
            sizes = dict.fromkeys(SPACES, 0)
            counts = dict.fromkeys(SPACES, 0)
            for space, sealed, _, _ in self.kept.values():
                sizes[space] += len(sealed) + OVERHEAD
                counts[space] += 1
            if sum(counts.values()) <= ENTRIES and sum(sizes.values()) <= BYTES:
                return
            held = counts if sum(counts.values()) > ENTRIES else sizes
            space = max(SPACES, key=lambda name: held[name])
            mine = [key for key, one in self.kept.items() if one[0] == space]
            del self.kept[min(mine, key=lambda key: self.used[key])]

    @rule(key=st.sampled_from(KEYS))
    def get(self, key: bytes) -> None:
        space = SPACES[key[0] % 2]
        one = self.kept.get(key)
        got = self.other.get(space, key, self.now)
        assert got == (None if one is None or one[2] <= self.now else (one[1], one[2]))
        assert self.other.get(SPACES[1 - key[0] % 2], key, self.now) is None
        if got is not None:
            self.turn += 1
            self.now += 0.001
            self.used[key] = self.turn
            self.file.write([], [key], self.now)
            for name in [name for name, one in self.kept.items() if one[2] <= self.now]:
                del self.kept[name]

    @rule(seconds=st.sampled_from([0.1, 1.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(space=st.sampled_from(SPACES), sure=st.integers(0, 4))
    def clear(self, space: str, sure: int) -> None:
        if sure:
            return
        gone = [key for key, one in self.kept.items() if one[0] == space and one[3] <= self.now]
        assert self.other.clear(space, self.now, self.now) == len(gone)
        self.cleared[space] = self.now
        for key in gone:
            del self.kept[key]

    @invariant()
    def exact(self) -> None:
        for name in SPACES:
            mine = [len(one[1]) + OVERHEAD for one in self.kept.values() if one[0] == name]
            assert self.file.count(name) == (len(mine), sum(mine))
        entries, size = self.file.total()
        assert entries == len(self.kept) <= ENTRIES and size <= BYTES


Filed.TestCase.settings = settings(max_examples=15, stateful_step_count=40, deadline=None)
TestFiled = Filed.TestCase


def put(number: int, size: int = 100, space: str = "w") -> Put:
    return Put(space, b"%032d" % number, bytes(size), time.time() + 1000, time.time())


def test_the_file_is_not_much_larger_than_what_it_may_hold(tmp_path: Path) -> None:
    file = file_at(tmp_path, 100_000, 2_000_000)
    for start in range(0, 4000, 100):
        puts = [put(n, 700 + n % 900) for n in range(start, start + 100)]
        file.write(puts, [], time.time())
    assert file.total()[1] <= 2_000_000
    size = sum(path.stat().st_size for path in tmp_path.iterdir() if path.suffix == ".db")
    assert size < 2_000_000 * 1.4
    file.clear("w", time.time(), time.time())
    assert (tmp_path / "answers.db").stat().st_size < 200_000 or file.total() == (0, 0)
    file.close()


def test_a_busy_workspace_makes_room_itself(tmp_path: Path) -> None:
    file = file_at(tmp_path, 50)
    file.write([put(n, space="small") for n in range(5)], [], time.time())
    for start in range(100, 400, 20):
        file.write([put(n, space="busy") for n in range(start, start + 20)], [], time.time())
    assert (file.count("small")[0], file.count("busy")[0]) == (5, 45)
    file.close()


@pytest.mark.parametrize("damage", ["garbage", "middle", "version"])
def test_a_damaged_file_is_replaced_once_for_all_processes(tmp_path: Path, damage: str) -> None:
    one, two = file_at(tmp_path), file_at(tmp_path)
    one.write([put(n, 3000) for n in range(50)], [], time.time())
    assert two.total()[0] == 50
    one.close()
    two.close()
    path = tmp_path / "answers.db"
    data = bytearray(path.read_bytes())
    if damage == "version":
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 77")
        db.close()
    elif damage == "garbage":
        path.write_bytes(bytes(len(data)))
        path.write_bytes(b"x" * len(data))
    else:
        data[4096:] = b"\xff" * (len(data) - 4096)
        path.write_bytes(data)
    with pytest.raises(Replaced):
        one.write([put(1)], [], time.time())
    one.write([put(1)], [], time.time())
    assert two.total()[0] == 1, "the other process sees the new file"
    assert two.get("w", put(1).key, time.time()) is not None
    one.close()
    two.close()


def test_a_file_without_room_raises_and_goes_on_reading(tmp_path: Path) -> None:
    file = file_at(tmp_path)
    file.write([put(1)], [], time.time())
    assert file._db is not None
    file._db.execute("PRAGMA max_page_count = 12")  # SQLite's own SQLITE_FULL
    with pytest.raises(sqlite3.OperationalError, match="full"):
        file.write([put(n, 20_000) for n in range(2, 9)], [], time.time())
    assert file.total()[0] == 1 and file.get("w", put(1).key, time.time()) is not None
    file._db.execute("PRAGMA max_page_count = 1000000")
    file.write([put(2, 20_000)], [], time.time())
    assert file.total()[0] == 2
    file.close()


def test_the_rest_of_the_disk_is_left_free(tmp_path: Path) -> None:
    file = AnswerFile(tmp_path / "answers.db", 10, 1_000_000, 1 << 60)
    with pytest.raises(OSError, match="are free"):
        file.write([put(1)], [], time.time())
    file.close()


def _write_for_ever(folder: str, started: "multiprocessing.synchronize.Event") -> None:
    file = file_at(Path(folder), 200, 300_000)
    number = 0
    while True:
        file.write([put(number + n, 900) for n in range(10)], [], time.time())
        number += 10
        if number == 400:
            started.set()


def test_writers_that_are_killed_leave_a_whole_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    for _ in range(2):
        started = context.Event()
        writers = [
            context.Process(target=_write_for_ever, args=(str(tmp_path), started)) for _ in range(2)
        ]
        for writer in writers:
            writer.start()
        assert started.wait(60)
        for writer in writers:
            assert writer.pid is not None
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
        file = file_at(tmp_path, 200, 300_000)
        entries, size = file.total()
        assert 0 < entries <= 200 and size <= 300_000
        with sqlite3.connect(tmp_path / "answers.db") as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            counted = db.execute("SELECT count(*), sum(size) FROM answer").fetchone()
        db.close()
        assert counted == (entries, size), "what is counted is what is there"
        file.close()


def test_a_clock_that_is_set_back_spares_nothing_and_locks_nothing_out(tmp_path: Path) -> None:
    file, hour = file_at(tmp_path), 3600.0
    file.write([Put("w", KEYS[0], b"old", 9e9, 5 * hour)], [], 5 * hour)
    # The clock is set back by two hours; what was kept before is cleared all the same.
    assert file.clear("w", 3 * hour, 3 * hour) == 1
    file.write([Put("w", KEYS[1], b"new", 9e9, 3 * hour + 1)], [], 3 * hour + 1)
    assert file.get("w", KEYS[1], 3 * hour + 1) is not None
    # It is set back once more: the clearing is not in force until its time comes again.
    file.write([], [], hour)
    file.write([Put("w", KEYS[2], b"late", 9e9, hour - 5)], [], hour)
    assert file.get("w", KEYS[2], hour) is None  # it began before
    file.write([Put("w", KEYS[2], b"newest", 9e9, hour + 1)], [], hour + 2)
    assert file.get("w", KEYS[2], hour + 2) is not None
    file.close()
