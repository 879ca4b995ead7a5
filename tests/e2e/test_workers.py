"""Several workers look like one server from outside, though one of them is killed."""

import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

from e2e.client import Client
from patience import LONG, quick, until, waited
from serving import Server, alive, children_of, only

pytestmark = pytest.mark.slow

REQUESTS = "modelyard_requests_total"
ENTRIES = "modelyard_l1_entries"
WORKERS = "modelyard_workers"


class Pair:
    """A server of two workers, either of which can be made the one that answers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.api = Client(server.url, server.key)
        until(lambda: self.sum(WORKERS) == 2)

    def pids(self) -> list[int]:
        assert self.server.process is not None
        return children_of(self.server.process.pid)

    def only(self, pid: int) -> AbstractContextManager[None]:
        """This worker answers: the other one is stopped meanwhile."""
        return only(self.server, pid)

    def sum(self, name: str) -> float:
        """The sum of a metric's values, as whoever answers tells it."""
        lines = self.api.get("/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def replaced(self, pid: int, signum: int) -> None:
        """End a worker, and wait until another one serves in its place."""
        before = self.pids()
        os.kill(pid, signum)
        until(lambda: not alive(pid))
        until(lambda: len(self.pids()) == 2 and self.pids() != before)
        until(lambda: self.sum(WORKERS) == 2)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Server(workers=2) as server:
        yield Pair(server)


def test_either_tells_the_figures_of_both(pair: Pair) -> None:
    for count, pid in enumerate(pair.pids(), start=2):
        with pair.only(pid):
            for number in range(count):
                assert pair.api.chat("sandbox", f"{pid} {number}").status == 200

    def told(pid: int) -> bool:
        time.sleep(0.3)  # the other one has to run, to tell
        with pair.only(pid):
            return (pair.sum(REQUESTS), pair.sum(ENTRIES)) == (5, 5)

    for pid in pair.pids():
        until(partial(told, pid))
        with pair.only(pid):
            status = pair.api.get("/v1/ai-inference/status").json
            assert status["worker_stats"]["total_workers"] == 2
            assert status["worker_stats"]["total_requests_processed"] == 5


def test_sums_never_go_down(pair: Pair) -> None:
    """While workers are killed, whoever answers."""
    ending = threading.Event()
    seen: list[float] = []

    def watch() -> None:
        while not ending.is_set():
            try:
                pair.api.chat("sandbox")
                seen.append(pair.sum(REQUESTS))
            except (OSError, http.client.HTTPException):
                continue  # the worker that had the connection was killed

    watchers = [threading.Thread(target=watch)]
    for watcher in watchers:
        watcher.start()
    try:
        for signum in (signal.SIGKILL, signal.SIGTERM):
            for pid in pair.pids():
                pair.replaced(pid, signum)
        until(lambda: len(seen) > 20)
    finally:
        ending.set()
        for watcher in watchers:
            watcher.join(LONG)
    assert seen == sorted(seen)
    assert "Traceback" not in pair.server.log()


def test_a_clearing_reaches_all_and_its_workspace_alone(pair: Pair) -> None:
    other = pair.api.new_key(workspace="other")
    for pid in pair.pids():
        with pair.only(pid):
            until(lambda: other.chat("sandbox").status == 200)
            assert pair.api.chat("sandbox").status == 200
            for api in (pair.api, other):
                assert api.chat("sandbox").headers["x-modelyard-cache"] == "l1"
    first, second = pair.pids()
    with pair.only(first):
        cleared = pair.api.post("/v1/ai-inference/clear-cache", None)
        assert (cleared.status, cleared.json["cleared_entries"]) == (200, 1)
        assert pair.api.chat("sandbox").headers["x-modelyard-cache"] == "miss"

    def missed() -> bool:
        with pair.only(second):
            return pair.api.chat("sandbox").headers["x-modelyard-cache"] == "miss"

    until(missed)
    with pair.only(second):
        assert other.chat("sandbox").headers["x-modelyard-cache"] == "l1"
    with pair.only(first):  # its own clearing does not come back to it
        assert pair.api.chat("sandbox").headers["x-modelyard-cache"] == "l1"
        assert other.chat("sandbox").headers["x-modelyard-cache"] == "l1"


def test_a_key_is_good_and_then_bad_in_both_within_a_second(pair: Pair) -> None:
    first, second = pair.pids()

    def seconds() -> float:
        with pair.only(first):
            made = pair.api.post("/v1/auth/keys", {"name": "n"}).json
            api = pair.api.with_key(made["key"])
            assert api.chat("sandbox").status == 200
        with pair.only(second):
            good = waited(lambda: api.chat("sandbox").status == 200)
            assert pair.api.request("DELETE", f"/v1/auth/keys/{made['id']}").status == 204
            assert api.chat("sandbox").status == 401
        with pair.only(first):
            return max(good, waited(lambda: api.chat("sandbox").status == 401))

    quick(1.0, seconds)


def test_no_two_workers_make_the_same_record_ids(pair: Pair) -> None:
    for pid in pair.pids():
        with pair.only(pid):
            assert pair.api.chat("sandbox").status == 200
    ids = [entry["id"] for entry in pair.api.log()]
    assert len({id_[12:26] for id_ in ids}) == len(ids) == 2


def test_workers_end_with_the_server(pair: Pair) -> None:
    """Killed -9, it takes them along; told to end, it waits for them."""
    pair.server.kill()  # fails if a worker outlives it
    pair.server.start()
    pids = pair.pids()
    assert len(pids) == 2
    assert pair.server.stop() == 0
    assert not any(alive(pid) for pid in pids)
    assert pair.server.log().count('"stopped"') >= 2


def test_workers_that_cannot_start_end_the_server() -> None:
    server = Server(workers=2)
    (server.home / "ledger").write_text("in the way")
    try:
        with pytest.raises(AssertionError, match="the server ended"):
            server.start()
        assert server.stop() == 1
        told = [line for line in server.log().splitlines() if "cannot start" in line]
        assert 1 <= len(told) <= 2
        assert "Traceback" not in server.log()
    finally:
        server.__exit__(None, None, None)
