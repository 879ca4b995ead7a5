"""The router over scripted providers: who is asked, how often, and what is told at the end."""

import asyncio
from collections import Counter
from time import monotonic
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import COST, Scripted, asked, body, failed, model, target
from streams import DONE, Fed, chunk

from modelyard.inference import router as routing
from modelyard.inference.providers.provider import After, Reply
from modelyard.inference.router import Router
from modelyard.inference.snapshot import Model
from modelyard.protocol.errors import Failure
from modelyard.settings import GatewaySettings


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_BACKOFF", 0.001)


def make(**fields: Any) -> Router:
    return Router(GatewaySettings(**fields))


async def refusal(router: Router, one: Model, call: Any = None) -> Failure:
    with pytest.raises(Failure) as caught:
        await router.answer(one, call or asked())
    return caught.value


async def test_the_first_target_answers() -> None:
    a, b = Scripted("a"), Scripted("b")
    call = asked()
    answer = await make().answer(model(target(a), target(b)), call)
    assert (answer.target, answer.provider, answer.model) == ("a/m", "a", "m-1")
    assert (answer.body, answer.finish_reason, answer.cost()) == (body(), "stop", COST)
    assert (len(a.calls), len(b.calls)) == (1, 0)
    (attempt,) = call.attempts
    assert (attempt.id, attempt.target, attempt.outcome, attempt.status) == (
        "req-1",
        "a/m",
        "ok",
        200,
    )
    assert a.calls[0][2] == "req-1"


async def test_the_chain_is_followed_in_its_order() -> None:
    names = ["a", "b", "c", "d"]
    providers = [Scripted(name, failed(f"http_50{n}", After.NEXT)) for n, name in enumerate(names)]
    providers[3].outcomes = [body()]
    call = asked()
    answer = await make().answer(model(*map(target, providers)), call)
    assert answer.target == "d/m"
    assert [len(one.calls) for one in providers] == [1, 1, 1, 1]
    assert [one.target for one in call.attempts] == ["a/m", "b/m", "c/m", "d/m"]
    assert [one.outcome for one in call.attempts] == ["http_500", "http_501", "http_502", "ok"]
    assert len({one.id for one in call.attempts}) == 4
    starts = [one.started for one in call.attempts]
    assert starts == sorted(starts)


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_a_target_is_tried_again_as_often_as_set(retries: int) -> None:
    a, b = Scripted("a", failed()), Scripted("b")
    answer = await make().answer(model(target(a, retries=retries), target(b)), asked())
    assert answer.target == "b/m" and len(a.calls) == retries + 1


async def test_a_retry_may_succeed() -> None:
    a, b = Scripted("a", failed(), body()), Scripted("b")
    call = asked()
    assert (await make().answer(model(target(a), target(b)), call)).target == "a/m"
    assert [one.outcome for one in call.attempts] == ["http_500", "ok"] and not b.calls


async def test_attempts_are_bounded_over_all_targets() -> None:
    providers = [Scripted(name, failed()) for name in "abcdef"]
    call = asked()
    failure = await refusal(
        make(max_attempts=5), model(*(target(one, retries=2) for one in providers)), call
    )
    assert [len(one.calls) for one in providers] == [3, 2, 0, 0, 0, 0]
    assert len(call.attempts) == len(failure.details["attempts"]) == 5


async def test_a_refused_request_is_not_asked_elsewhere() -> None:
    error = {"message": "no such tool", "param": "tools[0]", "code": "x"}
    stop = failed(
        "http_400", After.STOP, status=400, code="INVALID_REQUEST", healthy=True, error=error
    )
    a, b = Scripted("a", stop), Scripted("b")
    router = make()
    failure = await refusal(router, model(target(a, retries=5), target(b)))
    assert failure.code.symbol == "INVALID_REQUEST"
    assert failure.details == {"provider_error": error, "field": "tools[0]"}
    assert (len(a.calls), len(b.calls)) == (1, 0)
    assert router.health("a/m").failures == 0, "a refusal says nothing about the target's health"


