"""What OpenAI's surfaces have in common: their envelope, and answers passed on untouched."""

from __future__ import annotations

from typing import Any

import msgspec

from modelyard.inference.admission import Ticket
from modelyard.inference.answer import Answer
from modelyard.inference.call import Call
from modelyard.inference.eventlog import EventLog
from modelyard.inference.surfaces.delivery import JSON, Delivery
from modelyard.inference.surfaces.inbound import Inbound
from modelyard.inference.surfaces.terms import sharing
from modelyard.protocol import decode
from modelyard.protocol.errors import DOCS, Failure

_DONE = b"data: [DONE]\n\n"
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_encode = msgspec.json.encode
_raw = msgspec.json.Decoder().decode


class OpenAIDelivery(Delivery):
    """Sends an upstream's own bytes."""

    passes_on = True

    def __init__(self, inbound: Inbound, usage_asked: bool = False) -> None:
        super().__init__(inbound)
        self._usage_asked = usage_asked

    async def deliver(self, answer: Answer, ticket: Ticket) -> None:
        """See ``pipeline.Delivery``."""
        if answer.log is not None:
            await self.stream(answer, answer.log, ticket)

    def finish(self, answer: Answer, ticket: Ticket) -> None:
        """See ``pipeline.Delivery``."""
        if answer.log is not None:
            self.exchange.end(_DONE)
        else:
            self.exchange.respond(200, self.head(JSON, ticket.meter, answer), answer.body)

    def render(self, log: EventLog, start: int, stop: int) -> bytes:
        """Untouched, but for a usage chunk that the client did not ask for."""
        events, base = log.events, log.base
        if start <= log.usage_at < stop and not self._usage_asked:
            kept = events[start - base : log.usage_at - base]
            return b"".join(kept + events[log.usage_at - base + 1 : stop - base])
        if stop - start == 1:
            return events[start - base]
        return b"".join(events[start - base : stop - base])

    def failure_body(self, failure: Failure) -> bytes:
        """OpenAI's error envelope with our code and details inside."""
        return _encode({"error": error_object(failure, self.inbound.request_id)})

    def failure_event(self, failure: Failure) -> bytes:
        """The error event that OpenAI's clients raise on; no [DONE] follows."""
        return b"data: %b\n\n" % self.failure_body(failure)


def error_object(failure: Failure, request_id: str) -> dict[str, Any]:
    """``error`` as OpenAI's clients read it."""
    return {
        "message": failure.message,
        "type": _TYPES.get(
            failure.status, "server_error" if failure.status >= 500 else _TYPES[400]
        ),
        "param": failure.details.get("field"),
        "code": failure.code.symbol,
        "details": failure.details,
        "request_id": request_id,
        "documentation": DOCS + failure.code.symbol,
        "retryable": failure.retryable,
    }


def read_object(raw: bytes, shape: type) -> dict[str, Any]:
    """A body as a dictionary that fits ``shape`` (which names the known fields).

    Unknown fields stay: a server may know more than we do. Raises INVALID_REQUEST.
    """
    try:
        body: Any = _raw(raw)
        msgspec.convert(body, shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise decode.invalid(error, shape) from None
    kept: dict[str, Any] = body
    return kept


def make_call(
    inbound: Inbound, surface: str, kind: str, body: dict[str, Any], share: bool, timeout: float
) -> Call:
    """The call of an OpenAI surface."""
    share, terms = sharing(inbound, share or inbound.owner.cache_samples)
    maximum = body.get("max_completion_tokens") or body.get("max_tokens")
    return Call(
        id=inbound.request_id,
        record_id=inbound.record_id,
        key=inbound.owner,
        surface=surface,
        kind=kind,
        model=body.get("model") or "",
        body=body,
        raw=inbound.exchange.body,
        stream=body.get("stream") is True,
        semantic=inbound.semantic,
        share=share,
        terms=terms,
        started=inbound.started,
        at=inbound.at,
        timeout=timeout,
        max_tokens=maximum,
        version=inbound.version,
        traceparent=inbound.traceparent,
        correlation_id=inbound.correlation_id,
        user_id=body.get("user"),
        metadata=body.get("metadata") or {},
    )
