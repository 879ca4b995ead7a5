"""Limits: never more than allowed, told rightly, and everything reserved is given back."""

import random
import re
import time
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.auth.keys import UNLIMITED, Key, Limits
from modelyard.inference.admission import Admission, Meter, Ticket, Window
from modelyard.inference.call import Call
from modelyard.protocol.errors import Failure

# Times and the window are such that floats hold them exactly: the model counts in fractions.
SECONDS = 64
START = 1_700_000_000 - 1_700_000_000 % SECONDS
STEPS = st.lists(
    st.tuples(st.integers(0, 40 * 64).map(lambda n: Fraction(n, 64)), st.integers(1, 4)),
    min_size=1, max_size=60,
)  # fmt: skip


def estimate(taken: list[tuple[Fraction, int]], now: Fraction) -> Fraction:
    """What counts at ``now``: this window, and what of the last still overlaps."""
    begin = now - now % SECONDS
    current = sum(n for at, n in taken if at >= begin)
    previous = sum(n for at, n in taken if begin - SECONDS <= at < begin)
    return current + previous * (begin + SECONDS - now) / SECONDS


def try_to_take(window: Window, now: float, amount: int) -> bool:
    if window.used(now) + amount > window.limit:
        return False
    window.current += amount
    return True


@given(st.integers(1, 12), STEPS)
def test_a_window_counts_as_the_model_does(limit: int, steps: list[tuple[Fraction, int]]) -> None:
    window = Window("x", limit, float(SECONDS))
    taken: list[tuple[Fraction, int]] = []
    now = Fraction(START)
    for pause, amount in steps:
        now += pause
        fits = estimate(taken, now) + amount <= limit
        assert abs(window.used(float(now)) - float(estimate(taken, now))) < 1e-9
        assert try_to_take(window, float(now), amount) == fits
        if fits:
            taken.append((now, amount))
    for at, _ in taken:
        begin = at - at % SECONDS
        assert sum(n for t, n in taken if begin <= t < begin + SECONDS) <= limit
        ahead = [n for t, n in taken if at <= t < at + SECONDS]
        assert sum(ahead) < 2 * limit or limit == sum(ahead)


@given(st.integers(1, 12), STEPS, st.integers(1, 14))
def test_after_waiting_it_fits(limit: int, steps: list[tuple[Fraction, int]], amount: int) -> None:
    window = Window("x", limit, float(SECONDS))
    now = float(START)
    for pause, taken in steps:
        now += float(pause)
        try_to_take(window, now, taken)
    if window.used(now) + amount <= limit:
        return
    wait = window.wait(now, amount)
    if amount > limit:
        assert wait == SECONDS
        return
    assert 0 <= wait <= 2 * SECONDS
    if wait > 0.01:
        early = Window("x", limit, float(SECONDS))
        early.end, early.current, early.previous = window.end, window.current, window.previous
        assert early.used(now + wait - 0.01) + amount > limit, "it would have fit before"
    assert window.used(now + wait + 1e-6) + amount <= limit + 1e-6


def test_a_burst_cannot_be_repeated_at_the_turn_of_a_window() -> None:
    window = Window("minute", 100, 60.0)
    end = 1_700_000_040.0
    assert end % 60 == 0
    assert sum(try_to_take(window, end - 0.5, 1) for _ in range(300)) == 100
    assert sum(try_to_take(window, end + 0.5, 1) for _ in range(300)) == 0
    assert sum(try_to_take(window, end + 30, 1) for _ in range(300)) == 50
    assert sum(try_to_take(window, end + 59, 1) for _ in range(300)) == 48
    assert sum(try_to_take(window, end + 300, 1) for _ in range(300)) == 100


def test_a_body_that_took_long_to_come_counts_no_more_than_was_used() -> None:
    """A call is counted at its arrival, which may be long before its window."""
    window = Window("second", 10, 1.0)
    now = 1_700_000_000.0
    for _ in range(5):
        assert try_to_take(window, now, 1)
    assert window.used(now + 1) == 5
    assert try_to_take(window, now - 30, 1), "a slow upload was refused"
    assert window.used(now - 30) == 6


# -- meters and tickets


def key_with(**limits: Any) -> Key:
    return Key(
        id="k", workspace="w", scopes=(), limits=UNLIMITED if not limits else Limits(**limits)
    )


def call_at(at: float, key: Key) -> Call:
    return Call(
        id="r", record_id="r", key=key, surface="chat", kind="chat", model="m", body={},
        started=0.0, at=at,
    )  # fmt: skip


NOTHING: dict[str, Any] = {
    "requests_per_second": None,
    "requests_per_minute": None,
    "tokens_per_minute": None,
    "concurrent_requests": None,
}


def refusal(admission: Admission, call: Call, tokens: int = 0, money: int = 0) -> Failure:
    with pytest.raises(Failure) as caught:
        admission.admit(call, tokens, money)
    return caught.value