async def test_a_short_retry_after_is_waited_for_at_the_last_target() -> None:
    limited = failed("http_429", status=429, retry_after=0.15, code="RATE_LIMITED")
    a = Scripted("a", limited, body())
    start = monotonic()
    assert (await make().answer(model(target(a)), asked())).target == "a/m"
    assert monotonic() - start >= 0.15 and len(a.calls) == 2


async def test_another_target_is_better_than_waiting() -> None:
    a, b = Scripted("a", failed("http_429", status=429, retry_after=5.0)), Scripted("b")
    assert (await make().answer(model(target(a), target(b)), asked())).target == "b/m"
    assert len(a.calls) == 1


@pytest.mark.parametrize(("wait", "total"), [(60.0, 300.0), (5.0, 4.9)])
async def test_a_long_retry_after_is_told_and_not_waited_for(wait: float, total: float) -> None:
    a = Scripted("a", failed("http_429", status=429, retry_after=wait, code="RATE_LIMITED"))
    failure = await refusal(make(), model(target(a, retries=3)), asked(timeout=total))
    assert len(a.calls) == 1
    assert failure.retry_after == wait


async def test_a_limited_target_opens_no_circuit() -> None:
    a = Scripted("a", failed("http_429", status=429, retry_after=60.0))
    router = make(circuit_failures=1)
    for _ in range(3):
        await refusal(router, model(target(a)))
    assert len(a.calls) == 3 and router.health("a/m").opened is None


async def test_equals_that_are_limited_come_last() -> None:
    a, b = Scripted("a", failed("http_429", status=429, retry_after=60.0)), Scripted("b")
    router = make()
    pair = model((target(a), target(b)))
    for _ in range(60):
        assert (await router.answer(pair, asked())).target == "b/m"
    assert len(a.calls) <= 1


async def test_the_circuit_opens_then_probes_then_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [monotonic()]
    monkeypatch.setattr(routing, "monotonic", lambda: now[0])
    a, b = Scripted("a", failed()), Scripted("b")
    router = make(circuit_failures=3, circuit_seconds=15.0)
    chain = model(target(a, retries=0), target(b))
    for count in (1, 2, 3, 3, 3):
        call = asked(timeout=1000.0)
        assert (await router.answer(chain, call)).target == "b/m"
        assert len(a.calls) == count
    assert [one.target for one in call.attempts] == ["b/m"], "what is not called is no attempt"
    now[0] += 16.0
    assert (await router.answer(chain, asked(timeout=1000.0))).target == "b/m"
    assert len(a.calls) == 4, "one probe"
    assert (await router.answer(chain, asked(timeout=1000.0))).target == "b/m"
    assert len(a.calls) == 4, "it failed: open again"
    now[0] += 16.0
    a.outcomes = [body()]
    assert (await router.answer(chain, asked(timeout=1000.0))).target == "a/m"
    assert (await router.answer(chain, asked(timeout=1000.0))).target == "a/m"


async def test_a_half_open_target_takes_one_call_at_a_time() -> None:
    go = asyncio.Event()

    async def slow() -> Reply:
        await go.wait()
        reply = Fed()
        reply.body = body()
        return reply

    a, b = Scripted("a", failed(), slow), Scripted("b")
    router = make(circuit_failures=1, circuit_seconds=0.01)
    chain = model(target(a, retries=0), target(b))
    await router.answer(chain, asked())
    await asyncio.sleep(0.05)
    many = [asyncio.ensure_future(router.answer(chain, asked())) for _ in range(10)]
    await asyncio.sleep(0.05)
    assert len(a.calls) == 2
    go.set()
    targets = Counter(answer.target for answer in await asyncio.gather(*many))
    assert targets == {"a/m": 1, "b/m": 9}


