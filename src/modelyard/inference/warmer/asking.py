"""A prompt, kept so that it can be asked again; and asking it."""

from __future__ import annotations

import asyncio
from time import monotonic, time
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from modelyard.auth.keys import UNLIMITED, Key
from modelyard.inference.answer import Answer
from modelyard.inference.cache.level import Lookup
from modelyard.inference.call import COUNT, EMBEDDING, OPENAI, Call, Terms
from modelyard.inference.ledger import new_id
from modelyard.inference.pipeline import lookup_of
from modelyard.inference.plane import Plane
from modelyard.inference.router import samples
from modelyard.inference.snapshot import Model
from modelyard.protocol.errors import Failure

SURFACE = "cache_warming"  # of these calls in the ledger, the request log and the metrics
LOWEST = 1  # priority
LARGEST = 64 * 1024  # bytes of a request that is remembered
_ENDLESS = 1_000_000  # tokens that no answer has
_TIMEOUT = 120.0  # seconds; nobody waits for it


class Ask(Struct, frozen=True, array_like=True):
    """What has to be known of a request to make it again."""

    surface: str
    kind: str
    model: str
    body: dict[str, Any]
    stream: bool
    input_tokens: int  # as the provider counted them
    max_tokens: int | None = None
    version: str | None = None
    namespace: str = ""
    ttl: float | None = None
    assumed: tuple[str, ...] = ()
    dialect: str = OPENAI
    raw: bytes = b""
    native: dict[str, Any] = {}
    forward: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Ask).decode


def remember(call: Call, input_tokens: int) -> bytes:
    """The request, encoded; b"" for one that is not to be asked again.

    Not one of several samples, nor one with a budget of its own, nor a very long one.
    """
    if len(call.raw) > LARGEST or call.kind == COUNT or call.budget is not None:
        return b""
    if call.kind != EMBEDDING and samples(call) > 1:
        return b""
    ask = Ask(
        surface=call.surface,
        kind=call.kind,
        model=call.model,
        body=call.body,
        stream=call.stream,
        input_tokens=input_tokens,
        max_tokens=call.max_tokens,
        version=call.version,
        namespace=call.terms.namespace,
        ttl=call.terms.ttl,
        assumed=call.assumed,
        dialect=call.dialect,
        raw=call.raw if call.dialect != OPENAI else b"",
        native=call.native,
        forward=call.forward,
    )
    data = _encode(ask)
    return data if len(data) <= LARGEST else b""


class Asking(NamedTuple):
    """A prompt that is about to be asked."""

    call: Call
    model: Model
    lookup: Lookup
    capped: bool  # its answer's length is bounded by us: one that reaches it is not kept


class Unaskable(Exception):
    """It cannot be asked again: its model is gone or changed, or its cost cannot be bounded."""


def prepare(plane: Plane, ask: bytes, workspace: str, digest: bytes, money: int) -> Asking:
    """The call for a prompt, which costs ``money`` nano-dollars at most. Raises Unaskable."""
    try:
        one = _decode(ask)
        model = plane.snapshot.find(one.model, one.version, one.kind)
    except (msgspec.DecodeError, Failure) as failure:
        raise Unaskable(str(failure)) from None
    call = _call(one, workspace)
    lookup = lookup_of(model, call)
    if lookup.key != digest:
        raise Unaskable("what answers this model was changed")
    return Asking(call, model, lookup, _bound(call, model, one.input_tokens, money))


def _call(one: Ask, workspace: str) -> Call:
    at = time()
    record_id = new_id(at)
    return Call(
        id=f"req_{record_id}",
        record_id=record_id,
        key=Key(id=SURFACE, workspace=workspace, scopes=(), name=SURFACE, limits=UNLIMITED),
        surface=one.surface,
        kind=one.kind,
        model=one.model,
        body=one.body,
        raw=one.raw,
        dialect=one.dialect,
        native=one.native,
        forward=one.forward,
        assumed=one.assumed,
        stream=one.stream,
        share=True,
        terms=Terms(ttl=one.ttl, namespace=one.namespace),
        started=monotonic(),
        at=at,
        timeout=_TIMEOUT,
        input_tokens=one.input_tokens,
        max_tokens=one.max_tokens,
        version=one.version,
        traceparent=f"00-{record_id}-{record_id[16:]}-00",
        priority=LOWEST,
        attempts=[],
    )


