"""POST /v1/ai-inference/inference: each request field has its effect, each response field is
there and measured.
"""

import time
from typing import Any

import pytest

from e2e.client import Client
from e2e.conftest import INPUT, OUTPUT
from upstream.plan import Plan
from upstream.server import Upstream

FIELDS = {
    "request_id": str,
    "response": str,
    "model_used": str,
    "provider_used": str,
    "processing_time": float,
    "cache_hit": bool,
    "input_tokens": int,
    "output_tokens": int,
    "estimated_cost": float,
    "actual_cost": float,
    "timestamp": str,
    "metadata": dict,
}


def cost(input_tokens: int, output_tokens: int) -> float:
    return (input_tokens * INPUT + output_tokens * OUTPUT) / 1e6


def test_every_field_of_the_answer(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=4, headers_after=0.05))
    started = time.time()
    reply = api.infer("What is the capital of France?", model_name=model)
    assert reply.status == 200, reply.body
    answer = reply.json
    for field, kind in FIELDS.items():
        assert isinstance(answer[field], kind), field
    assert answer["response"] == "w0 w1 w2 w3 "
    assert answer["model_used"] == model
    assert answer["provider_used"] == "main"
    assert 0.05 <= answer["processing_time"] <= 50
    assert answer["cache_hit"] is False
    assert (answer["input_tokens"], answer["output_tokens"]) == (10, 4)
    assert answer["actual_cost"] == pytest.approx(cost(10, 4))
    assert answer["estimated_cost"] > 0
    assert answer["request_id"] == reply.headers["x-request-id"]
    assert answer["timestamp"].startswith(time.strftime("%Y-", time.gmtime(started)))
    assert answer["timestamp"].endswith("Z")
    assert answer["metadata"]["strategy"] == "balanced"
    assert len(upstream.calls(model)) == 1


def test_prompt_is_what_the_model_is_asked(api: Client, upstream: Upstream, model: str) -> None:
    api.infer("Ünïcode \u2028 and\nlines 🙂", model_name=model)
    (call,) = upstream.calls(model)
    assert call.path == "/v1/chat/completions"
    assert call.json["messages"] == [{"role": "user", "content": "Ünïcode \u2028 and\nlines 🙂"}]


def test_model_name_and_its_default(api: Client, upstream: Upstream, model: str) -> None:
    named = api.infer("hi", model_name=f"main/{model}")
    assert named.json["model_used"].endswith(model)
    assert len(upstream.calls(model)) == 1
    default = api.infer(f"hi {model}").json
    assert default["model_used"] == "p0"
    assert upstream.calls("p0")


def test_temperature(api: Client, upstream: Upstream, model: str) -> None:
    api.infer("a", model_name=model, temperature=1.25)
    api.infer("b", model_name=model)
    given, default = upstream.calls(model)
    assert given.json["temperature"] == 1.25
    assert default.json["temperature"] == 0.7


def test_max_tokens(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=50))
    answer = api.infer("a", model_name=model, max_tokens=2).json
    assert answer["output_tokens"] == 2
    (call,) = upstream.calls(model)
    assert call.json["max_tokens"] == 2


def test_user_id_and_metadata_are_recorded(api: Client, model: str) -> None:
    metadata = {"source": "web_app", "session_id": "sess_789", "deep": {"list": [1, None]}}
    reply = api.infer("a", model_name=model, user_id="user_123", metadata=metadata)
    assert reply.status == 200, reply.body
    record = api.trace(reply.json["request_id"])
    assert record["user_id"] == "user_123"
    assert record["metadata"] == metadata


def test_user_id_is_found_again(api: Client, model: str) -> None:
    reply = api.infer("a", model_name=model, user_id=f"u-{model}")
    api.trace(reply.json["request_id"])
    ids = [entry["request_id"] for entry in api.log(model=model)]
    assert ids == [reply.json["request_id"]]


def test_another_workspace_is_refused(api: Client, upstream: Upstream, model: str) -> None:
    reply = api.infer("a", model_name=model, workspace_id="somebody-else-s")
    assert (reply.status, reply.code) == (403, "PERMISSION_DENIED")
    assert "workspace_id" in reply.body.decode()
    assert upstream.calls(model) == []


def test_one_s_own_workspace_is_accepted(api: Client, model: str) -> None:
    mine = api.new_key(workspace="team-a")
    assert mine.infer("a", model_name=model, workspace_id="team-a").status == 200