async def test_when_every_circuit_is_open_nobody_is_called() -> None:
    a = Scripted("a", failed(code="PROVIDER_UNAVAILABLE"))
    router = make(circuit_failures=1)
    await refusal(router, model(target(a, retries=0)))
    failure = await refusal(router, model(target(a, retries=0)))
    assert failure.code.symbol == "PROVIDER_UNAVAILABLE" and failure.retry_after is not None
    assert len(a.calls) == 1


async def test_no_time_left() -> None:
    a = Scripted("a")
    call = asked(timeout=0.01)
    await asyncio.sleep(0.02)
    failure = await refusal(make(), model(target(a)), call)
    assert failure.code.symbol == "INFERENCE_TIMEOUT" and failure.status == 504 and not a.calls


async def test_deadlines_are_the_targets_within_the_calls() -> None:
    a, b = Scripted("a", failed(after=After.NEXT)), Scripted("b")
    settings_a = {"connect_timeout": 1.0, "first_byte_timeout": 2.0, "idle_timeout": 3.0}
    await make().answer(model(target(a, **settings_a), target(b)), asked(timeout=2000.0))
    one, two = a.calls[0][1], b.calls[0][1]
    assert (one.connect, one.first_byte, one.idle) == (1.0, 2.0, 3.0)
    assert 1900.0 < two.total <= one.total <= 2000.0


async def test_a_cancelled_call_is_recorded_and_frees_the_target() -> None:
    async def forever() -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    a = Scripted("a", forever)
    router, call = make(), asked()
    task = asyncio.ensure_future(router.answer(model(target(a)), call))
    await asyncio.sleep(0)
    assert router.health("a/m").running == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    health = router.health("a/m")
    assert (health.running, health.failures, a.cancelled) == (0, 0, 1)
    assert [one.outcome for one in call.attempts] == ["cancelled"]


@pytest.mark.parametrize(
    "bad", [b"", b"{", b"[]", b"null", b'{"choices": []}', b'{"choices": 1}', b"\xff", b"[" * 9999]
)
async def test_an_answer_that_is_none(bad: bytes) -> None:
    a, b = Scripted("a", bad), Scripted("b")
    assert (await make().answer(model(target(a, retries=0), target(b)), asked())).target == "b/m"


async def test_codes_of_all_the_failures_decide_what_is_told() -> None:
    slow = failed("timeout_first_byte", After.NEXT, code="INFERENCE_TIMEOUT")
    broken = failed("http_500", After.NEXT, code="PROVIDER_ERROR")
    for outcomes, code in (
        ((slow, slow), "INFERENCE_TIMEOUT"),
        ((broken, broken), "PROVIDER_ERROR"),
        ((slow, broken), "PROVIDER_UNAVAILABLE"),
    ):
        chain = model(*(target(Scripted(str(n), one)) for n, one in enumerate(outcomes)))
        failure = await refusal(make(), chain)
        assert failure.code.symbol == code
        assert [one["reason"] for one in failure.details["attempts"]] == [
            one.reason for one in outcomes
        ]


# -- streams


async def streamed(*pieces: bytes) -> Reply:
    reply = Fed()
    asyncio.get_running_loop().call_soon(lambda: [reply.piece(piece) for piece in pieces])
    return reply


async def test_a_stream_that_fails_before_its_first_token_is_asked_elsewhere() -> None:
    role = b'data: {"choices": [{"index": 0, "delta": {"role": "assistant"}}]}\n\n'
    a = Scripted("a", lambda: streamed(role, b'data: {"error": "boom"}\n\n'))
    b = Scripted("b", lambda: streamed(role, chunk("hi"), chunk("", "stop"), DONE))
    call = asked(stream=True)
    answer = await make().answer(model(target(a, retries=0), target(b)), call)
    assert answer.log is not None
    await answer.log.over()
    assert answer.log.text() == "hi" and answer.target == "b/m"
    assert [one.outcome for one in call.attempts] == ["error_event", "ok"]


