"""What a request may say of kept answers, in headers and in the native surface's body."""

import time
from typing import Any

import pytest

from e2e.client import Client
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


def test_the_gateway_s_own_surface_says_the_same_in_its_body(api: Client, model: str) -> None:
    options: dict[str, Any] = {"model": model, "cache_namespace": "a", "cache_ttl_seconds": 1.5}
    first, second = (api.infer("hello", **options).json for _ in range(2))
    assert (first["cache_hit"], first["metadata"]["cache_age"]) == (False, None)
    assert second["cache_hit"] and 0 <= second["metadata"]["cache_age"] < 1.5
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