FIELDS = ("requests_per_second", "requests_per_minute", "requests_per_day")


@pytest.mark.parametrize("field", FIELDS)
def test_each_limit_of_requests(field: str) -> None:
    admission = Admission()
    key = key_with(**NOTHING | {field: 3})
    at = time.time()
    for _ in range(3):
        admission.admit(call_at(at, key), 0, 0)
    failure = refusal(admission, call_at(at, key))
    day = field == "requests_per_day"
    assert failure.code.symbol == ("QUOTA_EXCEEDED" if day else "RATE_LIMITED")
    assert failure.status == 429
    assert failure.details["limit"] == field
    assert (failure.details["size"], failure.details["used"]) == (3, 3)
    assert failure.retry_after is not None
    later = at + failure.retry_after
    admission.admit(call_at(later, key), 0, 0).release()


@given(st.integers(1, 9), st.lists(st.floats(0.0, 0.6), max_size=30))
def test_who_waits_as_told_is_admitted(limit: int, pauses: list[float]) -> None:
    admission = Admission()
    key = key_with(**NOTHING | {"requests_per_second": limit})
    at = 1_700_000_000.0
    for pause in pauses:
        at += pause
        try:
            admission.admit(call_at(at, key), 0, 0)
        except Failure as failure:
            assert failure.retry_after is not None
            at += failure.retry_after
            admission.admit(call_at(at, key), 0, 0)


def test_the_limit_of_running_requests() -> None:
    admission = Admission()
    key = key_with(**NOTHING | {"concurrent_requests": 2})
    at = time.time()
    tickets = [admission.admit(call_at(at, key), 0, 0) for _ in range(2)]
    failure = refusal(admission, call_at(at, key))
    assert failure.details == {"limit": "concurrent_requests", "size": 2}
    assert admission.running() == 2
    tickets[0].release()
    tickets[0].release()
    admission.admit(call_at(at, key), 0, 0)
    refusal(admission, call_at(at, key))


def test_tokens_are_reserved_then_counted() -> None:
    admission = Admission()
    key = key_with(**NOTHING | {"tokens_per_minute": 1000})
    at = time.time()
    first = admission.admit(call_at(at, key), 600, 0)
    failure = refusal(admission, call_at(at, key), 500)
    assert failure.details["limit"] == "tokens_per_minute"
    first.charge(100)
    second = admission.admit(call_at(time.time(), key), 500, 0)
    first.charge(5000)
    first.release()
    second.release()
    meter = admission.meter(key)
    assert meter.tokens is not None
    assert meter.tokens_reserved == 0
    assert meter.tokens.current + meter.tokens.previous == 100


def test_a_request_larger_than_the_whole_limit_is_told_so() -> None:
    admission = Admission()
    key = key_with(**NOTHING | {"tokens_per_minute": 10})
    failure = refusal(admission, call_at(time.time(), key), 11)
    assert "more than the key's whole tokens_per_minute" in failure.message


def test_a_refused_request_takes_nothing() -> None:
    admission = Admission()
    key = key_with(requests_per_second=None, requests_per_minute=10, tokens_per_minute=5,
                   concurrent_requests=None)  # fmt: skip
    at = time.time()
    for _ in range(20):
        refusal(admission, call_at(at, key), 6)
    meter = admission.meter(key)
    assert meter.minute is not None and meter.minute.used(at) == 0
    assert (meter.running, meter.tokens_reserved, meter.money_reserved) == (0, 0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 10**9)), min_size=1, max_size=20),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_whatever_is_reserved_is_given_back(
    asked: list[tuple[int, int]], chance: random.Random, limited: bool
) -> None:
    """In any order of charges and releases, each of them any number of times."""
    limits: dict[str, Any] = {"tokens_per_minute": 10**9} if limited else {}
    key = key_with(**NOTHING | limits)
    admission = Admission()
    at = time.time()
    tickets = [admission.admit(call_at(at, key), tokens, money) for tokens, money in asked]
    meter = admission.meter(key)
    assert meter.tokens_reserved == sum(tokens for tokens, _ in asked)
    assert meter.money_reserved == sum(money for _, money in asked)
    assert meter.running == admission.running() == len(asked)
    paid: dict[int, int] = {}
    steps: list[tuple[Ticket, bool]] = [(t, c) for t in tickets for c in (True, False, True)]
    chance.shuffle(steps)
    for ticket, charge in [*steps, *((ticket, False) for ticket in tickets)]:
        if charge:
            amount = chance.randrange(1000)
            paid.setdefault(id(ticket), 0 if ticket.released else amount)
            ticket.charge(amount)
        else:
            paid.setdefault(id(ticket), 0)
            ticket.release()
    assert (meter.tokens_reserved, meter.money_reserved, meter.running) == (0, 0, 0)
    if meter.tokens is not None:
        assert meter.tokens.current + meter.tokens.previous == sum(paid.values())


