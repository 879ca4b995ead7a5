"""POST /v1/ai-inference/inference with ``stream: true``: typed messages, then ``[DONE]``."""

import json
import threading
from typing import Any

from e2e.client import Client, Event, Stream
from e2e.conftest import models, providers
from upstream.plan import CONTENT_FILTERED, Plan
from upstream.server import Upstream

PATH = "/v1/ai-inference/inference"


def ask(api: Client, model: str, **more: Any) -> Stream:
    return api.stream(PATH, {"prompt": "hi", "model_name": model, "stream": True} | more)


def messages(events: list[Event]) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in events if event.data != "[DONE]"]


def test_grammar(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=5))
    stream = ask(api, model)
    assert stream.status == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-cache"
    assert stream.headers["x-accel-buffering"] == "no"
    events = list(stream.events())
    assert events[-1].data == "[DONE]"
    told = messages(events)
    assert [message["sequence"] for message in told] == list(range(1, len(told) + 1))
    assert [event.id for event in events[:-1]] == [str(m["sequence"]) for m in told]
    for message in told:
        assert {"id", "type", "data", "timestamp", "sequence"} <= set(message)
    assert len({message["id"] for message in told}) == len(told)
    text = "".join(message["data"] for message in told if message["type"] == "data")
    assert text == "w0 w1 w2 w3 w4 "
    assert len(upstream.calls(model)) == 1


def test_the_end_carries_the_figures(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=5))
    end = messages(list(ask(api, model).events()))[-1]
    assert end["type"] == "end"
    assert end["data"]["output_tokens"] == 5
    assert end["data"]["actual_cost"] == (10 * 2 + 5 * 10) / 1e6
    assert end["data"]["model_used"] == model
    assert end["data"]["request_id"]


def test_a_token_is_sent_when_it_comes(api: Client, upstream: Upstream, model: str) -> None:
    """The first tokens are read while the provider still waits to say the rest."""
    gate = threading.Event()
    upstream.on(model, Plan(tokens=5, gate=gate, gate_after=3))
    events = ask(api, model).events()
    seen = ""
    while "w1" not in seen:
        message = json.loads(next(events).data)
        seen += message["data"] if message["type"] == "data" else ""
    assert not gate.is_set()
    gate.set()
    assert list(events)[-1].data == "[DONE]"


def test_a_failure_before_the_first_token_is_a_status(
    api: Client, upstream: Upstream, model: str
) -> None:
    upstream.on(model, CONTENT_FILTERED)
    reply = ask(api, model).read()
    assert (reply.status, reply.code) == (400, "CONTENT_FILTERED")


def test_a_cut_stream_says_so(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=60, cut_after=40))
    events = list(ask(api, model).events())
    assert all(event.data != "[DONE]" for event in events)
    error = messages(events)[-1]
    assert error["type"] == "error"
    assert error["code"] == "PROVIDER_UNAVAILABLE"
    assert error["message"]
    assert error["data"]["request_id"]
    assert None not in error["data"].values() and {} not in error["data"].values()


def test_a_second_stream_is_a_hit_in_the_same_grammar(
    api: Client, upstream: Upstream, model: str
) -> None:
    upstream.on(model, Plan(tokens=5))
    first = messages(list(ask(api, model, temperature=0).events()))
    second = messages(list(ask(api, model, temperature=0).events()))
    texts = ["".join(m["data"] for m in told if m["type"] == "data") for told in (first, second)]
    assert texts[0] == texts[1] == "w0 w1 w2 w3 w4 "
    assert second[-1]["data"]["cache_hit"] is True
    assert len(upstream.calls(model)) == 1


def test_a_silent_provider_is_bridged_by_comments(
    serve: Any, upstream: Upstream, model: str
) -> None:
    config = "[gateway]\nkeepalive_interval = 0.2\n" + providers(upstream, upstream) + models()
    server = serve(config)
    upstream.on(model, Plan(tokens=3, first_after=0.1, stall_after=None, between=0.7))
    lines = list(ask(Client(server.url, server.key), model).lines())
    assert any(line.startswith(b":") for line in lines)
    assert b"data: [DONE]\n" in lines
