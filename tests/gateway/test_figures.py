import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.served import Served
from modelyard.gateway.figures import first_day, per_thousand, reliability, usd
from modelyard.gateway.live import TargetState
from modelyard.inference.call import Price
from modelyard.storage.ledger.record import Record
from storage.ledger.records import attempt, record

# What the API's description shows: every field of it is answered.
EXAMPLES = json.loads((Path(__file__).parent / "examples.json").read_text())
FREE_KEYS = {"provider_breakdown", "daily_costs"}  # their keys are data

NULL_UNTIL_LATER = {
    "status": {
        "pending_requests",
        "cache_stats.overall.l2_hit_rate",
        "cache_stats.overall.l3_hit_rate",
        "cache_stats.l2_redis.total_entries",
        "cache_stats.l2_redis.compression",
        "cache_stats.l2_redis.ttl_seconds",
        "cache_stats.l3_persistent.total_entries",
        "cache_stats.l3_persistent.total_size_mb",
        "cache_stats.l3_persistent.storage_path",
        "worker_stats.deduplicator.semantic_duplicates",
        "worker_stats.batch_processor.total_batches",
        "worker_stats.batch_processor.successful_batches",
        "worker_stats.batch_processor.failed_batches",
        "worker_stats.batch_processor.average_batch_size",
    },
    "analytics": {
        "cache_stats.overall.l2_hit_rate",
        "cache_stats.overall.l3_hit_rate",
        "queue_stats.manager_stats.total_queues",
        "queue_stats.manager_stats.avg_queue_wait_time",
    },
    "providers": {
        "providers.quality_score",
        "providers.tier",
        "providers.pricing.requests_per_minute",
    },
}


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    """Every value that is no object, by its place."""
    if isinstance(value, list):
        return leaves(value[0], place)
    if not isinstance(value, dict) or place.rpartition(".")[2] in FREE_KEYS:
        return {place: value}
    found: dict[str, Any] = {}
    for name, inner in value.items():
        found |= leaves(inner, f"{place}.{name}" if place else name)
    return found


def week(now: float) -> list[Record]:
    """Requests of the last days: answers, hits, a follower, a failure, an unknown price."""
    day = 86_400.0
    saved = {"cost": 0, "saved": 500_000, "attempts": []}
    return [
        record(1, at=now, cost=1_000_000_000, seconds=1.0),
        record(2, at=now - day, cost=500_000_000, cached_tokens=4),
        record(3, at=now - 2 * day, cost=None),
        record(4, at=now, cache="l1", **saved),
        record(5, at=now, cache="l1", **saved),
        record(6, at=now, shared=True, **saved),
        record(7, at=now, cache="off", target="local/llama3:8b", provider="local", cost=0),
        record(8, at=now - 30 * day, cost=2_000_000_000),
        record(
            9,
            at=now,
            status=503,
            error="PROVIDER_UNAVAILABLE",
            target=None,
            provider=None,
            cost=0,
            input_tokens=0,
            output_tokens=0,
            attempts=[attempt(outcome="http_503", status=503)],
        ),
        record(10, at=now, workspace="team-b", cost=7_000_000_000),
    ]


@pytest.mark.parametrize("path", ["status", "providers", "analytics"])
async def test_every_field_of_the_example_is_answered(served: Served, path: str) -> None:
    served.write(*week(time.time()))
    wanted, found = leaves(EXAMPLES[path]), leaves(await served.get(path))
    assert set(wanted) <= set(found)
    nulls = {place for place in wanted if found[place] is None}
    assert nulls == NULL_UNTIL_LATER[path]
    for place in set(wanted) - nulls:
        kinds = (int, float) if isinstance(wanted[place], float) else type(wanted[place])
        assert isinstance(found[place], kinds), place


# Of a level that nobody has asked.
UNUSED = {"state": "up", "trouble": None, "hits": 0, "misses": 0, "hit_rate": None} | {
    "errors": 0,
    "skipped": 0,
}


