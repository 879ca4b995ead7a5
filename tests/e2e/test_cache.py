"""The exact cache: what may be answered twice from one upstream call, and what never."""

import json
import time
from typing import Any

import pytest

from e2e.client import Client, chat_body
from e2e.conftest import models, providers
from e2e.outcome import chat
from patience import until
from upstream.plan import Plan
from upstream.server import Upstream


def test_the_second_identical_request_is_a_hit(api: Client, upstream: Upstream, model: str) -> None:
    first, second = api.chat(model), api.chat(model)
    assert first.headers["x-modelyard-cache"] == "miss"
    assert second.headers["x-modelyard-cache"] == "l1"
    assert second.json["choices"] == first.json["choices"]
    assert float(first.headers["x-modelyard-cost"]) > 0
    assert float(second.headers["x-modelyard-cost"]) == 0
    assert len(upstream.calls(model)) == 1


def test_streams_too(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=60))
    first, second = chat(api, model), chat(api, model)
    assert first.whole(60) and second.whole(60)
    assert second.headers["x-modelyard-cache"] == "l1"
    assert len(upstream.calls(model)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": "hello "}]},
        {"messages": [{"role": "system", "content": "hello"}]},
        {"max_tokens": 2},
        {"seed": 1},
        {"top_p": 0.5},
        {"stop": ["x"]},
        {"n": 2},
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"logprobs": True},
        {"some_future_field": 1},
    ],
    ids=str,
)
def test_whatever_changes_the_answer_is_in_the_key(
    api: Client, upstream: Upstream, model: str, change: dict[str, Any]
) -> None:
    assert api.chat(model).status == 200
    reply = api.chat(model, **change)
    assert reply.headers["x-modelyard-cache"] == "miss"
    assert len(upstream.calls(model)) == 2


def test_another_model_misses(api: Client, upstream: Upstream, model: str, chain: str) -> None:
    api.chat(model)
    assert api.chat(chain).headers["x-modelyard-cache"] == "miss"
    assert len(upstream.calls(model)) == len(upstream.calls(chain)) == 1


def test_samples_are_never_repeated(api: Client, upstream: Upstream, model: str) -> None:
    replies = [api.chat(model, temperature=1) for _ in range(3)]
    assert {reply.headers["x-modelyard-cache"] for reply in replies} == {"off"}
    assert len(upstream.calls(model)) == 3


def test_without_a_temperature_it_is_a_sample(api: Client, upstream: Upstream, model: str) -> None:
    """OpenAI's default temperature is 1."""
    body = {"model": model, "messages": [{"role": "user", "content": "a"}]}
    for _ in range(2):
        assert api.post("/v1/chat/completions", body).headers["x-modelyard-cache"] == "off"
    assert len(upstream.calls(model)) == 2


def test_a_request_may_opt_in(api: Client, upstream: Upstream, model: str) -> None:
    on = {"X-Modelyard-Cache": "on"}
    states = [
        api.chat(model, temperature=1, headers=on).headers["x-modelyard-cache"] for _ in range(2)
    ]
    assert states == ["miss", "l1"]
    assert len(upstream.calls(model)) == 1


def test_a_request_may_opt_out(api: Client, upstream: Upstream, model: str) -> None:
    off = {"X-Modelyard-Cache": "off"}
    states = [api.chat(model, headers=off).headers["x-modelyard-cache"] for _ in range(2)]
    assert states == ["off", "off"]
    assert len(upstream.calls(model)) == 2


def test_a_key_may_opt_in(api: Client, upstream: Upstream, model: str) -> None:
    key = api.new_key(cache_samples=True)
    states = [key.chat(model, temperature=1).headers["x-modelyard-cache"] for _ in range(2)]
    assert states == ["miss", "l1"]
    assert len(upstream.calls(model)) == 1


def test_no_answer_crosses_a_workspace(api: Client, upstream: Upstream, model: str) -> None:
    mine, theirs = api.new_key(workspace="mine"), api.new_key(workspace="theirs")
    colleague = api.new_key(workspace="mine")
    states = [key.chat(model).headers["x-modelyard-cache"] for key in (mine, theirs, colleague)]
    assert states == ["miss", "miss", "l1"]
    assert len(upstream.calls(model)) == 2


def test_a_failure_is_not_kept(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(status=400), Plan())
    assert api.chat(model).status == 400
    second = api.chat(model)
    assert second.status == 200 and second.headers["x-modelyard-cache"] == "miss"
    assert len(upstream.calls(model)) == 2


