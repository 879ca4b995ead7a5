"""Identical requests in flight share one upstream call, and one cost."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from e2e.client import Client, Reply, hang_up, text_of, together
from e2e.conftest import INPUT, OUTPUT
from e2e.outcome import chat
from patience import until
from upstream.plan import Plan
from upstream.server import Upstream

ONE_COST = (10 * INPUT + 3 * OUTPUT) / 1e6


def cost_in_the_log(api: Client, ids: list[str]) -> float:
    return sum(api.trace(request_id)["actual_cost"] or 0 for request_id in ids)


@pytest.mark.parametrize("stream", [False, True])
def test_fifty_share_one_call(api: Client, upstream: Upstream, model: str, stream: bool) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(gate=gate))
    ids = [f"{model}-{stream}-{number}" for number in range(50)]

    def ask(number: int) -> str:
        headers = {"X-Request-ID": ids[number]}
        if stream:
            outcome = chat(api, model, headers=headers)
            assert outcome.whole(3), outcome
            return outcome.headers["x-modelyard-cache"]
        reply = api.chat(model, headers=headers)
        assert reply.json["choices"][0]["message"]["content"] == "w0 w1 w2 "
        return reply.headers["x-modelyard-cache"]

    def open_when_all_wait() -> None:
        api.wait_running(50)
        gate.set()

    opener = threading.Thread(target=open_when_all_wait)
    opener.start()
    states = together(50, ask)
    opener.join()
    assert len(upstream.calls(model)) == 1
    assert states.count("miss") == 1
    assert set(states) <= {"miss", "shared", "l1"}
    assert states.count("shared") >= 1
    assert cost_in_the_log(api, ids) == pytest.approx(ONE_COST)


def test_samples_are_never_shared(api: Client, upstream: Upstream, model: str) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(gate=gate))
    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(api.chat, model, temperature=1) for _ in range(10)]
        upstream.wait_calls(10, model)
        gate.set()
        assert all(one.result().status == 200 for one in asked)
    assert len(upstream.calls(model)) == 10


def test_n_samples_stay_n(api: Client, upstream: Upstream, model: str) -> None:
    replies = together(4, lambda _: api.chat(model, temperature=1, n=3))
    assert all(len(reply.json["choices"]) == 3 for reply in replies)
    assert len(upstream.calls(model)) == 4


def test_workspaces_never_share(api: Client, upstream: Upstream, model: str) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(gate=gate))
    keys = [api.new_key(workspace=f"flight-{n}") for n in range(3)]
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(key.chat, model) for key in keys]
        upstream.wait_calls(3, model)
        gate.set()
        assert {one.result().headers["x-modelyard-cache"] for one in asked} == {"miss"}
    assert len(upstream.calls(model)) == 3


def test_two_keys_of_a_workspace_share(api: Client, upstream: Upstream, model: str) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(gate=gate))
    keys = [api.new_key(workspace="flight-same") for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(key.chat, model) for key in keys]
        api.wait_running(2)
        gate.set()
        states = sorted(one.result().headers["x-modelyard-cache"] for one in asked)
    assert states == ["miss", "shared"]
    assert len(upstream.calls(model)) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_caller_leaves_and_the_others_are_answered(
    api: Client, upstream: Upstream, model: str, stream: bool
) -> None:
    gate = threading.Event()
    plan = Plan(tokens=20, gate=gate, gate_after=5) if stream else Plan(tokens=20, gate=gate)
    upstream.on(model, plan)
    body = {"model": model, "messages": [{"role": "user", "content": "x"}], "temperature": 0}
    ids = [f"left-{model}-{stream}", *(f"stay-{model}-{stream}-{n}" for n in range(3))]
    leader = api.open(
        "POST",
        "/v1/chat/completions",
        body | {"stream": stream},
        {"X-Request-ID": ids[0]},
    )
    upstream.wait_calls(1, model)
    with ThreadPoolExecutor(3) as pool:
        asked = [
            pool.submit(
                api.post,
                "/v1/chat/completions",
                body | {"stream": stream},
                {"X-Request-ID": request_id},
            )
            for request_id in ids[1:]
        ]
        api.wait_running(4)
        hang_up(leader)
        threading.Event().wait(0.2)
        gate.set()
        replies = [one.result() for one in asked]
    expected = "".join(f"w{n} " for n in range(20))
    for reply in replies:
        assert reply.status == 200
        if stream:
            assert reply.events[-1] == "[DONE]" and text_of(reply.events) == expected
        else:
            assert reply.json["choices"][0]["message"]["content"] == expected
    assert len(upstream.calls(model)) == 1
    one_cost = (10 * INPUT + 20 * OUTPUT) / 1e6
    assert cost_in_the_log(api, ids) == pytest.approx(one_cost), "somebody pays, once"


def test_a_late_follower_gets_the_stream_from_its_start(
    api: Client, upstream: Upstream, model: str
) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(tokens=20, gate=gate, gate_after=15))
    first = api.chat_stream(model)
    events = first.events()
    for _ in range(10):
        next(events)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(chat, api, model)
        api.wait_running(2)
        gate.set()
        outcome = late.result()
    assert outcome.whole(20)
    assert outcome.headers["x-modelyard-cache"] == "shared"
    assert list(events)[-1].data == "[DONE]"
    assert len(upstream.calls(model)) == 1


def test_a_slow_follower_does_not_stall_the_leader(
    api: Client, upstream: Upstream, model: str
) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(tokens=5000, gate=gate, gate_after=2))
    with ThreadPoolExecutor(1) as pool:
        quick = pool.submit(chat, api, model)
        upstream.wait_calls(1, model)
        slow = api.chat_stream(model)  # reads nothing until the leader is done
        gate.set()
        assert quick.result(60).whole(5000)
    told = [event.data for event in slow.events()]
    assert told[-1] == "[DONE]" and text_of(told).endswith("w4999 ")
    assert len(upstream.calls(model)) == 1


@pytest.mark.parametrize(
    ("plan", "status"), [(Plan(status=400), 400), (Plan(status=503), 503)], ids=["400", "503"]
)
def test_a_failure_is_shared_and_costs_nothing(
    api: Client, upstream: Upstream, model: str, plan: Plan, status: int
) -> None:
    gate = threading.Event()
    upstream.on(model, replace(plan, gate=gate))
    ids = [f"failed-{model}-{number}" for number in range(10)]
    with ThreadPoolExecutor(10) as pool:
        asked = [
            pool.submit(api.chat, model, headers={"X-Request-ID": request_id}) for request_id in ids
        ]
        api.wait_running(10)
        gate.set()
        assert {one.result().status for one in asked} == {status}
    assert len(upstream.calls(model)) <= 2
    assert cost_in_the_log(api, ids) == 0


def test_different_surfaces_do_not_mix(api: Client, upstream: Upstream, model: str) -> None:
    """The native surface asks for a chat too; sharing is fine, its form must be right."""
    gate = threading.Event()
    upstream.on(model, Plan(gate=gate))
    with ThreadPoolExecutor(2) as pool:
        vendor = pool.submit(api.chat, model, "x")
        native: Any = pool.submit(api.infer, "x", model_name=model, temperature=0)
        api.wait_running(2)
        gate.set()
        assert vendor.result().json["object"] == "chat.completion"
        assert native.result().json["response"] == "w0 w1 w2 "
    assert len(upstream.calls(model)) in (1, 2)


def test_a_follower_s_own_timeout_ends_its_stream_alone(
    api: Client, upstream: Upstream, model: str
) -> None:
    gate = threading.Event()
    upstream.on(model, Plan(tokens=20, gate=gate, gate_after=5))
    path = "/v1/ai-inference/inference"
    body = {"prompt": "x", "model_name": model, "stream": True, "temperature": 0}
    leader = api.stream(path, body | {"timeout_seconds": 300})
    events = leader.events()
    next(events)
    numbers = itertools.count()

    def followed() -> Reply | None:  # where we stand still its time is over before its beginning
        headers = {"X-Request-ID": f"impatient-{model}-{next(numbers)}"}
        told = api.stream(path, body | {"timeout_seconds": 1}, headers).read()
        assert told.status in (200, 504)
        return told if told.status == 200 else None

    told = until(followed)
    assert told.headers["x-modelyard-cache"] == "shared"
    last = json.loads(told.events[-1])
    assert (last["type"], last["code"]) == ("error", "TIMEOUT")
    assert "[DONE]" not in told.events
    gate.set()
    rest = [event.data for event in events]
    assert rest[-1] == "[DONE]" and json.loads(rest[-2])["data"]["output_tokens"] == 20
    assert api.trace(f"impatient-{model}-{next(numbers) - 1}")["status"] == 504
    assert len(upstream.calls(model)) == 1
