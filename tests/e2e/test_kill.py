"""What was answered is on record, exactly once: after kill -9, after SIGTERM, with two workers."""

import contextlib
import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.client import Client, Reply, chat_body
from e2e.conftest import models, providers
from patience import LONG, until
from serving import Server
from upstream.plan import Plan
from upstream.server import Upstream

GONE = (OSError, http.client.HTTPException)


class Load:
    """Eight clients that ask without a pause; it knows which requests were fully answered."""

    def __init__(self, api: Client, name: str) -> None:
        self.answered: list[str] = []
        self.refused: list[Reply] = []
        self.broken = 0
        self._api = api
        self._name = name
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(8)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(LONG)

    def _run(self, thread: int) -> None:
        while not self._stop.is_set():
            request_id = f"{self._name}-{next(self._numbers)}"
            try:
                reply = self._ask(request_id, stream=thread % 2 == 0)
            except GONE:
                self.broken += 1
                time.sleep(0.01)
                continue
            if reply.status != 200:
                self.refused.append(reply)
            elif reply.events[-1:] == ["[DONE]"] or reply.body.startswith(b"{"):
                self.answered.append(request_id)
            else:
                self.broken += 1

    def _ask(self, request_id: str, *, stream: bool) -> Reply:
        headers = {"X-Request-ID": request_id}
        if stream:
            return self._api.chat_stream("p0", request_id, headers).read()
        return self._api.chat("p0", request_id, headers)

    def wait(self, count: int) -> None:
        """Until so many were answered."""
        until(lambda: len(self.answered) >= count, told=lambda: f"{len(self.answered)} answered")


def recorded(api: Client) -> Counter[str]:
    """How often each request id is in the log with status 200."""
    return Counter(entry["request_id"] for entry in api.log() if entry["status"] == 200)


def exactly_once(api: Client, load: Load) -> None:
    found = recorded(api)
    missing = [request_id for request_id in load.answered if request_id not in found]
    assert missing == [], f"{len(missing)} of {len(load.answered)} answered requests are missing"
    twice = [request_id for request_id, times in found.items() if times > 1]
    assert twice == []


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream of the test's own: thousands of requests come in."""
    with Upstream() as own:
        yield own


@pytest.fixture
def start(serve: Any, upstream: Upstream) -> Callable[..., Server]:
    """A server for the load."""
    upstream.on("p0", Plan(tokens=3, between=0.002))
    return lambda workers=1: serve(providers(upstream, upstream) + models(1), workers=workers)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_kill_9_under_load(start: Any, workers: int) -> None:
    server = start(workers)
    api = Client(server.url, server.key)
    with Load(api, "kill") as load:
        for times in (1, 2):
            load.wait(150 * times)
            server.kill()
            server.start()
        load.wait(400)
    until_loaded(api, load)
    exactly_once(api, load)
    assert load.refused == [], load.refused[:1]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load(start: Any, workers: int) -> None:
    """What runs is finished, what is not accepted is refused, and no record is lost."""
    server = start(workers)
    api = Client(server.url, server.key)
    with Load(api, "term") as load:
        load.wait(150)
        assert server.stop() == 0
    server.start()
    exactly_once(api, load)
    assert all(reply.status == 503 for reply in load.refused), load.refused[:1]


def test_sigterm_finishes_what_is_running(start: Any, upstream: Upstream) -> None:
    server = start()
    api = Client(server.url, server.key)
    gate = threading.Event()
    upstream.on("p0", Plan(tokens=20, gate=gate, gate_after=5))
    stream = api.chat_stream("p0", headers={"X-Request-ID": "running"})
    events = stream.events()
    next(events)
    server.terminate()
    until(lambda: not server.ready())
    assert server.process is not None and server.process.poll() is None, "it waits"
    with pytest.raises(GONE):
        refused = api.chat("p0", "new")
        assert refused.status == 503
        raise ConnectionRefusedError
    gate.set()
    told = [event.data for event in events]
    assert told[-1] == "[DONE]"
    assert server.process.wait(LONG) == 0
    upstream.on("p0", Plan())
    server.start()
    assert recorded(api)["running"] == 1


def test_sigterm_ends_in_time_though_a_call_hangs(serve: Any, upstream: Upstream) -> None:
    config = "shutdown_seconds = 1.0\n" + providers(upstream, upstream) + models(1)
    server = serve(config)
    upstream.on("p0", Plan(silent=True))
    api = Client(server.url, server.key)
    connection = api.open("POST", "/v1/chat/completions", chat_body("p0"))
    upstream.wait_calls(1)
    started = time.monotonic()
    server.stop(within=LONG)
    assert time.monotonic() - started < 25, "less than it would wait otherwise"
    upstream.wait_for(lambda: upstream.calls()[0].closed_at is not None)
    with contextlib.suppress(*GONE):
        assert connection.getresponse().status >= 500


@pytest.mark.slow
def test_two_workers_answer_like_one(start: Any) -> None:
    server = start(2)
    api = Client(server.url, server.key)
    with Load(api, "two") as load:
        load.wait(300)
    until_loaded(api, load)
    exactly_once(api, load)
    assert load.broken == 0 and load.refused == []


def until_loaded(api: Client, load: Load) -> None:
    """Records are loaded in the background: wait for the last one."""
    api.trace(load.answered[-1])
    until(lambda: set(load.answered) <= set(recorded(api)))
