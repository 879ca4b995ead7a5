"""The request log: every answered request once, with its cost, tokens and attempts."""

import time
from typing import Any

import pytest

from e2e.client import Client
from e2e.conftest import models, providers
from e2e.outcome import chat
from patience import LONG
from upstream.plan import CONTENT_FILTERED, Plan
from upstream.server import Upstream

REQUESTS = "/v1/ai-inference/requests"


def entries(api: Client, model: str, count: int) -> list[dict[str, Any]]:
    """The entries of a model, once there are so many."""
    deadline = time.monotonic() + LONG
    while len(found := api.log(model=model)) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} records"
        time.sleep(0.05)
    return found


def test_one_of_each_kind(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=5))
    api.chat(model, "plain")
    chat(api, model, "stream")
    api.infer("native", model_name=model)
    api.post("/v1/completions", {"model": model, "prompt": "text"})
    api.post("/v1/embeddings", {"model": model, "input": "vector"})
    found = entries(api, model, 5)
    assert sorted(entry["surface"] for entry in found) == [
        "chat", "chat", "completions", "embeddings", "inference",
    ]  # fmt: skip
    assert len({entry["id"] for entry in found}) == 5
    for entry in found:
        told = 0 if entry["surface"] == "embeddings" else 5
        assert (entry["input_tokens"], entry["output_tokens"]) == (10, told)
        assert entry["actual_cost"] == pytest.approx((10 * 2 + told * 10) / 1e6)
        assert entry["status"] == 200 and entry["target"] == f"main/{model}"
        assert entry["provider"] == "main" and entry["processing_time"] > 0
    assert len(upstream.calls(model)) == 5


def test_one_request_s_trace(api: Client, upstream: Upstream, spare: Upstream, chain: str) -> None:
    upstream.on(chain, Plan(status=503))
    reply = api.chat(chain, headers={"X-Request-ID": f"t-{chain}", "X-Correlation-ID": "corr-9"})
    record = api.trace(f"t-{chain}")
    assert record["request_id"] == f"t-{chain}"
    assert record["correlation_id"] == "corr-9"
    assert record["trace_id"] == reply.headers["traceparent"].split("-")[1]
    attempts = record["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["http_503", "http_503", "ok"]
    assert [attempt["status"] for attempt in attempts] == [503, 503, 200]
    assert len({attempt["id"] for attempt in attempts}) == 3
    assert all(attempt["duration_ms"] >= 0 for attempt in attempts)
    started = [attempt["started_ms"] for attempt in attempts]
    assert started == sorted(started)
    sent = [call.headers["x-request-id"] for call in upstream.calls(chain) + spare.calls(chain)]
    assert sent == [attempt["id"] for attempt in attempts]


def test_failures_are_there_and_cost_nothing(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, CONTENT_FILTERED)
    api.chat(model)
    (entry,) = entries(api, model, 1)
    assert entry["status"] == 400 and entry["error"] == "CONTENT_FILTERED"
    assert entry["actual_cost"] == 0


def test_hits_and_followers_cost_nothing(api: Client, upstream: Upstream, model: str) -> None:
    for _ in range(3):
        api.chat(model)
    found = entries(api, model, 3)
    assert sorted(entry["cache"] for entry in found) == ["l1", "l1", "miss"]
    assert sorted(entry["actual_cost"] > 0 for entry in found) == [False, False, True]
    one = (10 * 2 + 3 * 10) / 1e6
    assert sum(entry["saved_cost"] for entry in found) == pytest.approx(2 * one)


def test_cached_and_reasoning_tokens(api: Client, upstream: Upstream, model: str) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 80},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    upstream.on(model, Plan(usage=usage))
    api.chat(model, headers={"X-Request-ID": f"u-{model}"})
    record = api.trace(f"u-{model}")
    assert (record["cached_tokens"], record["reasoning_tokens"]) == (80, 40)


def test_an_unknown_price_is_null(api: Client, model: str) -> None:
    api.chat(f"main/unpriced-{model}", headers={"X-Request-ID": f"null-{model}"})
    assert api.trace(f"null-{model}")["actual_cost"] is None


def test_filters_and_pages(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(status=400), Plan())
    for number in range(7):
        api.chat(model, str(number))
    entries(api, model, 7)
    assert len(api.log(model=model, status=400)) == 1
    seen, token = [], ""
    while True:
        page = api.get(f"{REQUESTS}?model={model}&page_size=3&page_token={token}").json
        assert len(page["requests"]) <= 3
        seen += [entry["id"] for entry in page["requests"]]
        token = page.get("next_page_token") or ""
        if not token:
            break
    assert len(seen) == len(set(seen)) == 7


@pytest.mark.parametrize(
    "query",
    ["page_size=-1", "page_size=x", "page_token=garbage", "status=x", "since=x", "no_such=1"],
)
def test_a_bad_query_is_named(api: Client, query: str) -> None:
    reply = api.get(f"{REQUESTS}?{query}")
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), reply.body
    assert query.split("=")[0] in reply.message


def test_no_workspace_sees_another_s(api: Client, model: str) -> None:
    scopes = ["inference:create", "request:read"]
    mine, theirs = (api.new_key(workspace=f"log-{n}", scopes=scopes) for n in (1, 2))
    mine.chat(model, headers={"X-Request-ID": f"mine-{model}"})
    mine.trace(f"mine-{model}")
    assert [entry["request_id"] for entry in mine.log()] == [f"mine-{model}"]
    assert theirs.log() == []
    reply = theirs.get(f"{REQUESTS}/mine-{model}")
    assert (reply.status, reply.code) == (404, "NOT_FOUND")


