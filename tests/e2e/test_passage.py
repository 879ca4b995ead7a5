"""Chunks that go on as they came: the client gets the same as by the long way.

To a client of HTTP/1.0, which knows no chunks, each part is written anew.
"""

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from e2e.client import Client, chat_body
from e2e.conftest import models, providers
from e2e.outcome import chat
from relaying import environment
from serving import Server
from upstream.plan import Plan
from upstream.server import Upstream

LONG = 'A "quoted" line,\nß and 字, a \\ and plain words that go on and on, one after another. ' * 3


@pytest.fixture(scope="module", params=["python", "relay"])
def api(
    request: pytest.FixtureRequest,
    upstream: Upstream,
    spare: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Client]:
    """Little is kept of a stream, so that some are trimmed on their way."""
    env = None
    if request.param == "relay" and not (env := environment(tmp_path_factory.mktemp("relay"))):
        pytest.skip("no C compiler, or no headers of Python")
    config = "[gateway]\nstream_buffer_bytes = 4000\ncircuit_failures = 10000\n"
    with Server(config + providers(upstream, spare) + models(2), env=env) as server:
        yield Client(server.url, server.key)


class Old(http.client.HTTPConnection):
    """A client of HTTP/1.0."""

    _http_vsn = 10
    _http_vsn_str = "HTTP/1.0"


def body_of(api: Client, model: str, kind: type[http.client.HTTPConnection], **more: Any) -> bytes:
    """The body of a streamed chat as it came, or what came of it."""
    connection = kind("127.0.0.1", int(api.url.rsplit(":", 1)[1]), timeout=60)
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
    body = chat_body(model, "hello", temperature=1, stream=True, **more)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    try:
        return response.read()
    finally:
        connection.close()


def steady(body: bytes) -> list[Any]:
    """The events, without what differs from one request to the next."""
    told = []
    for event in body.decode().split("\n\n"):
        data = event.removeprefix("data: ")
        value = json.loads(data) if data.startswith("{") else data
        if isinstance(value, dict) and "error" in value:
            value = {key: value["error"][key] for key in ("message", "code", "details")}
        told.append(value)
    return told


plans = st.builds(
    lambda how, fault: Plan(id="chatcmpl-1", between=0.001, **(how | fault)),
    st.fixed_dictionaries(
        {
            "text": st.sampled_from([None, LONG]),
            "tokens": st.sampled_from([12, 25]),
            "split": st.sampled_from([None, None, None, 100]),
            "newline": st.sampled_from([b"\n", b"\n", b"\r\n"]),
            "dress": st.sampled_from([b"", b"", b": comment\n"]),
            "usage": st.sampled_from([None, {}]),
            "gzip": st.sampled_from([False, False, True]),
        }
    ),
    st.sampled_from([{}, {}, {"cut_after": 9}, {"error_at": 9}, {"malformed_at": 9}]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(plans, st.booleans())
def test_the_short_way_and_the_long_one_say_the_same(
    api: Client, upstream: Upstream, plan: Plan, usage: bool
) -> None:
    upstream.on("p0", replace(plan, fields={"created": 1, "system_fingerprint": "f"}))
    more = {"stream_options": {"include_usage": True}} if usage else {}
    short, long = (body_of(api, "p0", kind, **more) for kind in (http.client.HTTPConnection, Old))
    assert steady(short) == steady(long)
    complete = plan.cut_after is None and plan.error_at is None and plan.malformed_at is None
    assert short.endswith(b"data: [DONE]\n\n") == complete


def test_a_follower_that_comes_in_mid_stream_gets_all(api: Client, upstream: Upstream) -> None:
    gate, before = threading.Event(), len(upstream.calls("p1"))
    upstream.on("p1", Plan(tokens=12, between=0.002, gate=gate, gate_after=8))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(chat, api, "p1")
        api.wait_running(1)
        upstream.wait_calls(before + 1, "p1")
        second = pool.submit(chat, api, "p1")
        api.wait_running(2)
        gate.set()
        outcomes = [first.result(60), second.result(60)]
    assert all(outcome.whole(12) for outcome in outcomes)
    assert len(upstream.calls("p1")) == before + 1
