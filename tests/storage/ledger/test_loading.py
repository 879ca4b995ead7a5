import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelyard.storage.ledger import statements, tables
from modelyard.storage.ledger.file import SUFFIX, LedgerFile, create, encode
from modelyard.storage.ledger.loading import DAMAGED, Loader
from modelyard.storage.ledger.record import Record
from modelyard.storage.ledger.tables import LEDGER, FileTables
from storage.ledger.records import attempt, loaded, record, rows, various
from storage.schemas import at_once, by_migrations, describe


def leave(folder: Path, data: bytes, name: str = "0001") -> Path:
    """A file as a dead process left it."""
    folder.mkdir(exist_ok=True)
    path = folder / (name + SUFFIX)
    path.write_bytes(data)
    return path


def lines(records: Iterable[Record]) -> bytes:
    return b"".join(map(encode, records))


def test_a_new_database_is_what_the_migrations_make(tmp_path: Path) -> None:
    made, migrated = at_once(tmp_path / "a.db", LEDGER), by_migrations(tmp_path / "b.db", LEDGER)
    assert describe(made) == describe(migrated)
    strict = "SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main' ORDER BY 1"
    assert rows(made, strict) == rows(migrated, strict)


def test_every_column_is_what_the_record_says(tmp_path: Path, place: Path | str) -> None:
    full = record(
        1, error="X", shared=True, stream=True, cost=3, estimated_cost=4, saved=5, user_id="ada",
        cached_tokens=6, cache="l1", attempts=[attempt(), attempt(duration=7.5)],
    )  # fmt: skip
    bare = Record("r", "q", 1.0, "w", "k", "chat", "m", 200, 0.5)
    leave(tmp_path, lines([full, bare]))
    loader = Loader(place)
    assert loader.load_folder(tmp_path)
    names = (
        "id, request_id, at, workspace, key_id, surface, model, provider, target, status, error,"
        "cache, shared, stream, seconds, first_token, input_tokens, output_tokens, cached_tokens,"
        "cost, estimated_cost, saved, user_id, attempts, upstream"
    )
    first, second = loaded(place, names)
    assert first == (
        "rec_00000001", "req_1", full.at, "default", "key_a", "chat", "gpt-4o", "openai",
        "openai/gpt-4o", 200, "X", "l1", 1, 1, 0.25, 12.5, 10, 5, 6, 3, 4, 5, "ada", 2, 7.5,
    )  # fmt: skip
    assert second == (
        "r", "q", 1.0, "w", "k", "chat", "m", None, None, 200, None,
        "off", 0, 0, 0.5, None, 0, 0, 0, 0, 0, 0, None, 0, None,
    )  # fmt: skip
    assert loaded(place) == [full, bare]


def test_an_unknown_price_stays_unknown(tmp_path: Path, place: Path | str) -> None:
    leave(tmp_path, lines([record(1, cost=None, estimated_cost=None, saved=None), record(2)]))
    Loader(place).load_folder(tmp_path)
    assert loaded(place, "cost, estimated_cost, saved") == [
        (None, None, None),
        (75_000, 0, 0),
    ]


