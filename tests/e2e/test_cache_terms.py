"""What a request may say of kept answers, in headers and in the native surface's body."""

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from e2e.client import Client, chat_body
from patience import until
from upstream.server import Upstream


@pytest.mark.parametrize(
    ("control", "states", "calls"),
    [
        ("no-store", ["off", "off", "l1"], 3),
        ("no-cache", ["miss", "miss", "l1"], 3),
        ("max-age=0", ["miss", "miss", "l1"], 3),
        ("max-age=1000", ["l1", "l1", "l1"], 1),
        ("max-age=soon", ["miss", "miss", "l1"], 3),
        ("private, max-stale=5", ["l1", "l1", "l1"], 1),
    ],
)
def test_cache_control(
    api: Client, upstream: Upstream, model: str, control: str, states: list[str], calls: int
) -> None:
    assert api.chat(model).headers["x-modelyard-cache"] == "miss"
    said = {"Cache-Control": control}
    replies = [api.chat(model, headers=said), api.chat(model, headers=said), api.chat(model)]
    assert [reply.headers["x-modelyard-cache"] for reply in replies] == states
    assert len(upstream.calls(model)) == calls


def test_a_field_of_two_lines_is_one_list(api: Client, upstream: Upstream, model: str) -> None:
    """A proxy may add a line of its own: it takes nothing back."""
    body = json.dumps(chat_body(model, "hello")).encode()
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=30)
    connection.putrequest("POST", "/v1/chat/completions")
    for name, value in (
        ("Authorization", f"Bearer {api.key}"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Cache-Control", "max-age=60"),
    ):
        connection.putheader(name, value)
    connection.endheaders(body)
    assert connection.getresponse().headers["X-Modelyard-Cache"] == "off"
    connection.close()
    assert api.chat(model).headers["x-modelyard-cache"] == "miss"
    assert len(upstream.calls(model)) == 2


def test_the_gateway_s_own_surface_says_the_same_in_its_body(api: Client, model: str) -> None:
    options: dict[str, Any] = {"model": model, "cache_namespace": "a", "cache_ttl_seconds": 1.5}
    first = api.infer("hello", **options).json
    assert (first["cache_hit"], first["metadata"]["cache_age"]) == (False, None)
    second = until(lambda: one if (one := api.infer("hello", **options).json)["cache_hit"] else {})
    assert 0 <= second["metadata"]["cache_age"] < 1.5
    assert not api.infer("hello", model=model).json["cache_hit"]
    time.sleep(1.6)
    assert not api.infer("hello", **options).json["cache_hit"]


@pytest.mark.parametrize(
    "fields",
    [
        {"X-Modelyard-Cache-TTL": "0"},
        {"X-Modelyard-Cache-TTL": "long"},
        {"X-Modelyard-Cache-TTL": "nan"},
        {"X-Modelyard-Cache-TTL": "31536001"},
        {"X-Modelyard-Cache-Namespace": "a b"},
        {"X-Modelyard-Cache-Namespace": "x" * 129},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(api: Client, model: str, fields: dict[str, str]) -> None:
    reply = api.chat(model, headers=fields)
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
    assert reply.json["error"]["param"] == next(iter(fields))
