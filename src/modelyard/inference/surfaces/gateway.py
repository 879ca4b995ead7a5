"""``POST /v1/ai-inference/inference``: the gateway's own surface (seed 001)."""

from __future__ import annotations

from time import monotonic
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from modelyard.inference.admission import Ticket
from modelyard.inference.answer import Answer
from modelyard.inference.call import CHAT, Call
from modelyard.inference.eventlog import EventLog
from modelyard.inference.ledger import settle_usage, timings
from modelyard.inference.providers.text import text_of
from modelyard.inference.surfaces.delivery import JSON, Delivery
from modelyard.inference.surfaces.gateway_wire import (
    InferenceMetadata,
    InferenceRequest,
    InferenceResponse,
    StreamMessage,
    Timings,
)
from modelyard.inference.surfaces.inbound import Inbound, Named
from modelyard.inference.surfaces.terms import sharing
from modelyard.protocol import decode
from modelyard.protocol.errors import DOCS, Failure, envelope, timestamp

_encode = msgspec.json.encode
_TEMPERATURE = 0.7
_MOST_METADATA = 16 * 1024  # bytes of JSON


_decoder = msgspec.json.Decoder(InferenceRequest)


class GatewaySurface:
    """The gateway's inference endpoint."""

    name = "inference"
    path = "/v1/ai-inference/inference"
    permission = "inference:create"

    def delivery(self, inbound: Inbound) -> GatewayDelivery:
        """A delivery for a request whose body is not known."""
        return GatewayDelivery(inbound)

    def read(self, inbound: Inbound) -> tuple[Call, GatewayDelivery]:
        """The call, and how its answer goes out.

        Raises INVALID_REQUEST, PERMISSION_DENIED, or Named.
        """
        try:
            ask = _decoder.decode(inbound.exchange.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise decode.invalid(error, InferenceRequest) from None
        if ask.request_id is not None and not inbound.claimed:
            raise Named(ask.request_id)
        _consistent(ask, inbound)
        call = _call(ask, inbound)
        delivery = GatewayDelivery(inbound)
        delivery.call = call
        delivery.named = ask.request_id
        return call, delivery


def _consistent(ask: InferenceRequest, inbound: Inbound) -> None:
    if not ask.prompt.strip():
        raise Failure(
            "INVALID_REQUEST",
            "The field 'prompt' is empty: send the text to be answered.",
            details={"field": "prompt", "rule": "required"},
        )
    if ask.model is not None and ask.model_name is not None and ask.model != ask.model_name:
        raise Failure(
            "INVALID_REQUEST",
            "The fields 'model' and 'model_name' name different models: send one of them.",
            details={"field": "model_name", "rule": "contradiction"},
        )
    if ask.metadata and len(_encode(ask.metadata)) > _MOST_METADATA:
        raise Failure(
            "INVALID_REQUEST",
            f"The field 'metadata' is larger than {_MOST_METADATA} bytes: it is kept in the log.",
            details={"field": "metadata", "rule": "length", "allowed": _MOST_METADATA},
        )
    if ask.workspace_id is not None and ask.workspace_id != inbound.owner.workspace:
        raise Failure(
            "PERMISSION_DENIED",
            "The field 'workspace_id' names a workspace that is not the key's: leave it out.",
            details={"field": "workspace_id", "permission": "workspace:write"},
        )


def _call(ask: InferenceRequest, inbound: Inbound) -> Call:
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": ask.prompt}],
        "temperature": _TEMPERATURE if ask.temperature is UNSET else ask.temperature,
    }
    if ask.max_tokens is not None:
        body["max_tokens"] = ask.max_tokens
    if ask.stream:
        body["stream"] = True
    share, terms = sharing(inbound, ask.use_cache, ask.cache_ttl_seconds, ask.cache_namespace)
    alike = inbound.semantic
    return Call(
        id=inbound.request_id,
        record_id=inbound.record_id,
        key=inbound.owner,
        surface="inference",
        kind=CHAT,
        model=ask.model_name or ask.model or "",
        body=body,
        assumed=("temperature",) if ask.temperature is UNSET else (),
        stream=ask.stream,
        share=share,
        terms=terms,
        semantic=ask.semantic_cache if alike is None else alike,
        started=inbound.started,
        at=inbound.at,
        timeout=ask.timeout_seconds,
        counted=True,
        budget=None if ask.budget_limit is None else round(ask.budget_limit * 1e9),
        max_tokens=ask.max_tokens,
        version=inbound.version,
        traceparent=inbound.traceparent,
        correlation_id=inbound.correlation_id,
        user_id=ask.user_id,
        metadata=ask.metadata,
        priority=ask.priority,
        strategy=ask.strategy,
        cost_optimize=ask.cost_optimize,
    )


