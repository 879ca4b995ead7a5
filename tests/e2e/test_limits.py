"""Limits of a key: what is refused, and what the headers tell."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from e2e.client import Client, Reply
from patience import until
from upstream.plan import Plan
from upstream.server import Upstream


def refusal(reply: Reply, limit: str, code: str = "RATE_LIMITED") -> None:
    """A 429 that says which limit, its size and when to come back."""
    assert (reply.status, reply.code) == (429, code), reply.body
    assert limit in reply.body.decode()
    assert float(reply.headers["retry-after"]) >= 1


def details(reply: Reply) -> dict[str, Any]:
    return dict(reply.json["error"]["details"])


def test_requests_per_minute(api: Client, upstream: Upstream, model: str) -> None:
    key = api.new_key(limits={"requests_per_minute": 3})
    replies = [key.infer(str(n), model_name=model) for n in range(5)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429, 429]
    refusal(replies[3], "requests_per_minute")
    assert details(replies[3])["size"] == 3
    assert len(upstream.calls(model)) == 3


def test_headers_count_down(api: Client, model: str) -> None:
    limits = {"requests_per_minute": 5, "tokens_per_minute": 50_000}

    def asked() -> tuple[float, list[Reply]] | None:
        key, minute = api.new_key(limits=limits), time.time() // 60
        replies = [key.chat(model, str(n), headers={"X-Modelyard-Cache": "off"}) for n in range(3)]
        return (minute * 60, replies) if time.time() // 60 == minute else None

    begun, replies = until(asked)  # within one minute
    for used, reply in enumerate(replies, start=1):
        headers = reply.headers
        assert headers["x-ratelimit-limit"] == "5"
        assert headers["x-ratelimit-remaining"] == str(5 - used)
        assert begun < int(headers["x-ratelimit-reset"]) <= begun + 61
        assert headers["x-ratelimit-limit-requests"] == "5"
        assert headers["x-ratelimit-remaining-requests"] == str(5 - used)
        assert headers["x-ratelimit-limit-tokens"] == "50000"
        assert int(headers["x-ratelimit-remaining-tokens"]) == 50_000 - 13 * used
        assert '"minute";q=5;w=60' in headers["ratelimit-policy"]
        assert f'"minute";r={5 - used};t=' in headers["ratelimit"]


def test_they_are_on_a_refusal_too(api: Client, model: str) -> None:
    key = api.new_key(limits={"requests_per_minute": 1})
    key.chat(model, "a")
    headers = key.chat(model, "b").headers
    assert headers["x-ratelimit-remaining"] == "0"
    assert '"minute";r=0' in headers["ratelimit"]


def test_and_on_a_stream_and_on_a_hit(api: Client, model: str) -> None:
    key = api.new_key(limits={"requests_per_minute": 10})
    assert key.chat_stream(model).headers["x-ratelimit-remaining"] == "9"
    key.chat(model)
    assert key.chat(model).headers["x-ratelimit-remaining"] == "7"


def test_requests_per_second(api: Client, upstream: Upstream, model: str) -> None:
    key = api.new_key(limits={"requests_per_second": 2})
    rounds = itertools.count(1)

    def some_refused() -> list[Reply]:  # a slow machine may take seconds for them
        number = next(rounds)
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda n: key.chat(model, f"{number} {n}"), range(8)))
        refused = [reply for reply in replies if reply.status == 429]
        answered.append(8 - len(refused))
        return refused

    answered: list[int] = []
    refused = until(some_refused)
    refusal(refused[0], "requests_per_second")
    assert len(upstream.calls(model)) == sum(answered)
    time.sleep(float(refused[-1].headers["retry-after"]) + 1)
    assert key.chat(model, "later").status == 200


def test_tokens_per_minute(api: Client, upstream: Upstream, model: str) -> None:
    """What was used counts: 10 + 90 tokens an answer, as the provider says."""
    usage = {"prompt_tokens": 10, "completion_tokens": 90, "total_tokens": 100}
    upstream.on(model, Plan(usage=usage))
    key = api.new_key(limits={"tokens_per_minute": 250})
    replies = [key.chat(model, str(n)) for n in range(5)]
    statuses = [reply.status for reply in replies]
    assert statuses[:2] == [200, 200] and statuses[3:] == [429, 429]
    refusal(replies[-1], "tokens_per_minute")
    assert len(upstream.calls(model)) == statuses.count(200)


def test_tokens_are_reserved_while_a_call_runs(api: Client, upstream: Upstream, model: str) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(gate=gate))
    key = api.new_key(limits={"tokens_per_minute": 1000})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(key.chat, model, "a", max_tokens=900)
        upstream.wait_calls(1, model)
        refusal(key.chat(model, "b", max_tokens=900), "tokens_per_minute")
        gate.set()
        assert running.result().status == 200
    assert key.chat(model, "c", max_tokens=900).status == 200, "the rest was given back"
    assert len(upstream.calls(model)) == 2


def test_more_tokens_than_the_whole_limit(api: Client, upstream: Upstream, model: str) -> None:
    key = api.new_key(limits={"tokens_per_minute": 100})
    reply = key.chat(model, "a", max_tokens=500)
    assert reply.status == 429
    assert "limit" in reply.message
    assert upstream.calls(model) == []


def test_concurrent_requests(api: Client, upstream: Upstream, model: str) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(gate=gate))
    key = api.new_key(limits={"concurrent_requests": 2})
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(key.chat, model, str(n)) for n in range(2)]
        upstream.wait_calls(2, model)
        third = key.chat(model, "third")
        refusal(third, "concurrent_requests")
        gate.set()
        assert [one.result().status for one in running] == [200, 200]
    assert key.chat(model, "fourth").status == 200
    assert len(upstream.calls(model)) == 3


def test_requests_per_day_is_a_quota(api: Client, upstream: Upstream, model: str) -> None:
    key = api.new_key(limits={"requests_per_day": 2})
    replies = [key.chat(model, str(n)) for n in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    refusal(replies[2], "requests_per_day", "QUOTA_EXCEEDED")
    assert [reply.headers["x-quota-limit"] for reply in replies] == ["2"] * 3
    assert [reply.headers["x-quota-used"] for reply in replies] == ["1", "2", "2"]
    assert len(upstream.calls(model)) == 2


def test_defaults_of_a_key(api: Client, model: str) -> None:
    """Seed 001's: 1,000 requests and 100,000 tokens a minute, 50 at once."""
    headers = api.new_key().chat(model).headers
    assert headers["x-ratelimit-limit"] == "1000"
    assert headers["x-ratelimit-limit-tokens"] == "100000"
    assert '"concurrent";q=50;qu="concurrent-requests"' in headers["ratelimit-policy"]


