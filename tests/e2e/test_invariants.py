"""Invariants of the data plane as properties: any mix of callers, samples, streams, workspaces
and departures leaves money conserved, reservations released and nobody else's call cancelled.
"""

import asyncio
import itertools
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from e2e.client import Client, chat_body, hang_up, text_of
from e2e.conftest import INPUT, OUTPUT
from modelyard.inference.answer import Answer
from modelyard.inference.cache.key import cache_key
from modelyard.inference.flights import Flight, Flights
from modelyard.protocol.errors import Failure
from upstream.plan import Plan
from upstream.server import Upstream

TOKENS = 5
ONE_COST = (10 * INPUT + TOKENS * OUTPUT) / 1e6
SLOTS = 40
_runs = itertools.count()


@dataclass(frozen=True)
class Caller:
    """One request of a mix."""

    workspace: int
    text: str
    stream: bool
    sample: bool
    leaves: bool


callers = st.lists(
    st.builds(
        Caller,
        workspace=st.integers(0, 1),
        text=st.sampled_from(["a", "b"]),
        stream=st.booleans(),
        sample=st.booleans(),
        leaves=st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def flights(mix: list[Caller]) -> list[list[Caller]]:
    """Who shares a call: the identical ones that are no samples."""
    groups: dict[Any, list[Caller]] = {}
    for number, one in enumerate(mix):
        same = (one.workspace, one.text, one.stream)
        groups.setdefault((number,) if one.sample else same, []).append(one)
    return list(groups.values())


@pytest.fixture(scope="module")
def keys(api: Client) -> list[Client]:
    limits = {
        "concurrent_requests": SLOTS,
        "requests_per_minute": None,
        "tokens_per_minute": 1_000_000,
    }
    scopes = ["inference:create", "request:read"]
    return [api.new_key(workspace=f"invariant-{n}", limits=limits, scopes=scopes) for n in range(2)]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(mix=callers)
def test_any_mix_of_callers(keys: list[Client], upstream: Upstream, mix: list[Caller]) -> None:
    run = f"mix-{next(_runs)}"
    gate = threading.Event()
    model = "p0"
    upstream.on(model, Plan(tokens=TOKENS, gate=gate))
    before = len(upstream.calls(model))
    expected = flights(mix)
    try:
        connections = [_ask(keys, model, run, number, one) for number, one in enumerate(mix)]
        upstream.wait_calls(before + len(expected), model)
        keys[0].wait_running(len(mix))  # the followers are in
        for one, connection in zip(mix, connections, strict=True):
            if one.leaves:
                hang_up(connection)
        calls = upstream.calls(model)[before:]
        abandoned = sum(all(one.leaves for one in group) for group in expected)
        upstream.wait_for(lambda: sum(call.closed_at is not None for call in calls) >= abandoned)
    finally:
        gate.set()
    with ThreadPoolExecutor(12) as pool:
        stayed = [c for one, c in zip(mix, connections, strict=True) if not one.leaves]
        assert all(pool.map(_answered, stayed)), "a flight outlives its first caller"
    calls = upstream.calls(model)[before:]
    upstream.wait_for(lambda: all(call.closed_at or call.finished_at for call in calls))
    assert len(calls) == len(expected), "one call for each flight, one for each sample"
    paid = sum(call.finished_at is not None for call in calls)
    assert paid == len(expected) - abandoned
    records = [keys[one.workspace].trace(f"{run}-{n}") for n, one in enumerate(mix)]
    assert sum(record["actual_cost"] or 0 for record in records) == pytest.approx(
        paid * ONE_COST
    ), "money is conserved"
    _released(keys, run)


def _ask(keys: list[Client], model: str, run: str, number: int, one: Caller) -> Any:
    body = chat_body(model, f"{run} {one.text}", stream=one.stream, temperature=int(one.sample))
    headers = {"X-Request-ID": f"{run}-{number}"}
    return keys[one.workspace].open("POST", "/v1/chat/completions", body, headers)


def _answered(connection: Any) -> bool:
    response = connection.getresponse()
    body = response.read()
    connection.close()
    expected = "".join(f"w{n} " for n in range(TOKENS))
    if not body.startswith(b"{"):
        events = [line[6:].decode() for line in body.split(b"\n") if line.startswith(b"data: ")]
        return bool(events[-1] == "[DONE]") and text_of(events) == expected
    return response.status == 200 and f'"{expected}"'.encode() in body


def _released(keys: list[Client], run: str) -> None:
    """Every slot is free but that of the request that asks."""
    for key in keys:
        headers = key.chat("sandbox", f"slots after {run}").headers
        free = re.search(r'"concurrent";r=(\d+)', headers["ratelimit"])
        assert free is not None
        assert int(free[1]) >= SLOTS - 1, "a slot was not released"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
asks = st.tuples(
    st.sampled_from(["w", "w2"]),
    st.sampled_from(["chat", "completion"]),
    st.sampled_from([b"m", b"m2"]),
    st.booleans(),
    st.dictionaries(st.sampled_from(["messages", "seed", "n", "tools", "stop"]), values),
)


@settings(max_examples=300, deadline=None)
@given(one=asks, other=asks)
def test_a_cache_key_never_crosses(one: Any, other: Any) -> None:
    """Equal for equal requests only: workspace, kind, model, form and every parameter count."""
    same = repr(_ordered(one)) == repr(_ordered(other))
    assert (cache_key(*one) == cache_key(*other)) == same
    assert cache_key(*one) == cache_key(*one)


def _ordered(value: Any) -> Any:
    """The value with its maps in one order, so that ``True`` and ``1`` stay different."""
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return [_ordered(inner) for inner in value]
    return value


def test_the_mix_is_what_it_says() -> None:
    """Of the test itself: who shares with whom."""
    same = Caller(0, "a", False, False, False)
    sample = Caller(0, "a", False, True, False)
    groups = flights([same, same, sample, sample, Caller(1, "a", False, False, True)])
    assert Counter(len(group) for group in groups) == {2: 1, 1: 3}


class _Leader:
    leading: Flight | None = None

    def cancel(self) -> None:
        """Nothing runs."""


async def test_a_flight_ends_with_whatever_error() -> None:
    """Even one that nobody foresaw: else every later identical request would wait for it."""
    flights = Flights()
    crash = asyncio.Event()

    async def call() -> Answer:
        await crash.wait()
        raise ZeroDivisionError

    leading = asyncio.create_task(flights.lead(b"k", 0.0, call(), _Leader(), lambda _: None))
    await asyncio.sleep(0)
    flight = flights.find(b"k")
    assert flight is not None
    following = asyncio.create_task(flight.follow())
    await asyncio.sleep(0)
    crash.set()
    with pytest.raises(ZeroDivisionError):
        await leading
    with pytest.raises(Failure):
        await asyncio.wait_for(following, 60)
    assert flights.find(b"k") is None
