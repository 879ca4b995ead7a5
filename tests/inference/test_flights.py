"""Identical requests in flight: one upstream call, whoever comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import PRICE
from streams import DONE, Fed, attached, chunk

from modelyard.inference.answer import Answer
from modelyard.inference.call import Usage
from modelyard.inference.eventlog import EventLog
from modelyard.inference.flights import Flight, Flights
from modelyard.protocol.errors import Failure

KEY = b"key"


class Upstream:
    """The call that is shared: answered when the test says so."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled = 0
        self.outcome: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    async def call(self) -> Answer:
        self.calls += 1
        try:
            return await self.outcome
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class Caller:
    """One request: leads, or follows who leads, and may leave."""

    def __init__(self, flights: Flights, call: Callable[[], Awaitable[Answer]]) -> None:
        self.leading: Flight | None = None
        self.kept: list[Answer] = []
        self.task = asyncio.ensure_future(self._ask(flights, call))

    async def _ask(self, flights: Flights, call: Callable[[], Awaitable[Answer]]) -> Answer:
        flight = flights.find(KEY)
        if flight is None:
            return await flights.lead(KEY, monotonic() + 60, call(), self, self.kept.append)
        flight.followers += 1
        try:
            return await flight.follow()
        finally:
            flight.unfollow()

    def cancel(self) -> None:
        self.task.cancel()

    def leave(self) -> None:
        """The client has gone."""
        if self.leading is not None:
            self.leading.leave()
        else:
            self.cancel()


def answer(log: EventLog | None = None) -> Answer:
    return Answer(body=b"{}", log=log, target="a/m", provider="a", price=PRICE, usage=Usage(10, 5))


async def turn() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def callers(flights: Flights, upstream: Upstream, count: int) -> list[Caller]:
    made = []
    for _ in range(count):
        made.append(Caller(flights, upstream.call))
        await turn()
    return made


async def test_followers_share_one_call() -> None:
    flights, upstream = Flights(), Upstream()
    many = await callers(flights, upstream, 10)
    assert (upstream.calls, len(flights)) == (1, 1)
    upstream.outcome.set_result(answer())
    got = await asyncio.gather(*(one.task for one in many))
    assert [one.shared for one in got] == [False] + [True] * 9
    assert all(one.body == b"{}" for one in got) and len({id(one) for one in got}) == 10
    assert len(flights) == 0 and len(many[0].kept) == 1
    await callers(flights, upstream, 1)
    assert upstream.calls == 2, "what has landed is joined no more"


async def test_other_questions_fly_apart() -> None:
    flights, upstream = Flights(), Upstream()
    await callers(flights, upstream, 1)
    assert flights.find(b"other") is None


async def test_the_first_caller_leaves_alone() -> None:
    flights, upstream = Flights(), Upstream()
    (leader,) = await callers(flights, upstream, 1)
    leader.leave()
    assert flights.find(KEY) is None, "a doomed flight is not joined"
    await turn()
    assert leader.task.cancelled() and upstream.cancelled == 1 and len(flights) == 0


async def test_the_first_caller_leaves_its_followers() -> None:
    flights, upstream = Flights(), Upstream()
    leader, one, two = await callers(flights, upstream, 3)
    leader.leave()
    await turn()
    assert not leader.task.done() and upstream.cancelled == 0
    upstream.outcome.set_result(answer())
    assert (await one.task).shared and (await two.task).shared
    assert not (await leader.task).shared and len(leader.kept) == 1


async def test_the_last_follower_leaves_after_the_first_caller() -> None:
    flights, upstream = Flights(), Upstream()
    leader, one, two = await callers(flights, upstream, 3)
    leader.leave()
    one.leave()
    await turn()
    assert upstream.cancelled == 0
    two.leave()
    await turn()
    assert upstream.cancelled == 1 and leader.task.cancelled() and len(flights) == 0


async def test_followers_that_leave_first_end_nothing() -> None:
    flights, upstream = Flights(), Upstream()
    leader, one, two = await callers(flights, upstream, 3)
    one.leave()
    two.leave()
    await turn()
    assert one.task.cancelled() and two.task.cancelled() and not leader.task.done()
    upstream.outcome.set_result(answer())
    assert (await leader.task).body == b"{}"


async def test_a_doomed_flight_makes_room_for_a_new_one() -> None:
    flights, upstream = Flights(), Upstream()
    (leader,) = await callers(flights, upstream, 1)
    leader.leave()
    fresh = Upstream()
    second = Caller(flights, fresh.call)
    third = Caller(flights, fresh.call)
    await turn()
    assert (fresh.calls, fresh.cancelled, upstream.cancelled) == (1, 0, 1)
    fresh.outcome.set_result(answer())
    assert not (await second.task).shared and (await third.task).shared