async def test_status_counts_a_workspace(served: Served) -> None:
    served.write(*week(time.time()))
    assert served.live.memory is not None
    for workspace, key in (("default", b"1"), ("default", b"2"), ("team-b", b"3")):
        served.live.memory.put(workspace, key, "answer", 100, time.monotonic())
    status = await served.get("status")
    assert status["status"] == "healthy"
    assert status["processing_requests"] == 3
    overall = status["cache_stats"]["overall"]
    assert overall == {
        "total_requests": 8,
        "hit_rate": 25.0,
        "l1_hit_rate": 25.0,
        "l2_hit_rate": None,
        "l3_hit_rate": None,
        "total_cost_saved": 0.001,
        "total_tokens_saved": 45,
    }
    assert status["cache_stats"]["l1_memory"] == UNUSED | {
        "total_entries": 2,
        "utilization": 0.03,
        "strategy": "lru",
        "total_bytes": 2 * (100 + served.live.memory.OVERHEAD),
    }
    assert status["cost_stats"] == {
        "period_days": 7,
        "total_cost": 1.5,
        "total_tokens": 60,
        "total_requests": 8,
        "avg_cost_per_request": round(1.5 / 7, 12),
        "avg_cost_per_token": round(1.5 / 45, 12),
        "provider_breakdown": {"local": 0.0, "openai": 1.5},
        "unpriced_requests": 1,
    }
    workers = status["worker_stats"]
    assert workers["total_requests_processed"] == 9
    assert (workers["total_workers"], workers["active_workers"]) == (2, 1)
    assert workers["deduplicator"] == {
        "total_requests": 9,
        "exact_duplicates": 1,
        "semantic_duplicates": None,
        "deduplication_rate": round(1 / 9, 4),
        "total_cost_saved": 0.0005,
    }


async def test_an_empty_workspace_has_no_rates(served: Served) -> None:
    status = await served.get("status")
    assert status["cost_stats"]["total_cost"] == 0.0
    assert status["cost_stats"]["avg_cost_per_request"] is None
    assert status["cache_stats"]["overall"]["hit_rate"] is None
    assert status["worker_stats"]["deduplicator"]["deduplication_rate"] is None
    for entry in (await served.get("providers"))["providers"]:
        assert entry["actual_performance"] == {
            "total_requests": 0,
            "avg_response_time": None,
            "success_rate": None,
        }
        assert entry["reliability_score"] is None


async def test_an_unknown_price_is_null_and_not_zero(served: Served) -> None:
    served.write(record(1, at=time.time(), cost=None))
    costs = (await served.get("status"))["cost_stats"]
    assert costs["total_cost"] is None
    assert costs["provider_breakdown"] == {"openai": None}
    assert (costs["avg_cost_per_request"], costs["avg_cost_per_token"]) == (None, None)
    assert (costs["total_requests"], costs["unpriced_requests"]) == (1, 1)
    daily = (await served.get("analytics"))["cost_analysis"]["daily_costs"]
    assert list(daily.values()) == [0.0] * 6 + [None]


async def test_status_is_one_word(served: Served) -> None:
    good, bad = served.live.found[0], TargetState(provider="p", model="m", circuit="open")
    for targets, word in (
        ([good], "healthy"),
        ([], "healthy"),
        ([good, bad], "degraded"),
        ([bad], "unhealthy"),
    ):
        served.live.found = targets
        assert (await served.get("status"))["status"] == word
    served.live.found = [good]
    served.file.healthy = False
    assert (await served.get("status"))["status"] == "unhealthy"


async def test_providers_join_live_state_and_ledger(served: Served) -> None:
    served.write(*week(time.time()))
    openai, local = (await served.get("providers"))["providers"]
    assert openai == {
        "provider": "openai",
        "model": "gpt-4o",
        "estimated_cost": (10 * 2500 + 5 * 10_000) / 1e9,
        "estimated_time": 0.75,
        "reliability_score": reliability(3, 4),
        "quality_score": None,
        "tier": None,
        "circuit": "closed",
        "actual_performance": {
            "total_requests": 4,
            "avg_response_time": 0.2,
            "success_rate": 0.75,
        },
        "pricing": {
            "input_token_price": 0.0025,
            "output_token_price": 0.01,
            "cached_input_token_price": 0.00125,
            "max_tokens_per_request": 16_384,
            "requests_per_minute": None,
        },
    }
    assert local["actual_performance"]["total_requests"] == 1
    assert local["estimated_time"] == 0.2
    assert local["estimated_cost"] is None
    assert set(local["pricing"].values()) == {None}


async def test_before_the_first_request_a_thousand_tokens_are_estimated(served: Served) -> None:
    openai, _ = (await served.get("providers"))["providers"]
    assert openai["estimated_cost"] == openai["pricing"]["input_token_price"] == 0.0025


async def test_a_fallbacks_success_is_not_the_failed_targets(served: Served) -> None:
    tried = [attempt(outcome="http_503", status=503)] * 2
    served.write(
        record(
            1,
            at=time.time(),
            target="local/llama3:8b",
            provider="local",
            attempts=[*tried, attempt("local/llama3:8b", duration=50.0)],
        )
    )
    openai, local = (await served.get("providers"))["providers"]
    assert openai["actual_performance"] == {
        "total_requests": 2,
        "avg_response_time": None,
        "success_rate": 0.0,
    }
    assert local["actual_performance"] == {
        "total_requests": 1,
        "avg_response_time": 0.05,
        "success_rate": 1.0,
    }


