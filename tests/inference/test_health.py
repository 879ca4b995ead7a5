"""The circuit breaker of a target."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import Scripted, asked, body, failed, model, target
from streams import DONE, Fed, chunk

from modelyard.inference.health import Health
from modelyard.inference.providers.provider import Reply
from modelyard.inference.router import Router
from modelyard.settings import GatewaySettings

OPEN = 15.0  # seconds
THRESHOLD = 3


def test_closed_open_half_open_closed() -> None:
    health = Health()
    for number in range(THRESHOLD):
        assert health.state(0.0, OPEN) == "closed" and health.admits(0.0, OPEN)
        health.begin()
        health.fail(float(number), "http_500", THRESHOLD)
    opened = THRESHOLD - 1.0
    assert health.state(opened + 1, OPEN) == "open" and not health.admits(opened + 1, OPEN)
    assert not health.admits(opened + OPEN - 0.001, OPEN)
    assert health.state(opened + OPEN, OPEN) == "half_open"
    health.begin()
    assert not health.admits(opened + OPEN, OPEN), "one probe at a time"
    health.succeed(0.1, 0.05)
    assert health.state(opened + OPEN, OPEN) == "closed" and health.failures == 0


def test_a_probe_that_fails_opens_it_again() -> None:
    health = Health()
    for _ in range(THRESHOLD):
        health.begin()
        health.fail(0.0, "refused", THRESHOLD)
    health.begin()
    health.fail(OPEN, "refused", THRESHOLD)
    assert health.state(OPEN + 1, OPEN) == "open"
    assert health.admits(2 * OPEN, OPEN)


def test_a_probe_that_tells_nothing_lets_the_next_try() -> None:
    health = Health()
    for _ in range(THRESHOLD):
        health.begin()
        health.fail(0.0, "refused", THRESHOLD)
    health.begin()
    health.end()
    assert health.state(OPEN, OPEN) == "half_open" and health.admits(OPEN, OPEN)


def test_only_failures_in_a_row_open_it() -> None:
    health = Health()
    for number in range(50):
        health.begin()
        if number % THRESHOLD == THRESHOLD - 1:
            health.succeed(0.1, 0.1)
        else:
            health.fail(float(number), "http_500", THRESHOLD)
        assert health.state(float(number), OPEN) == "closed"


def test_averages_follow_what_is_measured() -> None:
    health = Health()
    for seconds in [1.0] + [2.0] * 100:
        health.begin()
        health.succeed(seconds, seconds / 2)
    assert health.latency is not None and 1.99 < health.latency <= 2.0
    assert health.first_byte is not None and 0.99 < health.first_byte <= 1.0


@given(st.lists(st.tuples(st.sampled_from("bsfe"), st.floats(0, 10)), max_size=60))
def test_whatever_happens_the_counts_hold(steps: list[tuple[str, float]]) -> None:
    health, now, running, begun = Health(), 0.0, 0, 0
    for step, pause in steps:
        now += pause
        if step == "b":
            if health.admits(now, OPEN):
                health.begin()
                running, begun = running + 1, begun + 1
        elif running:
            running -= 1
            if step == "s":
                health.succeed(0.1, 0.1)
                assert health.admits(now, OPEN)
            elif step == "f":
                health.fail(now, "x", THRESHOLD)
            else:
                health.end()
        assert (health.running, health.requests) == (running, begun)
        assert health.admits(now, OPEN) or health.opened is not None
    if not running:
        assert health.admits(now + OPEN, OPEN), "a target would be lost for ever"


# -- as the router uses it


async def test_a_probe_that_streams_lets_others_pass_at_its_first_token() -> None:
    fed = Fed()

    async def streaming() -> Reply:
        asyncio.get_running_loop().call_soon(lambda: fed.piece(chunk("a")))
        return fed

    a, b = Scripted("a", failed(), streaming, body()), Scripted("b")
    router = Router(GatewaySettings(circuit_failures=1, circuit_seconds=0.01))
    chain = model(target(a, retries=0), target(b))
    assert (await router.answer(chain, asked())).target == "b/m"
    await asyncio.sleep(0.05)
    probe = await router.answer(chain, asked(stream=True))
    assert probe.target == "a/m" and probe.log is not None and not probe.log.done
    assert (await router.answer(chain, asked())).target == "a/m", "it waited for the stream's end"
    fed.piece(chunk("", "stop") + DONE)
    assert router.health("a/m").running == 0


async def test_a_fault_of_ours_in_a_provider_leaves_nothing_running() -> None:
    async def broken() -> Reply:
        raise RuntimeError("a bug")

    router = Router(GatewaySettings(circuit_failures=1))
    with pytest.raises(RuntimeError):
        await router.answer(model(target(Scripted("a", broken))), asked())
    health = router.health("a/m")
    assert (health.running, health.failures, health.opened) == (0, 0, None)
