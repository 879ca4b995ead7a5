"""A client that leaves: the upstream call ends at once, unless somebody else waits for it.

The promise is 100 ms; the assertions allow 500, once in a few tries, for a busy machine.
"""

import itertools
import threading
import time
from functools import partial
from typing import Any

import pytest

from e2e.client import Client, Stream, chat_body, hang_up
from patience import quick, until
from upstream.plan import Plan
from upstream.server import Received, Upstream

BOUND = 0.5
CHAT = "/v1/chat/completions"
NATIVE = "/v1/ai-inference/inference"


def closed_within(
    upstream: Upstream, model: str, left: float, call: Received | None = None
) -> float:
    """Seconds from ``left`` until the provider saw its connection closed."""
    call = call or upstream.calls(model)[-1]
    upstream.wait_for(lambda: call.closed_at is not None)
    assert call.finished_at is None
    assert call.closed_at is not None
    return call.closed_at - left


def leave(connection: Any) -> float:
    left = time.monotonic()
    hang_up(connection)
    return left


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, NATIVE])
def test_before_the_provider_answers(
    api: Client, upstream: Upstream, model: str, path: str, stream: bool
) -> None:
    upstream.on(model, Plan(silent=True))
    numbers = itertools.count(1)

    def seconds() -> float:
        number = next(numbers)
        body: dict[str, Any] = chat_body(model, str(number), temperature=1)
        if path == NATIVE:
            body = {"model_name": model, "prompt": str(number)}
        connection = api.open("POST", path, body | {"stream": stream})
        upstream.wait_calls(number, model)
        return closed_within(upstream, model, leave(connection))

    quick(BOUND, seconds)


@pytest.mark.parametrize("temperature", [0, 1])
def test_in_mid_stream(api: Client, upstream: Upstream, model: str, temperature: int) -> None:
    upstream.on(model, Plan(tokens=10_000, between=0.01))
    numbers = itertools.count()

    def seconds() -> float:
        stream = api.chat_stream(model, str(next(numbers)), temperature=temperature)
        return left_after_three(upstream, model, stream)

    quick(BOUND, seconds)


def left_after_three(upstream: Upstream, model: str, stream: Stream) -> float:
    """Read three events of a stream and leave; the seconds until the provider saw it."""
    events = stream.events()
    for _ in range(3):
        next(events)
    left = time.monotonic()
    stream.close()
    return closed_within(upstream, model, left)


def test_in_a_stream_that_is_silent(api: Client, upstream: Upstream, model: str) -> None:
    """Nothing is being written when the client leaves, so no write can fail."""
    upstream.on(model, Plan(tokens=100, stall_after=3))
    quick(BOUND, lambda: left_after_three(upstream, model, api.chat_stream(model)))


def test_between_two_attempts(api: Client, upstream: Upstream, spare: Upstream, chain: str) -> None:
    """A caller who left is not called for a second time."""
    gate = threading.Event()
    upstream.on(chain, Plan(status=503, gate=gate))
    spare.on(chain, Plan(silent=True))
    connection = api.open("POST", CHAT, chat_body(chain, temperature=1))
    upstream.wait_calls(1, chain)
    leave(connection)
    upstream.wait_for(lambda: upstream.calls(chain)[0].closed_at is not None)
    gate.set()
    time.sleep(0.7)
    assert len(upstream.calls(chain)) == 1
    assert spare.calls(chain) == []


@pytest.mark.parametrize("stream", [False, True])
def test_shared_by_another_it_goes_on(
    api: Client, upstream: Upstream, model: str, stream: bool
) -> None:
    upstream.on(model, Plan(silent=True))
    numbers = itertools.count(1)

    def seconds() -> float:
        number = next(numbers)
        body = chat_body(model, str(number), stream=stream)
        first, second = (api.open("POST", CHAT, body) for _ in range(2))
        api.wait_running(2)
        upstream.wait_calls(number, model)
        leave(first)
        time.sleep(0.5)
        assert upstream.calls(model)[-1].closed_at is None, "somebody still waits"
        took = closed_within(upstream, model, leave(second))  # now nobody does
        assert len(upstream.calls(model)) == number
        api.wait_running(0)
        return took

    quick(BOUND, seconds)


def test_a_client_that_does_not_read_slows_its_provider_down(
    api: Client, upstream: Upstream, model: str
) -> None:
    """Not the server's memory, but the provider's socket holds what nobody takes."""
    upstream.on(model, Plan(tokens=200_000))

    def seconds() -> float:
        stream = api.chat_stream(model, temperature=1)
        call = upstream.calls(model)[-1]
        before = -1
        while call.sent != before:  # until it stands still
            before = call.sent
            time.sleep(0.3)
        assert call.finished_at is None
        assert call.sent < 25_000_000, "of about 40 MB"
        assert api.chat(model, "others", max_tokens=3).status == 200
        left = time.monotonic()
        stream.close()
        took = closed_within(upstream, model, left, call)
        return took if call.sent - before < 1_000_000 else BOUND  # what is on its way stays there

    quick(BOUND, seconds)


def test_what_was_left_is_on_record(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=1000, stall_after=20))
    stream = api.chat_stream(model, headers={"X-Request-ID": f"gone-{model}"})
    events = stream.events()
    for _ in range(10):
        next(events)
    stream.close()
    record = api.trace(f"gone-{model}")
    assert record["status"] == 499
    assert 5 <= record["output_tokens"] <= 50
    assert record["usage_estimated"] is True and record["actual_cost"] > 0


def test_reservations_and_slots_are_released(api: Client, upstream: Upstream, model: str) -> None:
    """A key with two slots, left ten times, still has two slots."""
    upstream.on(model, Plan(tokens=1000, between=0.05))
    key = api.new_key(limits={"concurrent_requests": 2})

    def begun(text: str) -> Stream | None:
        stream = key.chat_stream(model, text, temperature=1)
        if stream.status == 200:
            return stream
        assert stream.status == 429, "until it was noticed that somebody left"
        stream.close()
        return None

    for number in range(5):
        streams = [until(partial(begun, f"{number} {n}")) for n in range(2)]
        for stream in streams:
            stream.close()
        upstream.wait_for(lambda: all(call.closed_at for call in upstream.calls(model)))
