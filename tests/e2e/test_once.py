"""``Idempotency-Key`` on inference: the model is asked once, the answer given again."""

import json
import threading
from typing import Any

import openai
import pytest

from e2e.client import Client, Reply, chat_body, hang_up, together
from e2e.outcome import chat
from e2e.sdk import done, items, said, user
from patience import until
from serving import Server
from upstream.plan import Plan
from upstream.server import Upstream

CHAT = "/v1/chat/completions"
SURFACES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": user("hi"), "temperature": 1},
    "/api" + CHAT: {"messages": user("hi"), "temperature": 1, "stream": True},
    "/v1/completions": {"prompt": "hi", "temperature": 1},
    "/v1/ai-inference/inference": {"prompt": "hi", "use_cache": False},
    "/v1/messages": {"messages": user("hi"), "max_tokens": 9, "stream": True},
    "/v1beta/models/{}:generateContent": {"contents": [{"parts": [{"text": "hi"}]}]},
    "/v1beta/models/{}:streamGenerateContent": {"contents": [{"parts": [{"text": "hi"}]}]},
}


def under(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def replayed(reply: Reply) -> bool:
    return reply.headers.get("idempotency-replayed") == "true"


async def test_the_official_client_is_answered_once(
    sdk: Any, upstream: Upstream, model: str
) -> None:
    ask = {"model": model, "messages": user("hi"), "temperature": 1, "extra_headers": under(model)}
    first = await done(sdk.chat.completions.create(**ask))
    again = await done(sdk.chat.completions.create(**ask))
    assert again == first
    with pytest.raises(openai.UnprocessableEntityError) as told:
        await done(sdk.chat.completions.create(**ask | {"messages": user("ho")}))
    assert told.value.code == "IDEMPOTENCY_KEY_REUSED"
    asked = ask | {"stream": True, "extra_headers": under(f"{model}-stream")}
    streams = [await items(sdk.chat.completions.create(**asked)) for _ in range(2)]
    assert said(streams[0]) == "w0 w1 w2 "
    assert streams[0] == streams[1]
    assert len(upstream.calls(model)) == 2


@pytest.mark.parametrize("path", SURFACES)
def test_every_surface_repeats_byte_for_byte(
    api: Client, upstream: Upstream, model: str, path: str
) -> None:
    body = SURFACES[path] if "{}" in path else SURFACES[path] | {"model": model}
    ids = [f"{model}-{number}" for number in range(3)]
    replies = [
        api.post(path.format(model), body, under(f'"{model}"') | {"X-Request-ID": one})
        for one in ids
    ]
    assert [(one.status, replayed(one)) for one in replies] == [(200, False)] + [(200, True)] * 2
    assert len({one.body for one in replies}) == 1
    assert len({one.headers["content-type"] for one in replies}) == 1
    assert [one.headers["x-request-id"] for one in replies] == ids
    assert {one.headers["idempotency-key"] for one in replies} == {f'"{model}"'}
    assert len(upstream.calls(model)) == 1
    assert api.trace(ids[0])["status"] == 200
    assert [one["request_id"] for one in api.log(model=model)] == ids[:1]


def test_those_who_come_together_make_one_call(
    server: Server, upstream: Upstream, model: str
) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(gate=gate))
    api = Client(server.url, server.key)

    def ask(number: int) -> str:
        if number == 0:  # those that come second are told to wait, and do
            upstream.wait_for(lambda: upstream.calls(model))
            reply = api.chat(model, temperature=1, headers=under(model))
            assert (reply.status, reply.code) == (409, "IDEMPOTENCY_IN_PROGRESS")
            assert int(reply.headers["retry-after"]) >= 1
            gate.set()
        with openai.OpenAI(base_url=server.url + "/v1", api_key=server.key, max_retries=99) as sdk:
            made = sdk.chat.completions.create(
                model=model, messages=user("hello"), temperature=0, extra_headers=under(model + "b")
            )
        return made.id

    holder = threading.Thread(target=api.chat, args=(model,), kwargs=_held(model))
    holder.start()
    assert len(set(together(8, ask))) == 1
    holder.join()
    assert len(upstream.calls(model)) == 2


def _held(model: str) -> dict[str, Any]:
    return {"temperature": 1, "headers": under(model)}


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_left_finds_its_answer(
    api: Client, upstream: Upstream, model: str, stream: bool
) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(gate=gate))
    body = chat_body(model, temperature=1, stream=stream)
    connection = api.open("POST", CHAT, body, under(model))
    upstream.wait_for(lambda: upstream.calls(model))
    hang_up(connection)
    gate.set()

    def found() -> bool:
        reply = api.post(CHAT, body, under(model))
        assert reply.status == 200 or reply.code == "IDEMPOTENCY_IN_PROGRESS", reply.body
        return reply.status == 200 and replayed(reply)

    until(found)
    assert len(upstream.calls(model)) == 1


def test_what_failed_may_be_asked_again(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(cut_after=2), Plan())
    assert api.chat("unknown", temperature=1, headers=under(model)).status == 404
    cut = chat(api, model, temperature=1, headers=under(model))
    assert cut.error is not None and cut.error["code"] == "PROVIDER_UNAVAILABLE"
    whole = chat(api, model, temperature=1, headers=under(model))
    assert whole.whole(3), whole
    assert "idempotency-replayed" not in whole.headers
    again = chat(api, model, temperature=1, headers=under(model))
    assert (again.text, again.headers["idempotency-replayed"]) == (whole.text, "true")
    assert len(upstream.calls(model)) == 2


