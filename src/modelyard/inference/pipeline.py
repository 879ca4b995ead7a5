"""``infer()``: the whole path of a request on one screen."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import Protocol

from modelyard.inference.admission import Ticket
from modelyard.inference.answer import Answer
from modelyard.inference.cache.key import cache_key
from modelyard.inference.call import OPENAI, Call
from modelyard.inference.flights import Flight
from modelyard.inference.ledger import CLIENT_LEFT
from modelyard.inference.plane import Plane
from modelyard.inference.snapshot import Model
from modelyard.protocol.errors import Failure


class Delivery(Protocol):
    """How a surface sends an answer. Writing to a client that has gone does nothing."""

    @property
    def gone(self) -> bool:
        """The client has left."""

    leading: Flight | None  # the flight this request leads: its client's departure concerns it
    following: Flight | None  # the stream of another request that this one reads

    def cancel(self) -> object:
        """End the request's task."""

    async def deliver(self, answer: Answer, ticket: Ticket) -> None:
        """Send everything but the last bytes. Raises Failure when a stream is cut short."""

    def finish(self, answer: Answer, ticket: Ticket) -> None:
        """Send the last bytes: from here on the answer is complete."""

    def fail(self, failure: Failure, ticket: Ticket | None) -> None:
        """Send an error, in the middle of a stream if one has begun."""


async def infer(plane: Plane, call: Call, delivery: Delivery) -> None:
    """Admit → deduplicate → cache → route → call → settle."""
    ticket: Ticket | None = None
    answer: Answer | None = None
    try:
        model = plane.snapshot.find(call.model, call.version, call.kind)
        plane.ledger.probe()  # what could not be recorded must not cost money
        ticket = plane.admit(call, model)  # key, limits, the chain's dearest bound reserved
        answer = await obtain(plane, model, call, delivery)
        await delivery.deliver(answer, ticket)
        plane.ledger.record(call, answer, CLIENT_LEFT if delivery.gone else 200)
        ticket.charge(_paid_tokens(answer))
        delivery.finish(answer, ticket)  # only what is on file is ever complete
    except Failure as failure:
        plane.ledger.failed(call, answer, failure)
        delivery.fail(failure, ticket)
    except asyncio.CancelledError:
        if delivery.gone:
            plane.ledger.failed(call, answer, _left(), CLIENT_LEFT)
        else:
            plane.ledger.failed(call, answer, _stopped())
        raise
    finally:
        if answer is not None:
            plane.learn(call, answer)
            if answer.log is not None and not answer.shared:
                answer.log.close()
        if delivery.following is not None:
            delivery.following.unfollow()
        if ticket is not None:
            ticket.charge(_paid_tokens(answer))
            ticket.release()


async def obtain(plane: Plane, model: Model, call: Call, delivery: Delivery) -> Answer:
    """From the cache, from another request's flight, or from a target."""
    if not call.share:
        return await plane.router.answer(model, call)
    space, kind, asked = call.key.workspace, call.kind, call.body
    if call.dialect != OPENAI:
        # Its own bytes are sent and answered: what they say, and where, decides.
        kind = f"{call.dialect} {call.surface} {call.forward.decode('latin-1')}"
        asked = call.native
    key = cache_key(space, kind, model.fingerprint, call.stream, asked)
    while True:
        kept = plane.cache.get(space, key, monotonic())
        if kept is not None:
            return kept
        flight = plane.flights.find(key)
        if flight is None:
            break
        shared = await _follow(plane, flight, call, delivery)
        if shared is not None:
            return shared
    answer = await plane.flights.lead(
        key,
        call.started + call.timeout,
        plane.router.answer(model, call),
        delivery,
        partial(_keep, plane, call, key),
    )
    answer.cache = "miss"
    return answer


async def _follow(plane: Plane, flight: Flight, call: Call, delivery: Delivery) -> Answer | None:
    """Wait for a shared call; None when it ran out of its own time but not of ours."""
    deadline = call.started + call.timeout
    plane.flights.shared += 1
    flight.followers += 1
    try:
        async with asyncio.timeout_at(deadline):
            answer = await flight.follow()
    except TimeoutError:
        flight.unfollow()
        raise Failure(
            "INFERENCE_TIMEOUT",
            f"No answer within {call.timeout:g} s.",
            details={"timeout_seconds": call.timeout},
        ) from None
    except Failure as failure:
        flight.unfollow()
        if failure.code.symbol == "INFERENCE_TIMEOUT" and flight.deadline < deadline - 0.01:
            return None
        raise
    except asyncio.CancelledError:
        flight.unfollow()
        raise
    answer.cache = "miss"
    if answer.log is None:
        flight.unfollow()
    else:
        delivery.following = flight
    return answer


def _keep(plane: Plane, call: Call, key: bytes, answer: Answer) -> None:
    """Put a complete answer into the cache."""
    log, workspace = answer.log, call.key.workspace
    if plane.cache.outdated(workspace, call.started):
        return
    if log is not None and (not log.joinable or log.usage is None):
        return
    size = len(answer.body) if log is None else log.size
    now = monotonic()
    kept = Answer(
        body=answer.body,
        log=log,
        target=answer.target,
        provider=answer.provider,
        price=answer.price,
        usage=answer.usage if log is None else log.usage,
        model=answer.model,
        finish_reason=answer.finish_reason if log is None else log.finish_reason,
        cache="l1",
        native=answer.native,
        warnings=answer.warnings,
        stored=now,
    )
    plane.cache.put(workspace, key, kept, size, now)


def _paid_tokens(answer: Answer | None) -> int:
    if answer is None or answer.usage is None or answer.shared or answer.cache == "l1":
        return 0
    return answer.usage.input_tokens + answer.usage.output_tokens


def _stopped() -> Failure:
    return Failure("SYSTEM_OVERLOADED", "The server stopped before the answer was complete.")


def _left() -> Failure:
    return Failure("REQUEST_TIMEOUT", "The client left before the answer was complete.")
