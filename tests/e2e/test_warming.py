"""Cache warming: what returns is fetched beforehand, within a budget; where it is off, nothing."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from e2e.client import Client
from e2e.conftest import models, providers
from patience import until
from serving import Server
from upstream.plan import Plan
from upstream.server import Upstream

TTL = 2.0
COST = 50_000  # nano-dollars of an answer: 10 tokens at 2, 3 at 10 USD a million
# Whatever might return is worth it: these tests have no days to learn in.
EAGER = f"""
[cache]
l1_ttl = {TTL}
[cache.warming]
enabled = true
waiting_value = 1_000_000
least_chance = 0
interval = 0.1
refresh_ahead = 0.5
"""

Serve = Callable[..., Server]


@pytest.fixture
def eager(serve: Serve, upstream: Upstream, spare: Upstream) -> Callable[..., Server]:
    """A server that warms what was asked twice; ``eager(more_settings)``."""

    def start(more: str = "", **options: Any) -> Server:
        return serve(EAGER + more + providers(upstream, spare) + models(), **options)

    return start


def warming(api: Client) -> Any:
    """What the status says of it."""
    return api.get("/v1/ai-inference/status").json["cache_stats"]["warming"]


def ask_twice(api: Client, model: str, **fields: Any) -> int:
    """So that it is known to return: within the time that an answer is kept.

    How often the provider was asked for it.
    """
    found: list[str] = []
    for _ in range(10):
        for _ in range(2):
            reply = api.chat(model, **fields)
            assert reply.status == 200
            found.append(reply.headers["x-modelyard-cache"])
        if found[-1] == "l1":
            return found.count("miss")
    raise AssertionError("never kept, or no longer than a moment")


def well_within(seconds: int) -> None:
    """Wait until the hour or the day, for which money is counted, is not about to end."""
    until(lambda: time.time() % seconds < seconds - 50)


@pytest.mark.parametrize("fields", [{}, {"stream": True}], ids=["whole", "stream"])
def test_an_answer_outlives_its_end(
    eager: Serve, upstream: Upstream, model: str, fields: dict[str, Any]
) -> None:
    api = Client((server := eager()).url, server.key)
    ask_twice(api, model, **fields)
    asked = len(upstream.calls(model))
    until(lambda: len(upstream.calls(model)) > asked)  # nobody asked: it was fetched anew

    def outlived() -> bool:
        time.sleep(TTL + 0.5)
        return api.chat(model, **fields).headers["x-modelyard-cache"] == "l1"

    until(outlived)  # a machine that stands still for a second fetches it too late, once
    shown = until(lambda: warming(api) if warming(api)["used"] else None)
    assert shown["cost_saved"] == pytest.approx(COST / 1e9)
    assert shown["cost_spent"] == pytest.approx(shown["warmed"] * COST / 1e9)
    bodies = [call.json for call in upstream.calls(model)]
    assert bodies[1]["messages"] == bodies[0]["messages"]


def test_what_it_costs_is_on_the_books(eager: Serve, upstream: Upstream, model: str) -> None:
    api = Client((server := eager()).url, server.key)
    ask_twice(api, model)
    until(lambda: warming(api)["warmed"])
    records = api.get("/v1/ai-inference/requests").json["requests"]
    ours = [one for one in records if one["surface"] == "cache_warming"]
    assert ours and all(one["actual_cost"] == pytest.approx(COST / 1e9) for one in ours)
    metrics = api.get("/metrics").body.decode()
    assert "modelyard_warming_answers" in metrics
    assert 'surface="cache_warming"' in metrics


@pytest.mark.slow
def test_the_budget_is_never_passed(eager: Serve, upstream: Upstream, model: str) -> None:
    """Each call may cost twice what its like did: four fit into the budget of five."""
    api = Client((server := eager(f"hourly_budget = {5 * COST / 1e9:.8f}\n")).url, server.key)
    well_within(3600)
    misses = ask_twice(api, model)
    until(lambda: "modelyard_warming_unaffordable 0" not in api.get("/metrics").body.decode())
    assert len(upstream.calls(model)) == misses + 4
    assert warming(api)["cost_spent"] == pytest.approx(4 * COST / 1e9)


def test_a_longer_answer_is_cut_off_before_it_passes_the_budget(
    eager: Serve, upstream: Upstream, model: str
) -> None:
    upstream.on(model, Plan(), Plan(tokens=500))
    api = Client((server := eager()).url, server.key)
    ask_twice(api, model)
    shown = until(lambda: warming(api) if warming(api)["failed"] else None)
    assert upstream.calls(model)[1].json["max_tokens"] == 8
    assert shown["warmed"] == 0  # what was cut is not kept
    assert shown["cost_spent"] <= shown["failed"] * 2 * COST / 1e9


@pytest.mark.slow
def test_what_was_cleared_stays_so(eager: Serve, upstream: Upstream, model: str) -> None:
    api = Client((server := eager()).url, server.key)
    ask_twice(api, model)
    until(lambda: warming(api)["warmed"])
    assert api.post("/v1/ai-inference/clear-cache", {}).status == 200

    def none_since() -> bool:
        calls = len(upstream.calls(model))
        time.sleep(TTL + 1.0)  # without the clearing it would have been fetched again
        return len(upstream.calls(model)) == calls

    assert none_since() or none_since(), "within a second every process has obeyed"


def test_samples_are_not_warmed(eager: Serve, upstream: Upstream, model: str, chain: str) -> None:
    api = Client((server := eager()).url, server.key)
    for _ in range(3):
        api.chat(model, temperature=1)
    ask_twice(api, chain)
    until(lambda: len(upstream.calls(chain)) >= 2)
    assert len(upstream.calls(model)) == 3


@pytest.mark.slow
def test_it_is_kept_encrypted_and_goes_on_after_a_kill(
    eager: Serve, upstream: Upstream, model: str
) -> None:
    well_within(86_400)
    server = eager()
    api = Client(server.url, server.key)
    words = [{"role": "user", "content": "a-secret-question"}]
    ask_twice(api, model, messages=words)
    before = until(lambda: warming(api) if warming(api)["warmed"] else None)
    server.kill()
    for path in (server.home / "warming").iterdir():
        assert b"a-secret-question" not in path.read_bytes()
    server.start()
    after = until(lambda: shown if (shown := warming(api))["warmed"] > before["warmed"] else None)
    assert after["known_prompts"] == before["known_prompts"] == 1
    # A call that the kill ended counts as all that was held for it: twice what its like did.
    ended = round((after["cost_spent_today"] * 1e9 - after["warmed"] * COST) / COST, 3)
    assert ended in (0, 2)


@pytest.mark.slow
def test_one_of_several_workers_warms(eager: Serve, upstream: Upstream, model: str) -> None:
    server = eager(
        workers=2, env={"MODELYARD_CACHE_L3": "true", "MODELYARD_CACHE_L3_TTL": str(TTL)}
    )
    api = Client(server.url, server.key)
    for _ in range(8):
        api.chat(model)
    asked = len(upstream.calls(model))
    until(lambda: warming(api)["warmed"] >= 2)
    # Each life of the answer is one call, whichever process made it; one may be under way.
    calls = len(upstream.calls(model))
    assert warming(api)["warmed"] + asked + 1 >= calls


def test_a_stopping_server_waits_for_no_warming(
    eager: Serve, upstream: Upstream, model: str
) -> None:
    upstream.on(model, Plan(), Plan(silent=True))
    server = eager()
    ask_twice(Client(server.url, server.key), model)
    until(lambda: len(upstream.calls(model)) >= 2)
    assert server.stop(within=25.0) == 0, "sooner than a call ends"
    assert len(upstream.calls(model)) == 2


def test_a_busy_target_is_left_alone(eager: Serve, upstream: Upstream, model: str) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(gate=gate), Plan())
    api = Client((server := eager("busy = 1\nconcurrency = 5\n")).url, server.key)
    with ThreadPoolExecutor(1) as others:
        slow = others.submit(api.chat, model, temperature=1)  # a client's own call
        until(lambda: len(upstream.calls(model)) == 1)
        ask_twice(api, model)
        calls = len(upstream.calls(model))
        metric = "modelyard_warming_crowded 0"
        until(lambda: metric not in api.get("/metrics").body.decode())
        assert len(upstream.calls(model)) == calls
        gate.set()
        assert slow.result().status == 200
    until(lambda: len(upstream.calls(model)) > calls)


def test_off_nothing_is_done_nor_kept(
    serve: Serve, upstream: Upstream, spare: Upstream, model: str
) -> None:
    server = serve("[cache]\nl1_ttl = 1.0\n" + providers(upstream, spare) + models())
    api = Client(server.url, server.key)
    ask_twice(api, model)
    calls = len(upstream.calls(model))
    time.sleep(2.0)
    assert len(upstream.calls(model)) == calls
    assert warming(api) is None
    assert not Path(server.home / "warming").exists()
    assert "warming" not in api.get("/metrics").body.decode()
