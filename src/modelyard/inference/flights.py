"""In-flight deduplication: identical requests share one upstream call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from modelyard.inference.answer import Answer
from modelyard.protocol.errors import Failure


class Flight:
    """One upstream call that several requests may wait for.

    The first caller's task makes it. When that caller leaves while others follow, its task goes
    on for them; when nobody is left, the call is cancelled.
    """

    def __init__(self, cancel: Callable[[], object], deadline: float) -> None:
        self.deadline = deadline
        self.followers = 0
        self.answer: Answer | None = None
        self.failure: Failure | None = None
        self.doomed = False  # cancelled, though its task has not noticed yet
        self._cancel_call = cancel  # ends the first caller's task
        self._leader_left = False
        self._waiting: list[asyncio.Future[None]] = []

    def has_followers(self) -> bool:
        """Whether somebody else waits for the answer, or reads it."""
        return self.followers > 0

    def leave(self) -> None:
        """The first caller's client is gone."""
        self._leader_left = True
        if not self.followers:
            self._cancel()

    def unfollow(self) -> None:
        """A follower has its answer, or left."""
        self.followers -= 1
        if not self.followers and self._leader_left:
            self._cancel()

    def _cancel(self) -> None:
        self.doomed = True
        self._cancel_call()

    async def follow(self) -> Answer:
        """The answer of the shared call; raises its Failure."""
        if self.answer is None and self.failure is None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
        if self.answer is None:
            failure = self.failure or _abandoned()
            raise Failure(
                failure.code.symbol,
                failure.message,
                details=failure.details,
                retry_after=failure.retry_after,
            )
        return replace(self.answer, shared=True)

    def land(self, answer: Answer | None, failure: Failure | None) -> None:
        """The call was answered, or failed."""
        self.answer, self.failure = answer, failure
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Leader(Protocol):
    """Who makes the call of a flight."""

    leading: Flight | None

    def cancel(self) -> object:
        """End its task."""


def _abandoned() -> Failure:
    return Failure("SYSTEM_OVERLOADED", "The shared call was ended; try again.", retry_after=1.0)


class Flights:
    """The flights under way, by cache key. It belongs to the plane, not to a request."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight] = {}
        self.shared = 0  # requests that followed another's call

    def __len__(self) -> int:
        return len(self._flights)

    def find(self, key: bytes) -> Flight | None:
        """A flight that can still be joined from its beginning."""
        flight = self._flights.get(key)
        if flight is None or flight.doomed:
            return None
        if flight.answer is None or flight.answer.log is None:
            return flight
        return flight if flight.answer.log.joinable else None

    async def lead(
        self,
        key: bytes,
        deadline: float,
        call: Awaitable[Answer],
        leader: Leader,
        landed: Callable[[Answer], None],
    ) -> Answer:
        """Make the call as the first of its kind. ``landed`` gets a complete, good answer."""
        flight = leader.leading = self._flights[key] = Flight(leader.cancel, deadline)
        try:
            answer = await call
        except Failure as failure:
            self._end(key, flight, None, failure)
            raise
        except BaseException:  # cancelled, or broken: nobody may wait for it for ever
            self._end(key, flight, None, None)
            raise
        if answer.log is None:
            self._end(key, flight, answer, None)
            landed(answer)
        else:
            log = answer.log
            log.followed = flight.has_followers
            flight.land(answer, None)

            def over() -> None:
                if self._flights.get(key) is flight:
                    del self._flights[key]
                if log.error is None:
                    landed(answer)

            if log.done:
                over()
            else:
                log.endings.append(over)
        return answer

    def _end(
        self, key: bytes, flight: Flight, answer: Answer | None, failure: Failure | None
    ) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        flight.land(answer, failure)
