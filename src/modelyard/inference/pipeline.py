"""``infer()``: the whole path of a request on one screen."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import Any, Protocol

from modelyard.inference.admission import Ticket
from modelyard.inference.answer import Answer
from modelyard.inference.cache.key import as_keyed, cache_key
from modelyard.inference.cache.level import Lookup
from modelyard.inference.call import OPENAI, Call
from modelyard.inference.flights import Flight
from modelyard.inference.ledger import CLIENT_LEFT
from modelyard.inference.plane import Plane
from modelyard.inference.semantic.cache import Asking, SemanticCache
from modelyard.inference.semantic.scope import framed
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
    lookup = lookup_of(model, call)
    while True:
        kept = plane.cache.get(lookup)
        if kept is not None:
            return kept
        flight = None if call.terms.fresh else plane.flights.find(lookup.key)
        if flight is None:
            break
        shared = await _follow(plane, flight, call, delivery)
        if shared is not None:
            return shared
    asking = None if plane.semantic is None else _asking(plane.semantic, model, call, lookup)
    return await plane.flights.lead(
        lookup.key,
        call.started + call.timeout,
        _fetch(plane, model, call, lookup, asking),
        delivery,
        partial(plane.cache.keep, lookup)
        if asking is None
        else partial(_keep, plane, lookup, asking),
    )


async def _fetch(
    plane: Plane, model: Model, call: Call, lookup: Lookup, asking: Asking | None
) -> Answer:
    """The first of its kind: from a lower level of the cache, else from a target."""
    if plane.cache.lower:
        kept = await plane.cache.seek(lookup)
        if kept is not None:
            if asking is not None and plane.semantic is not None:
                plane.semantic.learn(asking, kept)
            return kept
    if call.raw:
        call.raw = as_keyed(call.raw, call.body if call.dialect == OPENAI else call.native)
    if asking is None or plane.semantic is None:
        answer = await plane.router.answer(model, call)
    else:
        answer = await _alike(plane, plane.semantic, asking)
        if answer.hit:
            return answer
    answer.cache = "miss"
    return answer


async def _alike(plane: Plane, semantic: SemanticCache, asking: Asking) -> Answer:
    """The answer to a question that means the same, else from a target."""
    try:
        kept = await semantic.find(asking)
        if kept is not None:
            return kept
        answer = await plane.router.answer(asking.model, asking.call)
    except BaseException:
        semantic.drop(asking)
        raise
    semantic.answered(asking, answer)
    return answer


def _keep(plane: Plane, lookup: Lookup, asking: Asking, answer: Answer) -> None:
    """Put a complete, new answer where it is found again."""
    plane.cache.keep(lookup, answer)
    if plane.semantic is not None:
        plane.semantic.keep(asking, answer)


def _asking(semantic: SemanticCache, model: Model, call: Call, lookup: Lookup) -> Asking | None:
    """The request's question, where it may be compared with others."""
    parts = framed(call) if semantic.wanted(call) else None
    if parts is None:
        return None
    scope = lookup_of(model, call, parts.frame).key
    return semantic.asking(model, call, lookup, scope, parts.text)


def lookup_of(model: Model, call: Call, asked: dict[str, Any] | None = None) -> Lookup:
    """The request's key, with all that changes its answer; that of ``asked`` in its place."""
    terms, kind = call.terms, call.kind
    if asked is None:
        asked = call.body if call.dialect == OPENAI else call.native
    if call.dialect != OPENAI:
        # Its own bytes are sent and answered: what they say, and where, decides.
        kind = f"{call.dialect} {call.surface} {call.forward.decode('latin-1')}"
    elif call.assumed:  # a target that does not take it answers without it
        kind = f"{kind} without {' '.join(call.assumed)}"
    space = call.key.workspace
    key = cache_key(space, kind, model.fingerprint, call.stream, asked, terms.namespace)
    return Lookup(space, key, terms, call.started, call.at)


async def _follow(plane: Plane, flight: Flight, call: Call, delivery: Delivery) -> Answer | None:
    """Wait for a shared call; None when it will not do.

    It ran out of its own time but not of ours, or found a kept answer that is too old for us.
    """
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
    if not _young_enough(answer, call.terms.max_age):
        flight.unfollow()
        return None
    if answer.log is None:
        flight.unfollow()
    else:
        delivery.following = flight
    return answer


def _young_enough(answer: Answer, max_age: float | None) -> bool:
    stored = answer.stored
    return stored is None or max_age is None or monotonic() - stored <= max_age


def _paid_tokens(answer: Answer | None) -> int:
    if answer is None or answer.usage is None or answer.shared or answer.hit:
        return 0
    return answer.usage.input_tokens + answer.usage.output_tokens


def _stopped() -> Failure:
    return Failure("SYSTEM_OVERLOADED", "The server stopped before the answer was complete.")


def _left() -> Failure:
    return Failure("REQUEST_TIMEOUT", "The client left before the answer was complete.")
