"""Work goes on after kill -9 of whoever did it: on SQLite and on PostgreSQL."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobs.office import MARCH, Office, environment, go_on, marks
from patience import LONG, until
from postgres import Server as Postgres
from serving import Server, alive, children_of, stopped, worker_pids

LATE = 140.0  # seconds until the work of a dead worker goes on; 30 where nothing else runs
ALONE = "[jobs]\nworkers = 0\n"

UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
try:
    SEALED = subprocess.run([*UNSHARE, "true"], capture_output=True).returncode == 0
except OSError:
    SEALED = False

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def on_machines(test: Any) -> Any:
    """Workers on several machines have PostgreSQL between them; a namespace stands for each."""
    alone = pytest.mark.skipif(not SEALED, reason="needs the right to make namespaces of processes")
    two = pytest.mark.parametrize("database", ["postgresql"], indirect=True, scope="module")
    return alone(two(test))


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables of a server on a database."""
    if request.param == "sqlite":
        return environment()
    server: Postgres = request.getfixturevalue("postgresql")
    return environment(MODELYARD_DATABASE_URL=server.create())


@pytest.fixture(scope="module")
def office(database: dict[str, str]) -> Iterator[Office]:
    with Server(env=database) as server:
        yield Office(server)


@pytest.fixture(scope="module")
def lonely(database: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Office]:
    """One without workers of its own, on a database that ``office``'s workers do not know."""
    with Server(ALONE, env=another(database, request)) as server:
        yield Office(server)


