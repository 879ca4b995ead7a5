import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest

from gateway.served import Served
from modelyard.gateway.requests import LoggedRequest, RequestTrace
from modelyard.protocol.errors import timestamp
from storage.ledger.records import START, attempt, record, various

REQUESTS = "/v1/ai-inference/requests"


async def pages(served: Served, size: int, name: str = "admin", **filters: Any) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    token = ""
    while True:
        query = urlencode({"page_size": size, "page_token": token} | filters)
        reply = await served.get(f"requests?{query}", name)
        found += [one["id"] for one in reply["requests"]]
        if not (token := reply["next_page_token"]):
            return found


async def test_one_reads_what_was_written_just_before(served: Served) -> None:
    assert await served.get("requests") == {"requests": [], "next_page_token": None}
    for number in range(5):
        served.write(record(number))
        found = (await served.get("requests"))["requests"]
        assert [one["request_id"] for one in found] == [f"req_{n}" for n in range(number, -1, -1)]


async def test_an_entry_shows_every_field(served: Served) -> None:
    served.write(
        record(1, cost=75_001, estimated_cost=80_000, saved=0, user_id="ada", stream=True),
        record(2, cost=None, estimated_cost=None, saved=None, timings={}, seconds=1 / 3),
    )
    unpriced, priced = (await served.get("requests"))["requests"]
    assert priced == {
        "id": "rec_00000001",
        "request_id": "req_1",
        "timestamp": "2026-01-01T00:00:01.000Z",
        "key_id": "key_a",
        "user_id": "ada",
        "surface": "chat",
        "model": "gpt-4o",
        "provider": "openai",
        "target": "openai/gpt-4o",
        "status": 200,
        "error": None,
        "cache": "miss",
        "shared": False,
        "stream": True,
        "processing_time": 0.25,
        "first_token_ms": 12.5,
        "input_tokens": 10,
        "output_tokens": 5,
        "cached_tokens": 0,
        "estimated_cost": 0.00008,
        "actual_cost": 0.000075001,
        "saved_cost": 0.0,
        "attempt_count": 1,
    }
    for name in ("estimated_cost", "actual_cost", "saved_cost", "first_token_ms"):
        assert unpriced[name] is None
    assert unpriced["processing_time"] == 0.333333


async def test_pages_cover_a_workspace_once_and_no_other(served: Served) -> None:
    records = various(120)
    served.write(*records)
    for name, workspace in (("admin", "default"), ("other", "team-b")):
        wanted = [one.id for one in records if one.workspace == workspace]
        found = await pages(served, 7, name)
        assert sorted(found) == sorted(wanted)
        assert found == await pages(served, 1000, name)


async def test_filters_reach_the_ledger_in_its_units(served: Served) -> None:
    records = various(200)
    served.write(*records)
    mine = [one for one in records if one.workspace == "default"]
    since, until = START + 86_400, START + 4 * 86_400
    cases: list[tuple[dict[str, Any], list[str]]] = [
        (
            {"since": timestamp(since), "until": "2026-01-05T02:00:00+02:00"},
            [one.id for one in mine if since <= one.at < until],
        ),
        ({"key_id": "key_b"}, [one.id for one in mine if one.key_id == "key_b"]),
        ({"model": "small"}, [one.id for one in mine if one.model == "small"]),
        ({"provider": "local"}, [one.id for one in mine if one.provider == "local"]),
        ({"status": "429"}, [one.id for one in mine if one.status == 429]),
        ({"status": "5xx"}, [one.id for one in mine if one.status >= 500]),
        ({"error": "RATE_LIMITED"}, [one.id for one in mine if one.error == "RATE_LIMITED"]),
        (
            {"cost_min": 0.000001, "cost_max": 0.25},
            [one.id for one in mine if one.cost is not None and 1000 <= one.cost <= 250_000_000],
        ),
        ({"cache": "l1"}, [one.id for one in mine if one.cache == "l1"]),
        ({"stream": "true"}, [one.id for one in mine if one.stream]),
        ({"userId": "ada"}, [one.id for one in mine if one.user_id == "ada"]),
    ]
    for filters, wanted in cases:
        assert wanted
        assert sorted(await pages(served, 11, **filters)) == sorted(wanted), filters


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page_size=-1", "page_size"),
        ("page_size=many", "page_size"),
        ("page_token=nonsense", "page_token"),
        ("since=yesterday", "since"),
        ("since=1700000000", "since"),
        ("until=null", "until"),
        ("since=2026-01-01T00:00:00", "since"),
        ("status=2000", "status"),
        ("status=ok", "status"),
        ("cost_min=-1", "cost_min"),
        ("cost_min=nan", "cost_min"),
        ("cost_max=inf", "cost_max"),
        ("cost_max=1e300", "cost_max"),
        ("cache=l9", "cache"),
        ("stream=perhaps", "stream"),
        ("model=", "model"),
        ("model=" + "x" * 600, "model"),
        ("colour=red", "colour"),
    ],
)
async def test_a_bad_parameter_is_named(served: Served, query: str, field: str) -> None:
    reply = await served.client().get(f"{REQUESTS}?{query}")
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
    assert reply.error["details"]["field"] == field