class GatewayDelivery(Delivery):
    """Sends seed 001's response, or its stream messages."""

    call: Call

    def __init__(self, inbound: Inbound) -> None:
        super().__init__(inbound)
        self.named: str | None = None  # by the body's ``request_id``
        self._sequence = 0
        self._tokens = 0

    async def deliver(self, answer: Answer, ticket: Ticket) -> None:
        """See ``pipeline.Delivery``."""
        if answer.log is None:
            return
        await self.stream(answer, answer.log, ticket)

    def finish(self, answer: Answer, ticket: Ticket) -> None:
        """See ``pipeline.Delivery``."""
        log = answer.log
        # Of a stream that outgrew its bound the beginning is gone: its data messages had it all.
        text = text_of(answer.body) if log is None else log.text() if not log.base else None
        response = describe(self.call, answer, text)
        if self.named is not None:
            response.request_id = self.named
        if log is None:
            self.exchange.respond(200, self.head(JSON, ticket.meter, answer), _encode(response))
        else:
            self.exchange.end(self._message("end", response) + b"data: [DONE]\n\n")

    def render(self, log: EventLog, start: int, stop: int) -> bytes:
        """The text of each chunk as a ``data`` message, after one of progress."""
        out = b"" if self._sequence else self._message("progress", self._progress())
        for text in log.texts[start - log.base : stop - log.base]:
            if text:
                out += self._message("data", text)
        return out

    def failure_body(self, failure: Failure) -> bytes:
        """The one envelope, with seed 001's name of a timeout."""
        body = envelope(failure, self.inbound.request_id)
        body["error"]["code"] = _code(failure)
        return _encode(body)

    def failure_event(self, failure: Failure) -> bytes:
        """``{"type": "error", "code", "message", …}``; no [DONE] follows."""
        error = {
            "number": failure.code.number,
            "details": failure.details or None,
            "request_id": self.inbound.request_id,
            "documentation": DOCS + failure.code.symbol,
            "retryable": failure.retryable,
            "retry_after_seconds": failure.retry_after,
        }
        known = {name: value for name, value in error.items() if value is not None}
        return self._message("error", known, _code(failure), failure.message)

    def _progress(self) -> dict[str, Any]:
        target = self.call.attempts[-1].target if self.call.attempts else self.call.model
        return {
            "current": 0,
            "total": self.call.max_tokens,
            "percentage": 0.0 if self.call.max_tokens else None,
            "message": f"{target} is answering",
        }

    def _message(
        self,
        kind: Literal["progress", "data", "end", "error"],
        data: Any,
        code: str | UnsetType = UNSET,
        message: str | UnsetType = UNSET,
    ) -> bytes:
        self._sequence += 1
        number = self._sequence
        event = StreamMessage(f"chunk_{number:03d}", kind, data, timestamp(), number, code, message)
        return b"id: %d\ndata: %b\n\n" % (number, _encode(event))


def _code(failure: Failure) -> str:
    symbol = failure.code.symbol
    return "TIMEOUT" if symbol == "INFERENCE_TIMEOUT" else symbol


def describe(call: Call, answer: Answer, text: str | None) -> InferenceResponse:
    """Seed 001's response. Every figure was measured for this request."""
    usage = settle_usage(call, answer)
    cost = answer.paid
    seconds = monotonic() - call.started
    return InferenceResponse(
        request_id=call.id,
        response=text,
        model_used=answer.target.partition("/")[2],
        provider_used=answer.provider,
        processing_time=round(seconds, 6),
        cache_hit=answer.hit,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        estimated_cost=None if call.estimated_cost is None else call.estimated_cost / 1e9,
        actual_cost=None if cost is None else cost / 1e9,
        timestamp=timestamp(call.at),
        metadata=InferenceMetadata(
            strategy=call.strategy or "balanced",
            optimization_enabled=bool(call.cost_optimize),
            cache=answer.cache,
            cache_age=None if answer.age is None else round(answer.age, 3),
            shared=answer.shared,
            semantic=answer.match,
            attempts=len(call.attempts),
            finish_reason=answer.finish_reason,
            model_version=answer.model,
            usage_estimated=usage.estimated,
            sandbox=answer.provider == "sandbox",
            priority=call.priority or 5,
            timings=Timings(**timings(call, answer, seconds)),
            warnings=_warnings(call, answer, text),
            client=call.metadata,
        ),
    )


def _warnings(call: Call, answer: Answer, text: str | None) -> list[str]:
    warnings = list(answer.warnings)
    if answer.provider == "sandbox":
        warnings.append("A sandbox answered: deterministic, free, no model was called.")
    if text is None:
        warnings.append("The answer is too long to be repeated: it is in the data messages.")
    if answer.price is None:
        warnings.append("The price of this model is unknown: actual_cost is null.")
    if answer.usage is not None and answer.usage.estimated:
        warnings.append("The provider reported no usage: the tokens were counted here.")
    if answer.finish_reason == "length":
        warnings.append("The answer was cut at max_tokens.")
    if "max_tokens_by_budget" in call.metadata:
        warnings.append("max_tokens was set so that the answer cannot exceed budget_limit.")
    return warnings