def test_the_admin_key_has_none(api: Client, model: str) -> None:
    assert "x-ratelimit-limit" not in api.chat(model).headers


def test_a_key_without_limits_by_request(api: Client, model: str) -> None:
    none = {"requests_per_minute": None, "tokens_per_minute": None, "concurrent_requests": None}
    headers = api.new_key(limits=none).chat(model).headers
    assert "x-ratelimit-limit" not in headers


def test_keys_count_by_themselves(api: Client, model: str) -> None:
    one, two = (api.new_key(limits={"requests_per_minute": 1}) for _ in range(2))
    assert [one.chat(model, "a").status, two.chat(model, "b").status] == [200, 200]
    assert [one.chat(model, "c").status, two.chat(model, "d").status] == [429, 429]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
def test_openai_clients_understand(api: Client, model: str, path: str) -> None:
    key = api.new_key(limits={"requests_per_minute": 1})
    key.chat(model)
    body = {"model": model, "messages": [{"role": "user", "content": "a"}], "input": "a"}
    if path == "/v1/embeddings":
        del body["messages"]
    else:
        del body["input"]
    reply = key.post(path, body)
    error = reply.json["error"]
    assert reply.status == 429
    assert set(error) >= {"message", "type", "param", "code"}
    assert error["code"] == "RATE_LIMITED"
    assert reply.headers["x-should-retry"] == "true"


def test_an_image_s_bytes_are_no_tokens(api: Client, upstream: Upstream, model: str) -> None:
    """450 kB of one are admitted under the default of 100,000 tokens a minute."""
    image = {"url": "data:image/png;base64," + "A" * 450_000}
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": image}]
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    reply = api.new_key().post("/v1/chat/completions", body)
    assert reply.status == 200, reply.body[:500]
    assert len(upstream.calls(model)[0].body) > 450_000
