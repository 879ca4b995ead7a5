"""Streams longer than what is kept of them: nobody gets a part that looks like the whole."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from e2e.client import Client
from e2e.conftest import models, providers
from e2e.outcome import chat
from serving import Server
from upstream.plan import Plan
from upstream.server import Upstream

EVENTS = 200


@pytest.fixture(scope="module")
def api(upstream: Upstream, spare: Upstream) -> Iterator[Client]:
    config = "[gateway]\nstream_buffer_bytes = 1024\n" + providers(upstream, spare) + models()
    with Server(config) as server:
        yield Client(server.url, server.key)


def at_once(done: bool) -> bytes:
    """A whole stream, written at once."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    choices: list[dict[str, Any]] = [
        {"index": 0, "delta": {"content": f"w{n} "}} for n in range(EVENTS)
    ]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [json.dumps({"model": "m", "choices": [choice]}).encode() for choice in choices]
    if done:
        events.append(b"[DONE]")
    return head + b"".join(b"data: %b\n\n" % event for event in events)


@pytest.mark.parametrize("done", [True, False])
def test_followers_get_all_of_a_stream_that_came_at_once(
    api: Client, upstream: Upstream, model: str, done: bool
) -> None:
    """It outgrew its bound before any of them began to read."""
    gate = threading.Event()
    upstream.on(model, Plan(gate=gate, raw=at_once(done)))
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(chat, api, model) for _ in range(3)]
        api.wait_running(3)
        gate.set()
        outcomes = [one.result(60) for one in asked]
    assert all(outcome.whole(EVENTS) for outcome in outcomes)
    states = sorted(outcome.headers["x-modelyard-cache"] for outcome in outcomes)
    assert states == ["miss", "shared", "shared"]
    assert len(upstream.calls(model)) == 1


def test_the_end_of_a_long_native_stream_repeats_nothing(
    api: Client, upstream: Upstream, model: str
) -> None:
    upstream.on(model, Plan(tokens=EVENTS))
    body = {"prompt": "hi", "model_name": model, "stream": True}
    events = list(api.stream("/v1/ai-inference/inference", body).events())
    assert events[-1].data == "[DONE]"
    told = [json.loads(event.data) for event in events[:-1]]
    text = "".join(message["data"] for message in told if message["type"] == "data")
    assert text == "".join(f"w{n} " for n in range(EVENTS))
    end = told[-1]["data"]
    assert told[-1]["type"] == "end" and end["response"] is None
    assert end["output_tokens"] == EVENTS
    assert any("too long to be repeated" in one for one in end["metadata"]["warnings"])