async def test_a_failure_is_shared() -> None:
    flights, upstream = Flights(), Upstream()
    many = await callers(flights, upstream, 4)
    failure = Failure("RATE_LIMITED", "Wait.", details={"a": 1}, retry_after=3.0)
    upstream.outcome.set_exception(failure)
    got = await asyncio.gather(*(one.task for one in many), return_exceptions=True)
    assert upstream.calls == 1 and len(flights) == 0 and many[0].kept == []
    for one in got:
        assert isinstance(one, Failure)
        assert (one.code.symbol, one.details, one.retry_after) == ("RATE_LIMITED", {"a": 1}, 3.0)
    assert len({id(one) for one in got}) == 4, "each has its own"


async def test_a_leader_that_is_cancelled_leaves_nobody_waiting() -> None:
    """As at a stop of the server: its followers are told to try again."""
    flights, upstream = Flights(), Upstream()
    leader, follower = await callers(flights, upstream, 2)
    leader.task.cancel()
    with pytest.raises(Failure) as caught:
        await asyncio.wait_for(follower.task, 60)
    assert caught.value.retryable and len(flights) == 0


# -- streams


async def streaming(bound: int = 1 << 20) -> tuple[Flights, Upstream, Caller, EventLog, Fed]:
    flights, upstream = Flights(), Upstream()
    (leader,) = await callers(flights, upstream, 1)
    log, fed = attached(bound=bound)
    fed.piece(chunk("a"))
    upstream.outcome.set_result(answer(log))
    await leader.task
    return flights, upstream, leader, log, fed


async def test_a_late_follower_has_the_stream_from_its_beginning() -> None:
    flights, upstream, leader, log, fed = await streaming()
    fed.piece(chunk("b"))
    (late,) = await callers(flights, upstream, 1)
    got = await late.task
    assert got.shared and got.log is log and log.base == 0 and upstream.calls == 1
    assert leader.kept == []
    fed.piece(chunk("", "stop") + DONE)
    assert len(leader.kept) == 1 and len(flights) == 0


async def test_a_stream_that_outgrew_its_bound_is_not_joined() -> None:
    flights, _, leader, _, fed = await streaming(bound=500)
    assert flights.find(KEY) is leader.leading
    while flights.find(KEY) is not None:
        fed.piece(chunk("x" * 50))
    assert len(flights) == 1
    fed.piece(chunk("", "stop") + DONE)
    assert len(flights) == 0


async def test_a_broken_stream_is_not_kept() -> None:
    flights, _, leader, log, fed = await streaming()
    fed.end(None)
    assert log.error is not None and leader.kept == [] and len(flights) == 0


async def test_a_newer_flight_is_not_ended_by_an_older_one() -> None:
    flights, upstream, _, _, fed = await streaming(bound=10)
    second = Upstream()
    other = Caller(flights, second.call)
    await turn()
    assert second.calls == 1
    fed.piece(chunk("", "stop") + DONE)
    assert flights.find(KEY) is other.leading
    second.outcome.set_result(answer())
    await other.task
    assert upstream.calls == 1 and len(flights) == 0


# -- whatever happens


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "ask", "leave", "answer", "fail"]), st.integers(0, 9)),
    max_size=30,
)


@settings(max_examples=150)
@given(STEPS)
async def test_each_call_is_paid_once(steps: list[tuple[str, int]]) -> None:
    """The sum of what is paid is the sum of upstream's cost; who stays is always served."""
    flights = Flights()
    upstreams: list[Upstream] = []
    many: list[Caller] = []
    gone: set[Caller] = set()

    async def call() -> Answer:
        upstreams.append(Upstream())
        return await upstreams[-1].call()

    for step, which in steps:
        if step == "ask":
            many.append(Caller(flights, call))
        elif step == "leave" and many and many[which % len(many)] not in gone:
            one = many[which % len(many)]
            if not one.task.done():
                gone.add(one)
                one.leave()
        elif step in {"answer", "fail"}:
            for one in upstreams:
                if not one.outcome.done() and step == "answer":
                    one.outcome.set_result(answer())
                elif not one.outcome.done():
                    one.outcome.set_exception(Failure("PROVIDER_ERROR", "It broke."))
        await turn()
    for _ in range(3):
        for up in upstreams:
            if not up.outcome.done():
                up.outcome.set_result(answer())
        await turn()
    got = await asyncio.wait_for(
        asyncio.gather(*(one.task for one in many), return_exceptions=True), 10
    )
    answered = [one for one in got if isinstance(one, Answer)]
    paid = sum(one.cost() or 0 for one in answered if not one.shared)
    good = [u for u in upstreams if u.outcome.done() and not u.outcome.cancelled()]
    results = [u for u in good if u.outcome.exception() is None]
    assert paid == sum(answer().cost() or 0 for _ in results)
    for caller, one in zip(many, got, strict=True):
        if caller not in gone:
            assert isinstance(one, Answer | Failure), "who stayed was left without an answer"
            assert not isinstance(one, Failure) or one.code.symbol == "PROVIDER_ERROR"
    assert len(flights) == 0