def _bound(call: Call, model: Model, prompt: int, money: int) -> bool:
    """See to it that the call costs no more; whether its answer was bounded for that."""
    output = 0 if call.kind == EMBEDDING else call.max_tokens or model.max_output_tokens
    most = None if output is None else model.dearest(prompt, output)
    if most is not None and most <= money:
        return False
    longest = affordable(model, prompt, money)
    if longest == _ENDLESS:
        return False
    if longest < 1 or call.kind == EMBEDDING or call.dialect != OPENAI:
        raise Unaskable("what it may cost cannot be bounded")
    call.max_tokens = min(longest, call.max_tokens or longest)
    name = "max_completion_tokens" if "max_completion_tokens" in call.body else "max_tokens"
    call.body = call.body | {name: call.max_tokens}
    return True


def affordable(model: Model, prompt: int, money: int) -> int:
    """Tokens of an answer that ``money`` pays for, whichever target answers; 0: none."""
    low, high = 0, _ENDLESS
    while low < high:
        middle = (low + high + 1) // 2
        most = model.dearest(prompt, middle)
        if most is None:
            return 0
        low, high = (middle, high) if most <= money else (low, middle - 1)
    return low


def has_room(plane: Plane, model: Model, busy: int) -> bool:
    """Whether who would be asked first has little to do, and is well."""
    health = plane.router.health(model.first.name)
    now = monotonic()
    seconds = plane.settings.gateway.circuit_seconds
    return (
        health.running < busy
        and health.limited_until <= now
        and health.state(now, seconds) == "closed"
    )


async def look(plane: Plane, lookup: Lookup) -> Answer | None:
    """The answer that some level has."""
    kept = plane.cache.get(lookup)
    return kept if kept is not None else await plane.cache.seek(lookup)


async def ask(plane: Plane, asking: Asking, refresh: bool) -> tuple[int, bool]:
    """Make the call and keep its answer; what it cost, and whether it was kept.

    It passes no key's limits. Its record says ``cache_warming``.
    """
    call = asking.call
    lookup = asking.lookup
    if refresh:
        terms = msgspec.structs.replace(lookup.terms, fresh=True)
        lookup = Lookup(lookup.workspace, lookup.key, terms, lookup.began, lookup.at)
        await plane.cache.seek(lookup)  # which marks the levels below
    answer: Answer | None = None
    booked = msgspec.structs.replace(call, surface=SURFACE)  # the attempts are one list
    try:
        plane.ledger.probe()
        answer = await plane.router.answer(asking.model, call)
        if answer.log is not None:
            answer.log.taken(1 << 62)
            async with asyncio.timeout(_TIMEOUT):
                await answer.log.over()
            if answer.log.error is not None:
                raise Failure("PROVIDER_ERROR", "The answer was cut short.")
        answer.cache = "miss"
        plane.ledger.record(booked, answer)
    except TimeoutError:
        late = Failure("INFERENCE_TIMEOUT", f"No answer within {_TIMEOUT:g} s.")
        return _failed(plane, booked, answer, late), False
    except Failure as failure:
        return _failed(plane, booked, answer, failure), False
    except asyncio.CancelledError:
        stopped = Failure("SYSTEM_OVERLOADED", "The server stopped before it was answered.")
        _failed(plane, booked, answer, stopped)
        raise
    finally:
        if answer is not None and answer.log is not None:
            answer.log.close()
    if asking.capped and _reached(answer, call.max_tokens or 0):
        return answer.paid or 0, False
    plane.cache.keep(lookup, answer)
    return answer.paid or 0, True


def _reached(answer: Answer, longest: int) -> bool:
    """Whether the answer ended because it may not be longer, as far as can be told."""
    finish = answer.log.finish_reason if answer.log is not None else answer.finish_reason
    return finish == "length" or (
        answer.usage is not None and answer.usage.output_tokens >= longest
    )


def _failed(plane: Plane, call: Call, answer: Answer | None, failure: Failure) -> int:
    plane.ledger.failed(call, answer, failure)
    return 0 if answer is None else answer.paid or 0