def test_changed_limits_count_at_once_and_forget_nothing() -> None:
    admission = Admission()
    at = time.time()
    tickets = [
        admission.admit(call_at(at, key_with(**NOTHING | {"requests_per_day": 10})), 0, 5)
        for _ in range(6)
    ]
    lowered = key_with(**NOTHING | {"requests_per_day": 6})
    assert refusal(admission, call_at(at, lowered)).details["used"] == 6
    raised = key_with(**NOTHING | {"requests_per_day": 7, "concurrent_requests": 7})
    admission.admit(call_at(at, raised), 0, 0)
    refusal(admission, call_at(at, raised))
    for ticket in tickets:
        ticket.release()
    assert admission.meter(raised).running == 1 and admission.meter(raised).money_reserved == 0


def test_changed_limits_remember_the_last_window_too() -> None:
    meter = Meter(Limits(**NOTHING | {"requests_per_minute": 100}))
    start = 1_700_000_040.0  # a minute begins
    assert meter.minute is not None
    assert all(try_to_take(meter.minute, start, 1) for _ in range(80))
    assert meter.minute.used(start + 75) == 60
    meter.apply(Limits(**NOTHING | {"requests_per_minute": 50}))
    assert meter.minute.used(start + 75) == 60 and meter.minute.limit == 50


def test_meters_are_bounded_and_running_ones_stay() -> None:
    admission = Admission(max_meters=20)
    at = time.time()
    kept = Key(id="kept", workspace="w", scopes=(), limits=UNLIMITED)
    ticket = admission.admit(call_at(at, kept), 0, 0)
    for number in range(200):
        one = Key(id=f"k{number}", workspace="w", scopes=(), limits=UNLIMITED)
        admission.admit(call_at(at, one), 0, 0).release()
        assert len(admission._meters) <= 20
    assert admission.meter(kept) is ticket.meter


# -- what is told


_ITEM = re.compile(r'"([a-z]+)"((?:;[a-z]+=(?:\d+|"[a-z-]+"))+)$')


def structured(value: str) -> dict[str, dict[str, Any]]:
    """A list of strings with parameters, RFC 9651."""
    items = {}
    for item in value.split(", "):
        match = _ITEM.match(item)
        assert match, item
        pairs = [pair.split("=") for pair in match[2][1:].split(";")]
        items[match[1]] = {n: v.strip('"') if '"' in v else int(v) for n, v in pairs}
    return items


def fields(meter: Meter, now: float) -> dict[str, str]:
    lines = meter.headers(now).decode().split("\r\n")
    assert lines.pop() == ""
    pairs = [line.split(": ", 1) for line in lines]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


SOME = st.none() | st.integers(1, 1000)


@given(SOME, SOME, SOME, SOME, SOME, st.integers(0, 30), st.integers(0, 90))
def test_every_answer_tells_the_limits(
    second: int | None, minute: int | None, tokens: int | None, concurrent: int | None,
    day: int | None, calls: int, later: int,
) -> None:  # fmt: skip
    limits = Limits(second, minute, tokens, concurrent, day)
    meter = Meter(limits)
    start = 1_700_000_000.25
    for window in meter.windows:
        window.used(start)
        window.current += min(calls, window.limit)
    now = start + later
    if not meter.windows and concurrent is None:
        assert meter.headers(now) == b""
        return
    told = fields(meter, now)
    policy, state = structured(told["ratelimit-policy"]), structured(told["ratelimit"])
    assert set(policy) == set(state)
    sizes = {"second": second, "minute": minute, "day": day, "tokens": tokens}
    assert {n: one["q"] for n, one in policy.items() if n != "concurrent"} == {
        n: size for n, size in sizes.items() if size is not None
    }
    for window in meter.windows:
        one = state[window.name]
        assert one["r"] == max(0, int(window.limit - window.used(now)))
        assert 0 < one["t"] <= policy[window.name]["w"]
    if concurrent is not None:
        assert policy["concurrent"] == {"q": concurrent, "qu": "concurrent-requests"}
        assert state["concurrent"]["r"] == concurrent
    requests = [w for w in meter.windows if w.unit == "requests"]
    assert ("x-ratelimit-limit" in told) == bool(requests)
    if requests:
        left = int(told["x-ratelimit-remaining"])
        size = int(told["x-ratelimit-limit"])
        assert left / size == min(state[w.name]["r"] / w.limit for w in requests)
        assert told["x-ratelimit-limit-requests"] == str(size)
        assert told["x-ratelimit-remaining-requests"] == str(left)
        assert int(told["x-ratelimit-reset"]) > now
        assert re.fullmatch(r"\d+s", told["x-ratelimit-reset-requests"])
    if tokens is not None:
        assert told["x-ratelimit-limit-tokens"] == str(tokens)
        assert told["x-ratelimit-remaining-tokens"] == str(state["tokens"]["r"])
    if day is not None:
        assert (told["x-quota-limit"], int(told["x-quota-used"])) == (str(day), min(calls, day))