def another(database: dict[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables of a server on a database of the same kind."""
    if "MODELYARD_DATABASE_URL" not in database:
        return database  # SQLite's is in the server's own home
    return database | {"MODELYARD_DATABASE_URL": request.getfixturevalue("postgresql").create()}


class Hand:
    """One ``modelyard worker``."""

    def __init__(self, server: Server, *before: str) -> None:
        self.log = server.directory / f"worker-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "modelyard", "worker", "--concurrency", "1"],
                cwd=server.directory,
                env=server.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(self._ready, told=self.log.read_text)

    def _ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return b"worker ready" in self.log.read_bytes()

    def kill(self) -> None:
        """SIGKILL to the worker alone; what it started has to end by itself."""
        children = worker_pids(self.process.pid)
        self.process.kill()
        self.process.wait(LONG)
        until(lambda: not any(alive(pid) for pid in children))  # no job outlives its worker

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(LONG)


def check_once(office: Office, work: str, done: dict[str, object], steps: int, path: Path) -> None:
    """All steps were taken, at most one of them twice, and the work was committed once."""
    assert done["error"] is None, done
    assert office.client.get(f"/v1/works/{work}").json["count"] == steps
    taken = marks(path)
    assert set(taken) == set(range(1, steps + 1))
    assert len(taken) <= steps + 1, taken
    made = office.client.get("/v1/works?page_size=1000").json["works"]
    assert [one["title"] for one in made].count(f"after {path.parent.name}") == 1


def check_nothing_left(path: Path) -> None:
    """What the steps' processes left behind is gone, although some of them were killed."""
    left = [Path(line) for line in Path(f"{path}.left").read_text().split()]
    assert left
    until(lambda: not any(one.exists() for one in left))  # the last process ends after its work


def test_after_kill_9_of_the_server(office: Office, tmp_path: Path) -> None:
    work, path = office.work(tmp_path.name), tmp_path / "m"
    begun = office.begin(MARCH, work, marks=str(path), steps=4, hold_at=3)
    marks(path, 3)
    children = office.workers()
    office.server.kill()
    go_on(path)
    assert not any(alive(pid) for pid in children)
    office.server.start()
    began = time.monotonic()
    done = office.ended(begun)
    assert time.monotonic() - began < LATE
    check_once(office, work, done, 4, path)
    check_nothing_left(path)


def test_after_kill_9_of_a_worker_of_the_server(office: Office, tmp_path: Path) -> None:
    work, path = office.work(tmp_path.name), tmp_path / "m"
    begun = office.begin(MARCH, work, marks=str(path), steps=4, hold_at=3)
    marks(path, 3)
    assert office.server.process is not None
    (worker,) = (pid for pid in children_of(office.server.process.pid))
    os.kill(worker, signal.SIGKILL)
    go_on(path)
    done = office.ended(begun)
    check_once(office, work, done, 4, path)
    assert done["metadata"]["attempts"] == 2
    check_nothing_left(path)


def test_another_worker_takes_over(lonely: Office, tmp_path: Path) -> None:
    work, path = lonely.work(tmp_path.name), tmp_path / "m"
    first, second = Hand(lonely.server), None
    try:
        begun = lonely.begin(MARCH, work, marks=str(path), steps=4, hold_at=3)
        marks(path, 3)
        second = Hand(lonely.server)
        first.kill()
        go_on(path)
        began = time.monotonic()
        done = lonely.ended(begun)
        assert time.monotonic() - began < LATE
        check_once(lonely, work, done, 4, path)
    finally:
        first.process.kill()
        if second is not None:
            assert second.stop() == 0


def test_a_worker_that_stops_gives_back_what_it_does(lonely: Office, tmp_path: Path) -> None:
    work, path = lonely.work(tmp_path.name), tmp_path / "m"
    first = Hand(lonely.server)
    begun = lonely.begin(MARCH, work, marks=str(path), steps=4, hold_at=3)
    marks(path, 3)
    assert first.stop() == 0
    assert lonely.read(begun)["metadata"]["state"] == "queued"
    go_on(path)
    second = Hand(lonely.server)
    try:
        check_once(lonely, work, lonely.ended(begun), 4, path)
    finally:
        assert second.stop() == 0


def test_nothing_is_lost_between_the_commit_and_the_queue(
    database: dict[str, str], tmp_path: Path
) -> None:
    with Server(ALONE, env=database) as server:
        office = Office(server)
        work, path = office.work(tmp_path.name), tmp_path / "m"
        begun = office.begin(MARCH, work, marks=str(path), steps=2)
        server.kill()
        (server.directory / "modelyard.toml").write_text("")
        server.start()
        check_once(office, work, office.ended(begun), 2, path)


def test_a_job_that_kills_its_process_goes_on_at_its_step(office: Office, tmp_path: Path) -> None:
    work, path = office.work(tmp_path.name), tmp_path / "m"
    ask = {"marks": str(path), "steps": 4, "die_at": 3, "dying": 2}
    done = office.ended(office.begin(MARCH, work, **ask))
    check_once(office, work, done, 4, path)
    assert done["metadata"]["attempts"] == 3
    assert done["response"]["attempt"] == 3


def test_one_that_always_kills_its_process_is_set_aside(office: Office, tmp_path: Path) -> None:
    work, path = office.work(tmp_path.name), tmp_path / "m"
    ask = {"marks": str(path), "steps": 4, "die_at": 2, "dying": 99}
    done = office.ended(office.begin(MARCH, work, **ask))
    assert done["metadata"]["state"] == "failed"
    assert done["error"]["code"] == "INTERNAL"
    assert done["error"]["details"]["set_aside"] is True
    assert marks(path) == [1]  # the recorded step was not done again
    assert office.client.get(f"/v1/works/{work}").json["count"] == 0
    after = office.ended(office.begin(MARCH, office.work(), marks=str(tmp_path / "n")))
    assert after["metadata"]["attempts"] == 1


@on_machines
def test_a_worker_on_another_machine_takes_over(lonely: Office, tmp_path: Path) -> None:
    """Workers that cannot see each other's processes: only the rows tell that one is dead."""
    work, path = lonely.work(tmp_path.name), tmp_path / "m"
    first, second = Hand(lonely.server, *UNSHARE), None
    try:
        begun = lonely.begin(MARCH, work, marks=str(path), steps=3, hold_at=2)
        marks(path, 2)
        second = Hand(lonely.server, *UNSHARE)
        first.kill()
        go_on(path)
        began = time.monotonic()
        taken = len(marks(path))
        marks(path, taken + 1, within=LATE)
        assert time.monotonic() - began < LATE
        check_once(lonely, work, lonely.ended(begun), 3, path)
    finally:
        first.process.kill()
        if second is not None:
            second.process.kill()
            second.process.wait(LONG)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True, scope="module")
def test_what_the_engine_takes_for_ended_is_begun_anew(lonely: Office, tmp_path: Path) -> None:
    """As after a backup of the store was restored beside a newer database of the engine."""
    work, path = lonely.work(tmp_path.name), tmp_path / "m"
    first = Hand(lonely.server)
    begun = lonely.begin(MARCH, work, marks=str(path), steps=4, hold_at=3)
    marks(path, 3)
    assert first.stop() == 0
    go_on(path)
    with closing(sqlite3.connect(lonely.server.home / "jobs.db")) as connection:
        connection.execute("UPDATE workflow_status SET status = 'SUCCESS'")
        connection.commit()
    second = Hand(lonely.server)
    try:
        done = lonely.ended(begun)
    finally:
        assert second.stop() == 0
    assert done["response"]["total"] == 4
    assert lonely.client.get(f"/v1/works/{work}").json["count"] == 4


@on_machines
def test_a_worker_that_was_only_taken_for_dead_changes_nothing(
    lonely: Office, tmp_path: Path
) -> None:
    """It is stopped until another has done its work, then goes on as if nothing had been."""
    work, path = lonely.work(tmp_path.name), tmp_path / "m"
    first, second = Hand(lonely.server, *UNSHARE), None
    url = lonely.server.environment().get("MODELYARD_DATABASE_URL", "")
    try:
        begun = lonely.begin(MARCH, work, marks=str(path), steps=3, hold_at=2)
        marks(path, 2)
        paused = worker_pids(first.process.pid)
        until(lambda: stopped(paused, lonely.server.home, url))
        go_on(path)
        second = Hand(lonely.server, *UNSHARE)
        done = lonely.ended(begun)
        for pid in paused:
            os.kill(pid, signal.SIGCONT)
        after = lonely.ended(lonely.begin(MARCH, lonely.work("b"), marks=str(tmp_path / "n")))
        assert after["error"] is None
        time.sleep(3.0)  # what the first one had begun would have ended by now
        assert lonely.read(begun) == done
        assert done["metadata"]["attempts"] == 2
        assert lonely.client.get(f"/v1/works/{work}").json["count"] == 3
    finally:
        for hand in (first, second):
            if hand is not None:
                hand.process.kill()
                hand.process.wait(LONG)


def test_after_kill_9_of_the_process_whose_children_the_workers_are(
    database: dict[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with Server(workers=2, env=another(database, request)) as server:
        office = Office(server)
        work, path = office.work(tmp_path.name), tmp_path / "m"
        begun = office.begin(MARCH, work, marks=str(path), steps=4, hold_at=3)
        marks(path, 3)
        assert server.process is not None
        parent = next(pid for pid in children_of(server.process.pid) if children_of(pid))
        os.kill(parent, signal.SIGKILL)
        go_on(path)
        check_once(office, work, office.ended(begun), 4, path)