@pytest.mark.parametrize("clean", [False, True])
def test_a_cut_answer_is_not_kept(api: Client, upstream: Upstream, model: str, clean: bool) -> None:
    cut = Plan(tokens=60, cut_after=40, cut_clean=clean, between=0.002)  # some of it is sent
    upstream.on(model, cut, Plan(tokens=60))
    assert chat(api, model).clean_error()
    second = chat(api, model)
    assert second.whole(60) and second.headers["x-modelyard-cache"] == "miss"
    assert len(upstream.calls(model)) == 2


def test_a_stream_that_its_client_left_is_not_kept(
    api: Client, upstream: Upstream, model: str
) -> None:
    upstream.on(model, Plan(tokens=60, between=0.05), Plan(tokens=60))
    stream = api.chat_stream(model)
    next(stream.events())
    stream.close()
    upstream.wait_for(lambda: upstream.calls(model)[0].closed_at is not None)
    assert chat(api, model).headers["x-modelyard-cache"] == "miss"
    assert len(upstream.calls(model)) == 2


def test_embeddings_are_kept(api: Client, upstream: Upstream, model: str) -> None:
    body = {"model": model, "input": ["a", "b"]}
    replies = [api.post("/v1/embeddings", body) for _ in range(2)]
    assert replies[1].headers["x-modelyard-cache"] == "l1"
    assert replies[0].json == replies[1].json
    assert len(upstream.calls(model)) == 1


def test_clear_cache(api: Client, upstream: Upstream, model: str) -> None:
    for level in ("l1", "all"):
        api.chat(model, level)
        cleared = api.post(f"/v1/ai-inference/clear-cache?level={level}", b"")
        assert cleared.status == 200, cleared.body
        assert cleared.json["success"] is True and cleared.json["level"] == level
        assert cleared.json["timestamp"]
        assert api.chat(model, level).headers["x-modelyard-cache"] == "miss"
    assert len(upstream.calls(model)) == 4


def test_clear_cache_knows_its_levels(api: Client) -> None:
    reply = api.post("/v1/ai-inference/clear-cache?level=l9", b"")
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
    assert "level" in reply.message


def test_clearing_is_for_one_s_own_workspace(api: Client, upstream: Upstream, model: str) -> None:
    scopes = ["inference:create", "cache:write"]
    one, other = (api.new_key(workspace=f"clear-{n}", scopes=scopes) for n in (1, 2))
    one.chat(model)
    assert other.post("/v1/ai-inference/clear-cache?level=l1", b"").status == 200
    assert one.chat(model).headers["x-modelyard-cache"] == "l1"


def test_it_can_be_turned_off(serve: Any, upstream: Upstream, model: str) -> None:
    server = serve("[cache]\nl1_entries = 0\n" + providers(upstream, upstream) + models())
    api = Client(server.url, server.key)
    for _ in range(2):
        assert api.chat(model).headers["x-modelyard-cache"] != "l1"
    assert len(upstream.calls(model)) == 2


def test_it_is_bounded_and_expires(serve: Any, upstream: Upstream, model: str) -> None:
    config = "[cache]\nl1_entries = 2\nl1_ttl = 1.0\n" + providers(upstream, upstream) + models()
    server = serve(config)
    api = Client(server.url, server.key)
    for text in ("a", "b", "c"):
        api.chat(model, text)
    until(lambda: api.chat(model, "c").headers["x-modelyard-cache"] == "l1")
    assert api.chat(model, "a").headers["x-modelyard-cache"] == "miss"
    calls = len(upstream.calls(model))
    time.sleep(1.1)
    assert api.chat(model, "a").headers["x-modelyard-cache"] == "miss"
    assert len(upstream.calls(model)) == calls + 1


def test_of_a_member_that_is_there_twice_what_has_the_key_is_asked(
    api: Client, upstream: Upstream, model: str
) -> None:
    """A provider that takes the first would answer another question than the one that is kept."""
    asked = json.dumps(chat_body(model, "other"))[1:]
    twice = '{"messages": [{"role": "user", "content": "one"}], ' + asked
    assert api.post("/v1/chat/completions", twice.encode()).status == 200
    assert api.chat(model, "other").headers["x-modelyard-cache"] == "l1"
    (call,) = upstream.calls(model)
    assert b"one" not in call.body and call.json["messages"][0]["content"] == "other"