def test_a_key_is_its_callers_own(api: Client, upstream: Upstream, model: str) -> None:
    other = api.new_key(scopes=["inference:create"])
    replies = [one.chat(model, temperature=1, headers=under(model)) for one in (api, other)]
    assert [replayed(one) for one in replies] == [False, False]
    assert len(upstream.calls(model)) == 2
    unknown = api.with_key("mk-nobody").chat(model, temperature=1, headers=under(model))
    assert unknown.status == 401


@pytest.mark.parametrize("key", ["", '""', "k" * 256, "\xe9"])
def test_a_key_that_is_none_is_refused(
    api: Client, upstream: Upstream, model: str, key: str
) -> None:
    reply = api.chat(model, temperature=1, headers=under(key))
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
    assert json.loads(reply.body)["error"]["param"] == "Idempotency-Key"
    assert upstream.calls(model) == []


GATEWAY = "/v1/ai-inference/inference"


def named(model: str, name: str, **more: Any) -> dict[str, Any]:
    """A body that names its request."""
    return {"prompt": "hi", "model": model, "use_cache": False, "request_id": name} | more


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_body_names_is_answered_once(
    api: Client, upstream: Upstream, model: str, stream: bool
) -> None:
    body = named(model, f"order-{model}", stream=stream)
    replies = [api.post(GATEWAY, body) for _ in range(2)]
    replies.append(api.post(GATEWAY, body, {"X-Request-ID": f"third-{model}"}))
    assert [(one.status, replayed(one)) for one in replies] == [(200, False)] + [(200, True)] * 2
    assert len({one.body for one in replies}) == 1
    assert f'"request_id":"order-{model}"'.encode() in replies[0].body
    assert "idempotency-key" not in replies[0].headers
    ids = [one.headers["x-request-id"] for one in replies]
    assert ids == [f"order-{model}", f"order-{model}", f"third-{model}"]
    assert api.trace(f"order-{model}")["status"] == 200
    other = api.post(GATEWAY, body | {"prompt": "ho"})
    assert (other.status, other.code) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert other.json["error"]["details"]["field"] == "request_id"
    assert "Idempotency-Key" not in other.json["error"]["message"]
    assert len(upstream.calls(model)) == 1


def test_a_name_in_the_body_is_told_to_wait(api: Client, upstream: Upstream, model: str) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(gate=gate))
    body = named(model, model)
    first = threading.Thread(target=api.post, args=(GATEWAY, body))
    first.start()
    upstream.wait_for(lambda: upstream.calls(model))
    reply = api.post(GATEWAY, body)
    gate.set()
    first.join()
    assert (reply.status, reply.code) == (409, "IDEMPOTENCY_IN_PROGRESS")
    assert reply.json["error"]["details"]["field"] == "request_id"
    assert int(reply.headers["retry-after"]) >= 1
    assert replayed(api.post(GATEWAY, body))


def test_the_header_goes_before_the_body(api: Client, upstream: Upstream, model: str) -> None:
    body = named(model, f"order-{model}")
    one, two = (api.post(GATEWAY, body, under(f"{model}-{number}")) for number in range(2))
    assert [replayed(one), replayed(two)] == [False, False]
    assert one.json["request_id"] == two.json["request_id"] == f"order-{model}"
    assert one.headers["idempotency-key"] == f"{model}-0"
    again = api.post(GATEWAY, body, under(f"{model}-0"))
    assert (again.body, replayed(again)) == (one.body, True)
    alone = api.post(GATEWAY, body)
    assert (alone.status, replayed(alone)) == (200, False)
    assert len(upstream.calls(model)) == 3


def test_what_failed_under_a_name_may_be_asked_again(
    api: Client, upstream: Upstream, model: str
) -> None:
    wrong = api.post(GATEWAY, named("unknown", model))
    assert wrong.status == 404
    assert wrong.json["error"]["request_id"] == model
    replies = [api.post(GATEWAY, named(model, model)) for _ in range(2)]
    assert [(one.status, replayed(one)) for one in replies] == [(200, False), (200, True)]
    assert len(upstream.calls(model)) == 1


@pytest.mark.parametrize("name", ["", "a b", "a\n", "n" * 129, "\xe9"])
def test_a_name_that_is_none_is_refused(
    api: Client, upstream: Upstream, model: str, name: str
) -> None:
    reply = api.post(GATEWAY, named(model, name))
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
    assert reply.json["error"]["details"]["field"] == "request_id"
    assert upstream.calls(model) == []


def test_jobs_whose_bodies_have_one_name_ask_once(
    api: Client, upstream: Upstream, model: str
) -> None:
    results = []
    for _ in range(2):
        taken = api.post(GATEWAY, named(model, model), {"Prefer": "respond-async"})
        assert taken.status == 202, taken.body
        ended = api.post(f"/v1/{taken.json['name']}:wait", {"timeout_seconds": 60})
        assert ended.json["done"], ended.body
        results.append(ended.json["response"])
    assert results[0] == results[1]
    assert results[0]["request_id"] == model
    assert len(upstream.calls(model)) == 1
