"""What the surfaces of other dialects than OpenAI's have in common.

An answer of a provider that speaks the client's dialect goes out untouched; any other is
translated from OpenAI's shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from modelyard.inference.admission import Ticket
from modelyard.inference.answer import Answer
from modelyard.inference.call import Call
from modelyard.inference.canonical import Completed, decode
from modelyard.inference.eventlog import EventLog
from modelyard.inference.native import detach, payload
from modelyard.inference.surfaces.delivery import JSON, Delivery
from modelyard.inference.surfaces.inbound import Inbound
from modelyard.protocol.errors import Failure

Json = dict[str, Any]
_encode = msgspec.json.encode
_WRONG = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Counted(Struct):
    """The members of a canonical request that are read before a dialect looks at it."""

    messages: list[dict[str, Any]] = []
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None


class TranslatingDelivery(Delivery):
    """Sends an answer in the surface's dialect. Surfaces say how."""

    def __init__(self, inbound: Inbound, call: Call | None = None) -> None:
        super().__init__(inbound)
        self.call = call
        self._body = b""
        self._untouched = False
        self._broken: Failure | None = None

    # By surface

    def whole(self, answer: Answer, completed: Completed) -> Any:
        """A complete answer as the surface has it."""
        raise NotImplementedError

    def chunk(self, completed: Completed) -> bytes:
        """What a chunk of a stream means."""
        raise NotImplementedError

    def untouched(self, events: bytes) -> bytes:
        """The provider's own events; what ends the stream is kept for ``ending``."""
        return events

    def ending(self, answer: Answer, untouched: bytes | None) -> bytes:
        """The last bytes of a stream. ``untouched``: the provider speaks the dialect."""
        raise NotImplementedError

    # Delivery

    async def deliver(self, answer: Answer, ticket: Ticket) -> None:
        """See ``pipeline.Delivery``."""
        if answer.log is not None:
            self._untouched = answer.native is not None
            await self.stream(answer, answer.log, ticket)
            if self._broken is not None:
                raise self._broken
        elif answer.native is not None:
            self._body = answer.native
        else:
            self._body = _encode(self.whole(answer, _read(answer.body)))

    def finish(self, answer: Answer, ticket: Ticket) -> None:
        """See ``pipeline.Delivery``."""
        if answer.log is not None:
            self.exchange.end(self.ending(answer, b"" if self._untouched else None))
        else:
            self.exchange.respond(200, self.head(JSON, ticket.meter, answer), self._body)

    def render(self, log: EventLog, start: int, stop: int) -> bytes:
        """See ``Delivery.render``."""
        base = log.base
        out: list[bytes] = []
        for event in log.events[start - base : stop - base]:
            if self._untouched:
                out.append(self.untouched(detach(event)))
            elif self._broken is None:
                try:
                    out.append(self.chunk(_read(payload(event))))
                except Failure as failure:
                    self._broken = failure
        return b"".join(out)


def translated(make: Callable[[Json], Json], asked: Json) -> Json:
    """The canonical request that ``make`` finds in what a client sent. Raises INVALID_REQUEST.

    The structs of a surface check its outer members; what is wrong deeper shows here.
    """
    try:
        body = make(asked)
        msgspec.convert(body, _Counted)
        return body
    except (KeyError, TypeError, AttributeError, ValueError, msgspec.ValidationError) as error:
        raise Failure(
            "INVALID_REQUEST",
            f"The body cannot be understood: a member is missing or of another type ({error}).",
            details={"field": "body", "rule": "type"},
        ) from error


def _read(body: bytes) -> Completed:
    try:
        return decode(body)
    except _WRONG as error:
        raise unreadable(str(error)) from None


def unreadable(what: str) -> Failure:
    """The provider's answer is not what OpenAI's dialect says it is."""
    return Failure(
        "PROVIDER_ERROR",
        f"The provider's answer cannot be translated: {what[:200]}.",
        details={"reason": "malformed"},
    )
