"""Operations on a real Ray cluster of this machine."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client as Connect
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from jobs.office import MARCH, MISBEHAVE, Office, environment
from modelyard.jobs.on_ray import Door
from patience import until
from serving import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WITHIN = 600.0  # seconds: whichever test is the first waits for the cluster, too


@pytest.fixture(scope="module")
def cluster() -> Iterator[Office]:
    env = environment(
        MODELYARD_JOBS_RAY_ADDRESS="local",
        RAY_memory_monitor_refresh_ms="0",  # else tasks end where others use the machine's memory
    )
    with Server(env=env) as server:
        yield Office(server)


def test_strangers_at_the_door_keep_nobody_out() -> None:
    with contextlib.closing(Door("127.0.0.1")) as door, contextlib.ExitStack() as open_:
        silent = open_.enter_context(socket.create_connection(door.address))
        gone = socket.create_connection(door.address)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST
        gone.close()

        def wrong() -> None:
            with contextlib.suppress(AuthenticationError, OSError, EOFError):
                Connect(door.address, authkey=b"a guess")

        def right() -> None:
            Connect(door.address, authkey=door.secret).send("here")

        callers = [threading.Thread(target=one) for one in (wrong, right)]
        for one in callers:
            one.start()
        found: list[Connection] = []

        def answered() -> bool:
            found.extend(line for line in [door.caller()] if line is not None)
            return bool(found) and not any(one.is_alive() for one in callers)

        until(answered)
        assert [one.recv() for one in found] == ["here"]
        assert silent.recv(4)  # it was asked, and is waited for


def test_steps_and_changes_are_kept(cluster: Office, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    work = cluster.work("on ray")
    ended = cluster.ended(cluster.begin(MARCH, work, marks=str(marks), steps=3), WITHIN)
    assert ended["response"] == {"total": 3, "attempt": 1}, ended
    assert marks.read_text().split() == ["1", "2", "3"]
    assert cluster.client.get(f"/v1/works/{work}").json["count"] == 3


def test_an_attempt_that_dies_is_made_again_from_its_last_step(
    cluster: Office, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    asked = {"marks": str(marks), "steps": 3, "die_at": 2, "dying": 1}
    ended = cluster.ended(cluster.begin(MARCH, **asked), WITHIN)
    assert ended["response"] == {"total": 3, "attempt": 2}, ended
    assert marks.read_text().split() == ["1", "2", "3"]


def test_cancelled_it_ends(cluster: Office) -> None:
    running = cluster.begin(MISBEHAVE, how="sleep", seconds=600)
    cluster.until(running, "running", WITHIN)
    assert cluster.client.post(f"/v1/{running['name']}:cancel", {}).status == 200
    assert cluster.ended(running, WITHIN)["metadata"]["state"] == "cancelled"


def test_what_the_cluster_has_not_is_refused(cluster: Office) -> None:
    asked = {"how": "sleep", "compute": {"gpu": 8}}
    reply = cluster.client.post(f"/v1/works/{cluster.work()}:{MISBEHAVE}", asked)
    assert reply.code == "GPU_UNAVAILABLE", reply.body


@pytest.mark.parametrize("how", ["eat", "eat in Rust"])
def test_who_needs_more_memory_than_was_given_is_told(cluster: Office, how: str) -> None:
    share = {"cpu": 1, "memory_bytes": 256 << 20}
    done = cluster.ended(cluster.begin(MISBEHAVE, how=how, compute=share), WITHIN)
    assert done["error"]["code"] == "INSUFFICIENT_RESOURCES", done
    given = {"field": "compute.memory_bytes", "given": 256 << 20}
    assert given.items() <= done["error"]["details"].items()
    assert done["metadata"]["attempts"] == 1
