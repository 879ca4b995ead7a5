"""Looks for work end where there is none, and no operation waits for that."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

import modelyard
from modelyard.jobs import engine as jobs_engine
from modelyard.jobs.engine import FILE, QUEUE, Engine
from patience import LONG, until

LOOKING = f"queue-worker-{QUEUE}"
ME = "me"
PATHS = (Path(__file__).parents[1], Path(modelyard.__file__).parents[1])


class Desk:
    """An engine, and what it took up."""

    def __init__(self, home: Path) -> None:
        self._file = home / FILE
        self._worked: dict[str, threading.Event] = {}
        self.engine = Engine(None, home, ME, 2, self._work)
        self.gate = self.engine.gate
        self.engine.launch()

    def enqueue(self, own_id: str) -> None:
        """Queue one."""
        self._worked[own_id] = threading.Event()
        self.engine.enqueue("default", own_id, 1)

    def worked(self, own_id: str) -> bool:
        """Whether it is taken up at last."""
        return self._worked[own_id].wait(LONG)

    def rest(self) -> None:
        """Until nobody looks for work."""

        def held() -> bool:
            self.engine.recover([ME])
            return LOOKING in self.gate.held

        until(held)

    def state(self, own_id: str) -> str:
        """What DBOS has of it."""
        with closing(sqlite3.connect(self._file)) as connection:
            found = connection.execute(
                "SELECT status FROM workflow_status WHERE workflow_uuid = ?", (own_id,)
            ).fetchone()
        return str(found[0]) if found else ""

    def _work(self, workspace: str, own_id: str) -> None:
        self._worked[own_id].set()


def what_is_queued_is_taken_up(desk: Desk) -> None:
    """Again and again."""
    for own_id in ("first", "second"):
        desk.rest()
        desk.enqueue(own_id)
        assert desk.worked(own_id)


def what_is_queued_while_looks_end_is_taken_up(desk: Desk) -> None:
    """Behind the last look of all."""
    desk.rest()
    listed = jobs_engine._listed

    def before(**asked: object) -> object:
        found = listed(**asked)
        if asked["status"] == "ENQUEUED":
            assert not found
            desk.enqueue("late")
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs_engine, "_listed", before)
        desk.engine.recover([ME])
    assert desk.worked("late")


def what_another_worker_queued_is_taken_up(desk: Desk) -> None:
    """Though nobody told this one."""
    desk.rest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.gate, "open", lambda: None)
        desk.enqueue("another's")
    assert LOOKING in desk.gate.held
    desk.engine.recover([ME])
    assert desk.worked("another's")


def what_was_taken_up_and_not_begun_is_begun(desk: Desk) -> None:
    """The gate is closed between the two."""
    desk.rest()

    def taken(*_: object) -> None:
        if threading.current_thread().name == LOOKING and desk.state("taken") == "PENDING":
            desk.gate.close()

    event.listen(Pool, "checkin", taken)
    desk.enqueue("taken")
    until(lambda: desk.state("taken") == "PENDING" and LOOKING in desk.gate.held)
    event.remove(Pool, "checkin", taken)
    desk.engine.recover([ME])
    assert desk.worked("taken")


SCENARIOS: dict[str, Callable[[Desk], None]] = {
    one.__name__: one
    for one in (
        what_is_queued_is_taken_up,
        what_is_queued_while_looks_end_is_taken_up,
        what_another_worker_queued_is_taken_up,
        what_was_taken_up_and_not_begun_is_begun,
    )
}


def play(home: str) -> None:
    """Play them, print what went wrong, and end at once, as a worker does."""
    desk, wrong = Desk(Path(home)), dict.fromkeys(SCENARIOS, "not played")
    try:
        for name, scenario in SCENARIOS.items():
            scenario(desk)
            del wrong[name]
    finally:
        if wrong:
            wrong[name] = traceback.format_exc()
        print(json.dumps(wrong), flush=True)
        os._exit(0)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What went wrong, in a process of its own: DBOS is one per process, and slow to end."""
    home = tmp_path_factory.mktemp("home")
    command = f"from jobs.test_gate import play; play({str(home)!r})"
    ended = subprocess.run(
        [sys.executable, "-c", command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, PATHS))},
        capture_output=True,
        timeout=2 * LONG,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return dict(json.loads(ended.stdout))


@pytest.mark.parametrize("name", SCENARIOS)
def test_looks_end_and_begin_again(wrong: dict[str, str], name: str) -> None:
    assert not wrong.get(name)
