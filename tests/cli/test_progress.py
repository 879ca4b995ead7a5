"""Long commands on a terminal: a bar, and what Ctrl-C leaves behind."""

import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from modelyard.cli import progress
from modelyard.cli.progress import BYTES, span
from modelyard.kernel.events import BEGINNING, Event, link
from modelyard.storage.ledger.tables import LEDGER
from modelyard.storage.opening import FILE, LEDGER_FILE
from modelyard.storage.schema import CONTROL, prepare
from terminal import CTRL_C, Terminal

EVENTS, FAILURES = 6_000, 6_000
HELD = Path(__file__).parent / "held"


class Clock:
    """The seconds that a bar reckons with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress, "time", self)

    def monotonic(self) -> float:
        """In place of ``time.monotonic``."""
        return self.now


@pytest.fixture(name="clock")
def stopped(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.usefixtures("clock")
def test_a_quick_command_writes_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown("again") as bar:
        bar.phase("reading", 10, "rows")
        bar.advance(10)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("clock")
def test_without_a_terminal_each_phase_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown("again", steps=True) as bar:
        bar.phase("reading", 10, "rows")
        for _ in range(10):
            bar.advance(1)  # they come too fast to be told of
        bar.phase("sending", 4e6, BYTES)
        bar.phase("listing", unit="keys")
        bar.phase("Trees", 1.0)
    assert capsys.readouterr().err.splitlines() == [
        "reading · 0 % · 0 of 10 rows",
        "sending · 0 % · 0.0 of 4.0 MB",
        "listing · 0 keys",
        "Trees · 0 %",
    ]


def test_rate_and_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown("again", steps=True) as bar:
        bar.phase("reading", 1000, "rows")
        bar.skip(200)  # done before: tells of no speed
        for now, count in ((1004.9, 99), (1005.0, 1), (1009.9, 50), (1010.0, 50)):
            clock.now = now
            bar.advance(count)
    assert capsys.readouterr().err.splitlines() == [
        "reading · 0 % · 0 of 1,000 rows",
        "reading · 30 % · 300 of 1,000 rows · 20 rows/s · 35 s left",
        "reading · 40 % · 400 of 1,000 rows · 20 rows/s · 30 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (1.9, []),
        (2.0, ["listing · 70 keys · 35 keys/s · 2 s"]),
        (61, ["listing · 70 keys · 1 keys/s · 1 min 01 s"]),
    ],
)
def test_what_takes_long_is_told_once_it_does(
    seconds: float, told: list[str], clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.listing("keys") as bar:
        clock.now += seconds
        bar.at(70)
    assert capsys.readouterr().err.splitlines() == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "1 s"), (59.4, "59 s"), (185, "3 min 05 s"), (7_620, "2 h 07 min")]
)
def test_durations(seconds: float, told: str) -> None:
    assert span(seconds) == told


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An installation of which a bar has several steps to tell."""
    made = tmp_path_factory.mktemp("large") / "home"
    made.mkdir()
    prepare(made / FILE, CONTROL)
    prepare(made / LEDGER_FILE, LEDGER)
    (made / "pepper").write_bytes(b"p" * 32)
    with closing(sqlite3.connect(made / FILE)) as control:
        marks = ", ".join("?" * 12)
        control.executemany(f"INSERT INTO event VALUES ({marks})", _events())
        control.commit()
    with closing(sqlite3.connect(made / LEDGER_FILE)) as ledger:
        ledger.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO failure (workspace, hour, target, reason, attempts) "
            "SELECT 'default', i, 'a', 'timeout', 1 FROM n",
            (FAILURES,),
        )
        ledger.commit()
    yield made


def _events() -> Iterator[tuple[object, ...]]:
    digest = BEGINNING
    for number in range(1, EVENTS + 1):
        event = Event(
            id=f"evt_{number:08}",
            at=1e9 + number,
            workspace="default",
            actor="a",
            verb="key.create",
            kind="auth/keys",
            resource=f"auth/keys/key_{number}",
            request_id="",
            before=None,
            after={"name": "x" * 200},
        )
        digest = link(digest, number, event)
        told = (event.id, event.at, event.workspace, event.actor, event.verb, event.resource)
        after = json.dumps(event.after)
        yield *told, event.request_id, None, after, event.kind, number, digest


def environment(home: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if "MODELYARD" not in name}
    return clean | {"MODELYARD_HOME": str(home), "MODELYARD_PORT": "1"}


def held(home: Path, at: str) -> dict[str, str]:
    """The environment of a command that goes on to this phase, and stays in it."""
    return environment(home) | {"PYTHONPATH": str(HELD), "HELD_AT": at}


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_verifying_shows_a_bar_and_ctrl_c_tells_how_to_go_on(large: Path, columns: int) -> None:
    env = held(large, "verifying")
    with Terminal("audit", "verify", env=env, columns=columns) as terminal:
        terminal.until(r"verifying .* [1-9]\d? % ")
        terminal.type(CTRL_C)
        assert terminal.ended() == 130
        assert "interrupted; the chain was not verified to its end" in terminal.seen
        assert "Traceback" not in terminal.seen
        seen = terminal.seen.replace("^C", "")
        drawn = [line for line in seen.split("\r") if "verifying" in line]
        assert max(map(len, drawn)) <= columns


def test_an_interrupted_backup_leaves_nothing(large: Path, tmp_path: Path) -> None:
    archive = tmp_path / "kept" / "all.zip"
    archive.parent.mkdir()
    with Terminal("backup", str(archive), env=held(large, "reading rows")) as terminal:
        terminal.until(r"reading rows .* [1-9]\d? %")
        terminal.type(CTRL_C)
        assert terminal.ended() == 130
        assert "interrupted; nothing was kept; the same command begins anew" in terminal.seen
        assert "Traceback" not in terminal.seen
    assert [*archive.parent.iterdir()] == []


def test_an_interrupted_restore_changes_nothing(large: Path, tmp_path: Path) -> None:
    archive, new = tmp_path / "all.zip", tmp_path / "new"
    told = subprocess.run(
        [sys.executable, "-m", "modelyard", "backup", str(archive), "--json"],
        env=environment(large),
        capture_output=True,
        timeout=100,
        check=True,
    )
    assert json.loads(told.stdout)["tables"]["control/event"] == EVENTS  # and nothing else
    with Terminal("restore", str(archive), env=held(new, "writing rows")) as terminal:
        terminal.until(r"writing rows .* [1-9]\d? %")
        terminal.type(CTRL_C)
        assert terminal.ended() == 130
        assert "interrupted; the installation is as it was" in terminal.seen
        assert "Traceback" not in terminal.seen
    assert [*new.iterdir()] == []
    assert zipfile.is_zipfile(archive)