async def test_a_page_token_of_another_query_is_refused(served: Served) -> None:
    served.write(*(record(n, workspace=w) for n in range(5) for w in ("default", "team-b")))
    served.write(*(record(100 + n, workspace=w) for n in range(5) for w in ("default", "team-b")))
    token = (await served.get("requests?page_size=2"))["next_page_token"]
    follow = f"{REQUESTS}?page_size=3&page_token={token}"
    assert (await served.client().get(follow)).status == 200
    for path, name in ((follow + "&model=gpt-4o", "admin"), (follow, "other")):
        reply = await served.client(name).get(path)
        assert (reply.status, reply.error["details"]["field"]) == (400, "page_token")


FAILED = {
    "id": "att",
    "target": "openai/gpt-4o",
    "started_ms": 0.1,
    "duration_ms": 200.0,
    "first_byte_ms": 4.5,
    "outcome": "http_503",
    "status": 503,
    "detail": "busy",
    "reused": False,
}
ANSWERED = FAILED | {
    "target": "local/llama3:8b",
    "first_byte_ms": None,
    "outcome": "ok",
    "status": 200,
    "detail": None,
    "reused": True,
}
KEPT_AS_IT_IS = {
    "semantic": None,
    "message": "Every target failed.",
    "model_version": "gpt-4o-2024-08-06",
    "finish_reason": "stop",
    "cache_write_tokens": 2,
    "reasoning_tokens": 3,
    "usage_estimated": True,
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "correlation_id": "order-7",
    "metadata": {"source": "web", "tags": [1, None]},
    "priority": 7,
    "strategy": "balanced",
    "cost_optimize": True,
}


async def test_a_trace_shows_everything(served: Served) -> None:
    timings = {"route": 0.01, "first_token": 12.5}
    attempts = [
        attempt(outcome="http_503", status=503, detail="busy", first_byte=4.5),
        attempt("local/llama3:8b", reused=True),
    ]
    served.write(record(1, status=503, timings=timings, attempts=attempts, **KEPT_AS_IT_IS))
    trace = await served.get("requests/req_1")
    listed = (await served.get("requests"))["requests"][0]
    assert {name: trace[name] for name in listed} == listed
    assert {name: trace[name] for name in trace if name not in listed} == {
        **KEPT_AS_IT_IS,
        "timings_ms": timings,
        "attempts": [FAILED, ANSWERED],
    }


@pytest.mark.parametrize("request_id", ["a/b", "a b?c=d&e", "äöü", "..", "%2F", "x" * 128])
async def test_a_trace_is_found_by_any_id(served: Served, request_id: str) -> None:
    one = record(1, request_id=request_id)
    served.write(one)
    trace = await served.get(f"requests/{quote(request_id, safe='')}")
    assert trace["id"] == one.id
    assert (await served.get(f"requests/{one.id}"))["request_id"] == request_id


async def test_an_unknown_or_foreign_request_is_not_found(served: Served) -> None:
    served.write(record(1))
    for path, name in (("req_1", "other"), ("rec_00000001", "other"), ("req_2", "admin")):
        reply = await served.client(name).get(f"{REQUESTS}/{path}")
        assert (reply.status, reply.code) == (404, "NOT_FOUND")


async def test_a_record_keeps_its_time(served: Served) -> None:
    now = time.time()
    served.write(record(1, at=now))
    shown = (await served.get("requests/req_1"))["timestamp"]
    assert abs(datetime.fromisoformat(shown).timestamp() - now) < 0.001
    assert datetime.fromisoformat(shown).tzinfo == UTC


@pytest.mark.parametrize("path", ["requests", "requests/req_1"])
async def test_the_log_needs_its_permission(served: Served, path: str) -> None:
    served.write(record(1))
    assert (await served.client("auditor").get(f"/v1/ai-inference/{path}")).status == 200
    assert (await served.client(None).get(f"/v1/ai-inference/{path}")).status == 401
    for name in ("monitor", "caller"):
        reply = await served.client(name).get(f"/v1/ai-inference/{path}")
        assert reply.status == 403
        assert reply.error["details"]["permission"] == "request:read"


def test_a_page_of_records_without_defaults_is_whole() -> None:
    """Every field is always there: none is left out for being null."""
    for type_ in (LoggedRequest, RequestTrace):
        fields = msgspec.structs.fields(type_)
        assert not [field.name for field in fields if not field.required]
        assert not type_.__struct_config__.omit_defaults