@pytest.mark.parametrize("field", ["priority", "strategy", "cost_optimize"])
def test_what_takes_effect_later_is_recorded(api: Client, model: str, field: str) -> None:
    value: Any = {"priority": 9, "strategy": "lowest_cost", "cost_optimize": False}[field]
    reply = api.infer("a", model_name=model, **{field: value})
    assert reply.status == 200, reply.body
    assert api.trace(reply.json["request_id"])[field] == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", 0),
        ("priority", 11),
        ("priority", 5.5),
        ("strategy", "cheapest"),
        ("cost_optimize", "yes"),
        ("temperature", 2.1),
        ("temperature", -0.1),
        ("max_tokens", 0),
        ("max_tokens", -5),
        ("max_tokens", "many"),
        ("timeout_seconds", 0),
        ("timeout_seconds", -1),
        ("budget_limit", -1.0),
        ("use_cache", "yes"),
        ("stream", 1),
        ("metadata", "text"),
        ("user_id", 5),
        ("prompt", ""),
        ("prompt", None),
        ("prompt", 3),
        ("model_name", 3),
        ("no_such_field", 1),
    ],
)
def test_a_bad_value_names_its_field(
    api: Client, upstream: Upstream, model: str, field: str, value: Any
) -> None:
    reply = api.infer(**({"model_name": model} | {field: value}))
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), reply.body
    error = reply.json["error"]
    assert error["details"]["field"] == field
    assert field in error["message"]
    assert upstream.calls(model) == []


def test_timeout_seconds(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(silent=True))
    started = time.monotonic()
    reply = api.infer("a", model_name=model, timeout_seconds=1)
    assert (reply.status, reply.code) == (504, "TIMEOUT"), reply.body
    assert 0.9 < time.monotonic() - started < 50
    assert len(upstream.calls(model)) == 1
    upstream.wait_for(lambda: upstream.calls(model)[0].closed_at is not None)


def test_use_cache(api: Client, upstream: Upstream, model: str) -> None:
    """The native surface follows ``use_cache``, whatever the temperature."""
    first = api.infer("a", model_name=model, temperature=0.7)
    second = api.infer("a", model_name=model, temperature=0.7)
    third = api.infer("a", model_name=model, temperature=0.7, use_cache=False)
    hits = [reply.json["cache_hit"] for reply in (first, second, third)]
    assert hits == [False, True, False]
    assert second.json["response"] == first.json["response"]
    assert second.json["actual_cost"] == 0
    assert len({reply.json["request_id"] for reply in (first, second, third)}) == 3
    assert len(upstream.calls(model)) == 2


def test_budget_limit(api: Client, upstream: Upstream, model: str) -> None:
    """100 tokens of 10 USD a million are a tenth of a cent at most."""
    refused = api.infer("a", model_name=model, max_tokens=100, budget_limit=0.0001)
    assert (refused.status, refused.code) == (402, "BUDGET_EXCEEDED"), refused.body
    assert refused.json["error"]["details"]["limit_usd"] == 0.0001
    assert upstream.calls(model) == []
    paid = api.infer("a", model_name=model, max_tokens=100, budget_limit=0.0015)
    assert paid.status == 200, paid.body
    assert len(upstream.calls(model)) == 1


def test_the_dearest_of_the_chain_counts(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    reply = api.infer("a", model_name=chain, max_tokens=100, budget_limit=0.0009)
    assert reply.status == 402
    assert upstream.calls(chain) == spare.calls(chain) == []


def test_a_cached_answer_fits_any_budget(api: Client, upstream: Upstream, model: str) -> None:
    api.infer("a", model_name=model, max_tokens=100)
    hit = api.infer("a", model_name=model, max_tokens=100, budget_limit=0.0)
    assert hit.status in (200, 402)
    assert len(upstream.calls(model)) == 1


def test_an_unknown_price_is_no_price(api: Client, upstream: Upstream, model: str) -> None:
    reply = api.infer("a", model_name=f"main/unpriced-{model}")
    assert reply.status == 200
    assert reply.json["actual_cost"] is None and reply.json["estimated_cost"] is None
    assert reply.json["metadata"]["warnings"], "an unknown price is said to be unknown"
    assert "x-modelyard-cost" not in reply.headers


def test_a_budget_needs_a_price(api: Client, upstream: Upstream, model: str) -> None:
    """A limit that cannot be held is refused rather than passed over."""
    name = f"unpriced-{model}"
    reply = api.infer("a", model_name=f"main/{name}", budget_limit=1.0)
    assert 400 <= reply.status < 500
    assert "price" in reply.message
    assert upstream.calls(name) == []


def test_request_id_in_and_out(api: Client, model: str) -> None:
    reply = api.infer("a", model_name=model, headers={"X-Request-ID": f"mine-{model}"})
    assert reply.headers["x-request-id"] == f"mine-{model}"
    assert reply.json["request_id"] == f"mine-{model}"


def test_timings_are_in_the_metadata(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(headers_after=0.1))
    metadata = api.infer("a", model_name=model).json["metadata"]
    timings = metadata["timings"]
    assert timings["total"] >= timings["upstream"] >= timings["first_byte"] >= 90
    assert 0 <= timings["overhead"] < 1000