@pytest.mark.parametrize("days", [1, 3, 366])
async def test_analytics_of_a_period(served: Served, days: int) -> None:
    now = time.time()
    served.write(*week(now))
    analytics = await served.get(f"analytics?days={days}")
    assert analytics["period_days"] == analytics["cost_analysis"]["period_days"] == days
    daily = analytics["cost_analysis"]["daily_costs"]
    today = datetime.fromtimestamp(now, UTC).date()
    assert list(daily) == [str(today - timedelta(days=days - 1 - n)) for n in range(days)]
    wanted = {1: 1.0, 3: 1.5, 366: 3.5}[days]
    assert analytics["cost_analysis"]["total_cost"] == wanted
    assert sum(cost for cost in daily.values() if cost is not None) == wanted
    queue = analytics["queue_stats"]["manager_stats"]
    assert queue["total_requests_processed"] == {1: 6, 3: 8, 366: 9}[days]
    assert queue["system_throughput"] == round(6 / 60, 3)
    assert analytics["cache_stats"]["overall"]["hit_rate"] == {1: 40.0, 3: 28.57, 366: 25.0}[days]


@pytest.mark.parametrize("days", ["0", "-1", "367", "1e3", "week", ""])
async def test_a_period_is_bounded(served: Served, days: str) -> None:
    reply = await served.client().get(f"/v1/ai-inference/analytics?days={days}")
    assert (reply.status, reply.error["details"]["field"]) == (400, "days")


@pytest.mark.parametrize("level", ["l1", "all"])
async def test_clearing_forgets_one_workspaces_answers(served: Served, level: str) -> None:
    cache = served.live.memory
    assert cache is not None
    for workspace in ("default", "team-b"):
        cache.put(workspace, b"key", "answer", 100, 0.0)
    reply = await served.client().post(f"/v1/ai-inference/clear-cache?level={level}")
    assert reply.status == 200
    assert set(EXAMPLES["clear-cache"]) <= set(reply.json)
    assert (reply.json["success"], reply.json["level"]) == (True, level)
    assert reply.json["cleared_entries"] == 1
    assert cache.get("default", b"key", 0.0) is None
    assert cache.get("team-b", b"key", 0.0) == "answer"
    (event,) = served.events
    assert (event.verb, event.actor, event.workspace) == ("cache.clear", "admin", "default")


@pytest.mark.parametrize("level", ["l2", "l3"])
async def test_a_level_that_is_not_configured_is_named(served: Served, level: str) -> None:
    reply = await served.client().post(f"/v1/ai-inference/clear-cache?level={level}")
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
    assert f"'{level}' is not configured" in reply.error["message"]
    assert reply.error["details"]["allowed"] == ["l1", "all"]
    assert served.events == []


async def test_without_any_cache_all_is_nothing(served: Served) -> None:
    served.live.memory = None
    assert (await served.client().post("/v1/ai-inference/clear-cache")).json["cleared_entries"] == 0
    reply = await served.client().post("/v1/ai-inference/clear-cache?level=l1")
    assert reply.error["details"]["allowed"] == ["all"]
    memory = (await served.get("status"))["cache_stats"]["l1_memory"]
    assert set(memory.values()) == {None}


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "status", "monitoring:read"),
        ("GET", "providers", "monitoring:read"),
        ("GET", "analytics", "monitoring:read"),
        ("POST", "clear-cache", "cache:write"),
    ],
)
async def test_each_needs_its_permission(
    served: Served, method: str, path: str, permission: str
) -> None:
    path = f"/v1/ai-inference/{path}"
    assert (await served.client(None).request(method, path)).status == 401
    reply = await served.client("auditor").request(method, path)
    assert reply.status == 403
    assert reply.error["details"]["permission"] == permission
    allowed = "monitor" if method == "GET" else "admin"
    assert (await served.client(allowed).request(method, path)).status == 200


def test_money_is_exact_to_the_nano_dollar() -> None:
    assert usd(1) == 1e-9
    assert usd(123_456_789_012) == 123.456789012
    assert usd(None) is None
    assert per_thousand(Price(0.075 * 1000, 0.0).input) == 0.000075
    assert per_thousand(None) is None


def test_a_period_begins_at_midnight() -> None:
    moment = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC).timestamp()
    assert first_day(1, moment) == datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    assert first_day(7, moment) == datetime(2026, 2, 23, tzinfo=UTC).timestamp()


def test_reliability_grows_with_evidence() -> None:
    assert reliability(0, 0) is None
    assert reliability(3, 3) == pytest.approx(0.4385, abs=1e-4)
    scores = [reliability(n, n) or 0.0 for n in (1, 3, 30, 3000)]
    assert scores == sorted(scores)
    assert reliability(0, 50) == 0.0
    assert (reliability(95, 100) or 0) < 0.95
