"""What providers say of their limits, and that it is obeyed."""

from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from plans import Scripted, asked, model, target, whole

from modelyard.inference.providers.limits import closed_for, seconds
from modelyard.inference.providers.provider import Reply
from modelyard.inference.router import Router
from modelyard.settings import GatewaySettings


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("250ms", 0.25),
        ("1h2m3.5s", 3723.5),
        ("12", 12.0),
        ("0s", 0.0),
        ("-4", 0.0),
        ("nan", 0.0),
        ("inf", 0.0),
        ("1e9", 0.0),
        ("soon", 0.0),
        ("5s later", 0.0),
        ("2026-01-01T00:00:00", 0.0),  # without a zone
        ("2020-01-01T00:00:00Z", 0.0),  # over
        ("", 0.0),
    ],
)
def test_a_wait(text: str, wait: float) -> None:
    assert seconds(text) == wait


def test_a_time_to_come() -> None:
    later = (datetime.now(UTC) + timedelta(seconds=3000)).isoformat().replace("+00:00", "Z")
    assert 2900.0 < seconds(later) <= 3000.0


@pytest.mark.parametrize(
    ("fields", "wait"),
    [
        ([(b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"7s")], 7.0),
        ([(b"x-ratelimit-remaining-tokens", b"0"), (b"x-ratelimit-reset-tokens", b"90ms")], 0.09),
        ([(b"x-ratelimit-remaining-requests", b"1"), (b"x-ratelimit-reset-requests", b"7s")], 0.0),
        ([(b"x-ratelimit-reset-requests", b"7s"), (b"x-ratelimit-limit-requests", b"0")], 0.0),
        ([(b"x-ratelimit-remaining-requests", b"0")], 0.0),
        (
            [
                (b"anthropic-ratelimit-input-tokens-remaining", b"0"),
                (b"anthropic-ratelimit-input-tokens-reset", b"4s"),
                (b"anthropic-ratelimit-requests-remaining", b"0"),
                (b"anthropic-ratelimit-requests-reset", b"9s"),
            ],
            9.0,
        ),
    ],
)
def test_fields(fields: list[tuple[bytes, bytes]], wait: float) -> None:
    assert closed_for(fields) == wait


def limited(wait: float) -> Reply:
    reply = whole(b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}')
    reply.limited = wait
    return reply


async def test_who_takes_no_more_is_asked_last() -> None:
    async def last_one() -> Reply:
        return limited(60.0)

    a, b = Scripted("a", last_one), Scripted("b")
    router = Router(GatewaySettings())
    chain = model(target(a), target(b))
    assert (await router.answer(chain, asked())).target == "a/m"
    assert (await router.answer(chain, asked())).target == "b/m"
    assert (len(a.calls), len(b.calls)) == (1, 1)
    router.health("a/m").limited_until = monotonic() - 0.001
    assert (await router.answer(chain, asked())).target == "a/m"


async def test_alone_it_is_asked_all_the_same() -> None:
    async def last_one() -> Reply:
        return limited(60.0)

    a = Scripted("a", last_one)
    router = Router(GatewaySettings())
    for _ in range(2):
        assert (await router.answer(model(target(a)), asked())).target == "a/m"