async def test_a_stream_that_breaks_later_is_a_failure_of_its_target() -> None:
    reply = Fed()

    async def first() -> Reply:
        asyncio.get_running_loop().call_soon(lambda: reply.piece(chunk("hi")))
        return reply

    a, b = Scripted("a", first), Scripted("b")
    router, call = make(), asked(stream=True)
    answer = await router.answer(model(target(a), target(b)), call)
    assert router.health("a/m").running == 1
    reply.end(ConnectionResetError())
    assert answer.log is not None and answer.log.error is not None
    assert not b.calls and call.attempts[0].outcome == "cut_short"
    assert (router.health("a/m").running, router.health("a/m").failures) == (0, 1)


async def test_a_stream_that_nobody_reads_is_no_failure() -> None:
    a = Scripted("a", lambda: streamed(chunk("hi")))
    router = make()
    answer = await router.answer(model(target(a)), asked(stream=True))
    assert answer.log is not None
    answer.log.close()
    assert (router.health("a/m").running, router.health("a/m").failures) == (0, 0)


# -- equals


async def test_weights_are_kept() -> None:
    providers = {name: Scripted(name) for name in "abc"}
    weights = {"a": 1.0, "b": 3.0, "c": 6.0}
    group = tuple(target(one, weight=weights[name]) for name, one in providers.items())
    router = make()
    router._random.seed(7)
    for _ in range(4000):
        await router.answer(model(group), asked())
    for name, one in providers.items():
        assert abs(len(one.calls) / 4000 - weights[name] / 10) < 0.03
    assert sum(len(one.calls) for one in providers.values()) == 4000


async def test_the_least_loaded_is_asked() -> None:
    go = asyncio.Event()

    async def slow() -> Reply:
        await go.wait()
        reply = Fed()
        reply.body = body()
        return reply

    providers = [Scripted(name, slow) for name in "abc"]
    weights = (1.0, 1.0, 2.0)
    group = tuple(target(p, weight=w) for p, w in zip(providers, weights, strict=True))
    router = make()
    pair = model(group, balance="least_loaded")
    tasks = []
    for _ in range(40):
        tasks.append(asyncio.ensure_future(router.answer(pair, asked())))
        await asyncio.sleep(0)
    assert [len(one.calls) for one in providers] in ([10, 10, 20], [10, 11, 19], [11, 10, 19])
    go.set()
    await asyncio.gather(*tasks)
    assert all(router.health(one.name).running == 0 for one in group)


OUTCOMES = st.sampled_from(["ok", "retry", "next", "limited", "garbage"])


@settings(max_examples=120)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(OUTCOMES, min_size=1, max_size=4)), min_size=1,
             max_size=5),
    st.integers(1, 8),
)  # fmt: skip
async def test_any_providers(plans: list[tuple[int, list[str]]], most: int) -> None:
    """Every upstream call is one attempt on record, and none is made after an answer."""
    made = {
        "ok": body(),
        "retry": failed(),
        "next": failed("http_404", After.NEXT),
        "limited": failed("http_429", status=429, retry_after=30.0),
        "garbage": b"{",
    }
    providers = [Scripted(str(n), *(made[o] for o in plan)) for n, (_, plan) in enumerate(plans)]
    chain = model(*(target(p, retries=r) for p, (r, _) in zip(providers, plans, strict=True)))
    router, call = make(max_attempts=most), asked()
    try:
        answer = await router.answer(chain, call)
    except Failure:
        assert all(one.outcome != "ok" for one in call.attempts)
    else:
        assert [one.outcome for one in call.attempts].index("ok") == len(call.attempts) - 1
        assert answer.target == call.attempts[-1].target
    assert len(call.attempts) == sum(len(one.calls) for one in providers) <= most
    assert all(len(p.calls) <= r + 1 for p, (r, _) in zip(providers, plans, strict=True))
    order = [int(one.target.split("/")[0]) for one in call.attempts]
    assert order == sorted(order)
    assert all(health.running == 0 for health in router.states().values())
