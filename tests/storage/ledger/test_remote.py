"""One request log of several hosts, on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelyard.protocol.errors import Failure
from modelyard.storage.ledger.file import encode
from modelyard.storage.ledger.keeper import open_ledger
from modelyard.storage.ledger.loading import Loader
from modelyard.storage.ledger.queries import Filters
from modelyard.storage.migrate import UnusableDatabase
from patience import LONG
from postgres import Server
from storage.ledger.records import loaded, record, rows, various


@pytest.fixture
def url(postgresql: Server, template: str) -> str:
    return postgresql.create(template)


def leave(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.jsonl").write_bytes(data)


def test_hosts_that_load_at_the_same_time_make_one_log(tmp_path: Path, url: str) -> None:
    records = various(1200)
    hosts = [Loader(url, batch_bytes=5000) for _ in range(3)]
    for host in range(3):
        mine = b"".join(map(encode, records[host::3]))
        leave(tmp_path / str(host), f"file-{host}", mine)
    with ThreadPoolExecutor(3) as pool:
        done = pool.map(lambda at: hosts[at].load_folder(tmp_path / str(at)), range(3))
        assert list(done) == [True] * 3
    assert sorted(one.id for one in loaded(url)) == [one.id for one in records]
    assert rows(url, "SELECT sum(requests)::bigint FROM usage") == [(1200,)]
    failed = sum(
        tried.outcome != "ok" for one in records for tried in one.attempts if len(one.attempts) > 1
    )
    assert rows(url, "SELECT sum(attempts)::bigint FROM failure") == [(failed,)]
    assert [host.records for host in hosts] == [400] * 3
    for host, loader in enumerate(hosts):
        loader.load_folder(tmp_path / str(host))
        loader.close()
    assert rows(url, "SELECT * FROM ledger_file") == []


def test_a_record_with_what_postgresql_cannot_keep(tmp_path: Path, url: str) -> None:
    odd = record(1, user_id="a\0b", metadata={"x": "\\u0000 \\\0"})
    leave(tmp_path, "a", encode(odd) + encode(record(2)))
    loader = Loader(url)
    assert loader.load_folder(tmp_path)
    assert (loader.records, loader.damaged) == (2, 0)
    found = loaded(url)[0]
    assert (found.user_id, found.metadata) == ("a\ufffdb", {"x": "\\u0000 \\\ufffd"})
    loader.close()


def test_a_server_that_is_gone_loses_nothing(tmp_path: Path) -> None:
    server = Server(("max_connections=20",))
    try:
        file, keeper = open_ledger(tmp_path / "ledger", server.create())
        keeper.start()
        file.append(encode(record(1)))
        assert keeper.catch_up(LONG)
        server.stop()
        file.append(encode(record(2)))
        assert not keeper.catch_up(0.3)
        with pytest.raises(Failure, match="cannot be reached") as raised:
            keeper.reader.requests("default", Filters(), None, 10)
        assert raised.value.code.symbol == "SYSTEM_OVERLOADED"
        server.start()
        assert keeper.catch_up(LONG)
        found = keeper.reader.requests("default", Filters(), None, 10)
        assert [one.id for one in found] == ["rec_00000002", "rec_00000001"]
        assert keeper.stop(LONG)
    finally:
        server.close()


def test_a_server_that_is_not_there_is_told(postgresql: Server) -> None:
    with pytest.raises(OSError):
        Loader("postgresql://postgres@127.0.0.1:1/x")
    with pytest.raises((OSError, UnusableDatabase), match="nowhere"):
        Loader(postgresql.url("nowhere"))


def test_a_question_that_takes_too_long_is_given_up(url: str) -> None:
    loader = Loader(url)
    loader.reader._answers._seconds = 0.05  # type: ignore[attr-defined]
    with pytest.raises(Failure, match="Narrow the question"):
        loader.reader._rows("SELECT pg_sleep(600)", ())
    loader.reader._answers._seconds = LONG  # type: ignore[attr-defined]
    with pytest.raises(Failure, match="cannot be reached"):
        loader.reader._rows("DELETE FROM request", ())
    loader.close()


def test_a_limit_that_is_over_is_told_as_such(postgresql: Server, url: str) -> None:
    loader = Loader(url)
    name = url.partition("@/")[2].partition("?")[0]
    postgresql.execute("postgres", f"ALTER DATABASE {name} SET statement_timeout = '50ms'")
    link = loader.reader._answers._link  # type: ignore[attr-defined]
    link.run(lambda _: link._pool.expire_connections())  # those that come have the limit
    with pytest.raises(Failure, match="statement_timeout is over") as told:
        loader.reader._rows("SELECT pg_sleep(60)", ())
    assert (told.value.code.symbol, told.value.code.status) == ("SYSTEM_OVERLOADED", 503)
    loader.close()
