"""``modelyard audit verify``: the chain of a database that nobody serves."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.cli.main import main
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Commit
from modelyard.storage.driver import Statement, Work
from modelyard.storage.opening import driver, revision_of
from modelyard.storage.store import Store
from postgres import Server as Postgres


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """The database that the settings name: the home's own, or a server's."""
    if request.param == "sqlite":
        return None
    made = str(request.getfixturevalue("postgres").create())
    monkeypatch.setenv("MODELYARD_DATABASE_URL", made)
    return made


def change(url: str | None, home: Path, sql: str = "", count: int = 0) -> None:
    """Seal some events, and run a statement behind the server's back."""

    def work() -> Work[None]:
        yield Statement(sql)

    async def run() -> None:
        store = Store(driver(url, home))
        await store.open()
        for number in range(count):
            event = Event(
                workspace="w", actor="a", verb="v", resource=f"r/{number}", request_id="q"
            )
            await store.commit(Commit(events=[event]))
        await store.seal()
        if sql:
            await store.driver.transact(work)
        await store.close()

    asyncio.run(run())


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def call(*words: str, status: int = 0) -> Any:
        assert main(["audit", "verify", *words, "--json"]) == status
        return json.loads(capsys.readouterr().out)

    return call


def test_an_intact_chain(
    url: str | None, home: Path, verify: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    change(url, home, count=7)
    found = verify()
    assert (found["intact"], found["events"], len(found["digest"])) == (True, 7, 64)
    assert main(["audit", "verify"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Intact: 7 events")
    assert text.endswith(f"--from 7 --digest {found['digest']}\n")
    change(url, home, count=2)
    later = verify("--from", "7", "--digest", found["digest"])
    assert (later["intact"], later["events"], later["anchor"]) == (True, 9, 7)


@pytest.mark.parametrize(
    ("sql", "at", "reason"),
    [
        ("UPDATE event SET actor = 'eve' WHERE sequence = 3", 3, "changed"),
        ("DELETE FROM event WHERE sequence = 4", 4, "missing"),
        ("UPDATE event SET at = at + 1 WHERE sequence = 1", 1, "changed"),
    ],
)
def test_a_broken_chain(
    url: str | None,
    home: Path,
    verify: Any,
    capsys: pytest.CaptureFixture[str],
    sql: str,
    at: int,
    reason: str,
) -> None:
    change(url, home, sql, count=6)
    found = verify(status=1)
    assert (found["intact"], found["broken_at"], found["reason"]) == (False, at, reason)
    assert found["events"] == at - 1
    assert main(["audit", "verify"]) == 1
    assert f"BROKEN at event {at}" in capsys.readouterr().out


def test_a_tail_that_was_cut_off_is_found_by_its_anchor(
    url: str | None, home: Path, verify: Any
) -> None:
    change(url, home, count=6)
    anchor = verify()
    change(url, home, "DELETE FROM event WHERE sequence > 4")
    assert verify()["intact"] is True  # by itself nobody can tell
    words = ["--from", "6", "--digest", anchor["digest"]]
    assert verify(*words, status=1)["broken_at"] == 5
    words = ["--from", "4", "--digest", anchor["digest"]]
    assert verify(*words, status=1)["broken_at"] == 4


def test_a_file_by_its_name(home: Path, tmp_path: Path, verify: Any) -> None:
    change(None, home, count=3)
    with sqlite3.connect(home / "modelyard.db") as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    assert verify("--database", str(tmp_path / "copy.db"))["events"] == 3


@pytest.mark.parametrize(
    "words",
    [
        ["--from", "3"],
        ["--digest", "00" * 32],
        ["--from", "3", "--digest", "xyz"],
        ["--from", "0", "--digest", "00" * 32],
        ["--database", "nowhere.db"],
    ],
)
def test_asked_for_wrongly(words: list[str], home: Path) -> None:
    assert main(["audit", "verify", *words]) == 2
    assert not Path("nowhere.db").exists()


def test_nothing_is_made_by_looking(url: str | None, home: Path) -> None:
    assert main(["audit", "verify"]) == 2
    assert list(home.iterdir()) == []
    assert asyncio.run(revision_of(url, home)) is None


def test_nothing_is_upgraded_by_looking(
    url: str | None, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(url, home, "UPDATE alembic_version SET version_num = '0003'", count=2)
    assert main(["audit", "verify"]) == 2
    assert "start a server" in " ".join(capsys.readouterr().err.split())
    assert asyncio.run(revision_of(url, home)) == "0003"