def test_a_client_may_reuse_its_request_id(api: Client, model: str) -> None:
    for text in ("a", "b"):
        assert api.chat(model, text, headers={"X-Request-ID": f"same-{model}"}).status == 200
    found = entries(api, model, 2)
    assert [entry["request_id"] for entry in found] == [f"same-{model}"] * 2


def test_no_prompt_and_no_secret_is_kept(
    api: Client, server: Any, upstream: Upstream, model: str
) -> None:
    api.chat(model, "the-very-secret-prompt")
    entries(api, model, 1)
    kept = b"".join(path.read_bytes() for path in server.home.rglob("*") if path.is_file())
    assert b"the-very-secret-prompt" not in kept
    for secret in (b"up-secret", b"spare-secret"):
        assert secret not in kept and secret not in server.log().encode()


def test_status_and_analytics_come_from_the_log(serve: Any, upstream: Upstream) -> None:
    server = serve(providers(upstream, upstream) + models(5))
    api = Client(server.url, server.key)
    upstream.on("p1", Plan())  # other tests share the upstream
    for number in range(4):
        assert api.chat("p1", str(number)).status == 200
    api.chat("p1", "0")
    entries(api, "p1", 5)
    status = api.get("/v1/ai-inference/status").json
    one = (10 * 2 + 3 * 10) / 1e6
    assert status["status"] == "healthy"
    assert status["cost_stats"]["total_cost"] == pytest.approx(4 * one)
    assert status["cost_stats"]["total_requests"] == 5
    assert status["cost_stats"]["provider_breakdown"] == {"main": pytest.approx(4 * one)}
    assert status["cache_stats"]["overall"]["hit_rate"] == pytest.approx(20.0)
    assert status["cache_stats"]["overall"]["total_cost_saved"] == pytest.approx(one)
    assert status["cache_stats"]["l1_memory"]["total_entries"] == 4
    assert status["cache_stats"]["l2_redis"]["total_entries"] is None, "there is none yet"
    analysis = api.get("/v1/ai-inference/analytics?days=7").json
    assert analysis["period_days"] == 7
    costs = analysis["cost_analysis"]
    assert costs["total_cost"] == pytest.approx(4 * one)
    assert sum(costs["daily_costs"].values()) == pytest.approx(4 * one)
    listed = api.get("/v1/ai-inference/providers").json["providers"]
    (entry,) = [item for item in listed if item["model"] == "p1" and item["provider"] == "main"]
    assert entry["actual_performance"]["total_requests"] == 4
    assert entry["actual_performance"]["success_rate"] == 1.0
    assert entry["pricing"]["input_token_price"] == pytest.approx(0.002)


STRANGE_USAGE = {
    "negative": {"prompt_tokens": -5, "completion_tokens": -7, "total_tokens": -12},
    "huge": {"prompt_tokens": 10**18, "completion_tokens": 10**18, "total_tokens": 2 * 10**18},
    "beyond 64 bits": {"prompt_tokens": 10**30, "completion_tokens": 1, "total_tokens": 1},
    "fractions": {"prompt_tokens": 10.0, "completion_tokens": 2.5, "total_tokens": 12.5},
    "text": {"prompt_tokens": "10", "completion_tokens": "3", "total_tokens": "13"},
    "empty": {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
    "more cached than sent": {
        "prompt_tokens": 10,
        "completion_tokens": 3,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 10_000},
    },
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("usage", STRANGE_USAGE.values(), ids=STRANGE_USAGE)
def test_a_usage_that_cannot_be(
    api: Client, upstream: Upstream, model: str, usage: dict[str, Any], stream: bool
) -> None:
    """The answer is good, so it is given; its cost is sensible; later records are loaded."""
    upstream.on(model, Plan(usage=usage))
    request_id = f"strange-{model}"
    body = {"X-Request-ID": request_id}
    if stream:
        assert chat(api, model, headers=body).whole(3)
    else:
        reply = api.chat(model, headers=body)
        assert reply.status == 200, reply.body
    assert len(upstream.calls(model)) == 1
    record = api.trace(request_id)
    assert record["actual_cost"] is None or 0 <= record["actual_cost"] < 1_000
    assert 0 <= record["input_tokens"] < 10**9 and 0 <= record["output_tokens"] < 10**9
    upstream.on(model, Plan())
    api.chat(model, "next", headers={"X-Request-ID": f"next-{request_id}"})
    assert api.trace(f"next-{request_id}")["status"] == 200


def ledger_bytes(server: Any) -> int:
    return sum(path.stat().st_size for path in server.home.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "more",
    [{"metadata": {"a": "x" * 3_000_000}}, {"user": "u" * 3_000_000}],
    ids=["metadata", "user"],
)
@pytest.mark.parametrize("surface", ["chat", "native"])
def test_what_is_kept_of_a_request_is_bounded(
    api: Client, server: Any, model: str, more: dict[str, Any], surface: str
) -> None:
    """Refused, or kept in part: a client cannot fill the disk with its tracking fields."""
    before = ledger_bytes(server)
    if surface == "chat":
        reply = api.chat(model, **more)
    else:
        named = {"user_id" if name == "user" else name: value for name, value in more.items()}
        reply = api.infer("a", model_name=model, **named)
    assert reply.status in (200, 400)
    if reply.status == 400:
        assert next(iter(more)) in reply.message
    assert ledger_bytes(server) - before < 1_000_000