def test_records_are_loaded_by_sqlite_in_one_statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow way, line by line, is for damaged files: were it taken always, nobody would see."""

    def never(self: FileTables, line: bytes) -> bool:
        raise AssertionError(line)

    monkeypatch.setattr(FileTables, "_insert_one", never)
    records = various(2000)
    leave(tmp_path, lines(records))
    loader = Loader(tmp_path / "l.db", batch_bytes=64 * 1024)
    assert loader.load_folder(tmp_path)
    assert loaded(tmp_path / "l.db") == records
    assert (loader.records, loader.damaged) == (2000, 0)


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"[]",
        b"3",
        b"null",
        b'"text"',
        b"{}",
        b"\xff\xfe",
        b"\x00" * 100,
        b'{"id": 1}',
        encode(record(9))[:-20],
        encode(record(9)).replace(b"200", b'"200"'),
        encode(record(9))[:-1] + b"," + encode(record(8))[:-1],
        encode(record(9))[:-1].replace(b'"status":200', b'"status":1' + b"0" * 30),
        b"[" * 3000,
    ],
)
def test_a_damaged_line_is_counted_and_kept_and_hides_no_other(
    tmp_path: Path, place: Path | str, bad: bytes
) -> None:
    good = [record(number) for number in range(5)]
    path = leave(tmp_path, lines(good[:3]) + bad + b"\n" + lines(good[3:]))
    loader = Loader(place)
    loader.load_folder(tmp_path)
    assert loaded(place) == good
    assert (loader.records, loader.damaged) == (5, 1)
    assert not path.exists()
    assert bad in path.with_name(path.name + DAMAGED).read_bytes()
    loader.load_folder(tmp_path)
    assert loader.damaged == 1


def test_two_halves_of_a_line_are_not_taken_for_one(tmp_path: Path, place: Path | str) -> None:
    """A batch is made one array: what is torn at a comma would be whole again there."""
    whole = encode(record(1))
    head, tail = whole.split(b",", 1)
    leave(tmp_path, lines([record(0)]) + head + b"\n" + tail + lines([record(2)]))
    loader = Loader(place)
    loader.load_folder(tmp_path)
    assert loaded(place) == [record(0), record(2)]
    assert loader.damaged == 2


def test_a_line_longer_than_a_batch(tmp_path: Path, place: Path | str) -> None:
    records = [record(0), record(1, metadata={"text": "x" * 10_000}), record(2)]
    leave(tmp_path, lines(records))
    Loader(place, batch_bytes=100).load_folder(tmp_path)
    assert loaded(place) == records


def test_a_living_process_keeps_its_file(tmp_path: Path, place: Path | str) -> None:
    file = LedgerFile.open(tmp_path / "ledger")
    loader = Loader(place)
    for number in range(3):
        file.append(encode(record(number)))
        assert loader.load_folder(file.folder)
        assert len(loaded(place)) == number + 1
    assert file.segment.path.exists()
    file.discard(file.segment)  # as when it dies
    assert loader.load_folder(file.folder)
    assert not list(file.folder.iterdir())
    assert rows(place, "SELECT * FROM ledger_file") == []


def test_two_loaders_load_a_file_once(tmp_path: Path, place: Path | str) -> None:
    segment = create(tmp_path)
    data = lines(various(300))
    os.write(segment.fd, data)
    loaders = [Loader(place, batch_bytes=2000) for _ in range(2)]
    for upto in range(0, len(data) + 1000, 1000):
        for loader in loaders:
            loader.load(segment.name, segment.fd, min(upto, len(data)))
    assert loaded(place) == various(300)
    assert rows(place, "SELECT sum(requests) FROM usage") == [(300,)]


def test_a_crash_between_loading_and_deleting_repeats_nothing(
    tmp_path: Path, place: Path | str
) -> None:
    data = lines(various(50))
    leave(tmp_path, data)
    Loader(place).load_folder(tmp_path)
    leave(tmp_path, data)  # the deletion was lost, the position with it
    leave(tmp_path, data, "0002")
    loader = Loader(place)
    loader.load_folder(tmp_path)
    assert (loader.records, loader.damaged) == (0, 0)
    assert loaded(place) == various(50)
    assert rows(place, "SELECT sum(requests) FROM usage") == [(50,)]


def test_a_batch_is_loaded_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = leave(tmp_path, lines(various(50)))
    loader = Loader(tmp_path / "l.db")
    with monkeypatch.context() as patch:
        patch.setattr(statements, "FAILURES", "SELECT * FROM nothing WHERE number > ?")
        with pytest.raises(sqlite3.OperationalError):
            loader.load_folder(tmp_path)
    for table in ("request", "usage", "ledger_file"):
        assert rows(tmp_path / "l.db", f"SELECT count(*) FROM {table}") == [(0,)]
    assert path.exists()
    loader.load_folder(tmp_path)
    assert len(loaded(tmp_path / "l.db")) == 50


def test_loading_can_be_stopped_between_batches(tmp_path: Path, place: Path | str) -> None:
    path = leave(tmp_path, lines(various(200)))
    loader = Loader(place, batch_bytes=5000)
    turns = iter([True, True])
    assert not loader.load_folder(tmp_path, lambda: next(turns, False))
    assert 0 < loader.records < 200
    assert path.exists()
    assert loader.load_folder(tmp_path)
    assert loaded(place) == various(200)


def test_no_sum_can_overflow(tmp_path: Path, place: Path | str) -> None:
    huge = 2**63 - 1
    absurd = [
        record(number, input_tokens=huge, output_tokens=huge, cost=huge, saved=huge)
        for number in range(100)
    ]
    leave(tmp_path, lines(absurd))
    Loader(place, batch_bytes=2000).load_folder(tmp_path)
    assert loaded(place) == absurd
    assert rows(place, "SELECT input_tokens, cost FROM usage") == [(100 * 10**9, 100 * 10**13)]


@pytest.mark.parametrize("sql", [statements.USAGE, statements.FAILURES])
def test_summing_reads_the_new_rows_alone(tmp_path: Path, sql: str) -> None:
    """Else loading would take longer with each record there is."""
    plan = rows(at_once(tmp_path / "l.db", LEDGER), f"EXPLAIN QUERY PLAN {sql}", 1)
    assert [row[3] for row in plan if " request " in row[3]] == [
        "SEARCH request USING INTEGER PRIMARY KEY (rowid>?)"
    ]


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables.sqlite3, "sqlite_version_info", (3, 37, 2))
    with pytest.raises(RuntimeError, match=r"3\.38 is needed"):
        Loader(tmp_path / "l.db")


RECORDS = various(60)
LINES = [encode(one) for one in RECORDS]


@st.composite
def damage(draw: st.DrawFn) -> tuple[list[bytes], set[str]]:
    """Files of whole, repeated and torn lines, and the ids that stand in a whole one."""
    files, whole = [], set[str]()
    for _ in range(draw(st.integers(1, 3))):
        data = b""
        for index in draw(st.lists(st.integers(0, len(LINES) - 1), max_size=25)):
            line = LINES[index]
            cut = draw(st.one_of(st.none(), st.integers(0, len(line) - 2)))
            if cut is None:
                data += line
                whole.add(RECORDS[index].id)
            else:
                data += line[:cut] + b"\n"
        data += draw(st.sampled_from(LINES))[: draw(st.integers(0, 300))]  # killed in mid-write
        files.append(data)
    return files, whole


@settings(max_examples=60, deadline=None)
@given(damage(), st.integers(1, 5000), st.lists(st.integers(0, 20_000), max_size=6))
@example(([b"".join(LINES)], {one.id for one in RECORDS}), 1, [1, 2, 3])
def test_whatever_the_damage_each_whole_record_is_loaded_once(
    made: tuple[list[bytes], set[str]], batch: int, steps: list[int]
) -> None:
    """Also when the file is loaded in steps that end anywhere, as it grows."""
    files, whole = made
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = [leave(folder, data, str(number)) for number, data in enumerate(files)]
        loader = Loader(folder / "l.db", batch_bytes=batch)
        for upto in sorted(steps):
            fd = os.open(paths[0], os.O_RDONLY)
            loader.load(paths[0].name, fd, min(upto, len(files[0])))
            os.close(fd)
        assert loader.load_folder(folder)
        found = loaded(folder / "l.db")
        assert sorted(one.id for one in found) == sorted(whole)
        assert [one for one in found if one not in RECORDS] == []
        total = rows(folder / "l.db", "SELECT coalesce(sum(requests), 0) FROM usage")
        assert total == [(len(whole),)]
        assert not list(folder.glob(f"*{SUFFIX}"))
        loader.close()
