"""``POST /v1/ai-inference/inference``: the gateway's own surface (seed 001)."""

from __future__ import annotations

from time import monotonic
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from modelyard.inference.admission import Ticket
from modelyard.inference.answer import Answer
from modelyard.inference.call import CHAT, Call
from modelyard.inference.eventlog import EventLog
from modelyard.inference.ledger import settle_usage, timings
from modelyard.inference.providers.text import text_of
from modelyard.inference.surfaces.delivery import JSON, Delivery
from modelyard.inference.surfaces.inbound import Inbound
from modelyard.inference.surfaces.terms import LONGEST_TTL, sharing
from modelyard.protocol import decode
from modelyard.protocol.errors import DOCS, Failure, envelope, timestamp
from modelyard.storage.ledger.record import Match

STRATEGIES = Literal[
    "lowest_cost", "fastest_response", "balanced", "quality_focused", "budget_constrained"
]
_encode = msgspec.json.encode
_TEMPERATURE = 0.7
_MOST_METADATA = 16 * 1024  # bytes of JSON


class InferenceRequest(Struct, forbid_unknown_fields=True):
    """One prompt, and how it is to be answered. Only ``prompt`` is required."""

    prompt: Annotated[
        str, Meta(min_length=1, max_length=10_000_000, description="The prompt to process")
    ]
    model_name: Annotated[
        Annotated[str, Meta(max_length=256)] | None,
        Meta(description="Model, alias or provider/model; the default model when absent"),
    ] = None
    model: Annotated[
        Annotated[str, Meta(max_length=256)] | None, Meta(description="The same as model_name")
    ] = None
    temperature: (
        Annotated[
            float,
            Meta(
                ge=0,
                le=2,
                description="Sampling temperature, 0.0 to 2.0; 0.7 when absent, or the model's "
                "own where it takes no other",
            ),
        ]
        | UnsetType
    ) = UNSET
    max_tokens: Annotated[
        Annotated[int, Meta(ge=1, le=10_000_000)] | None,
        Meta(description="Tokens to generate at most"),
    ] = None
    user_id: Annotated[
        Annotated[str, Meta(max_length=256)] | None, Meta(description="For tracking only")
    ] = None
    workspace_id: Annotated[
        Annotated[str, Meta(max_length=256)] | None,
        Meta(description="For tracking: the key decides the workspace, and another one is 403"),
    ] = None
    priority: Annotated[int, Meta(ge=1, le=10, description="1 (background) to 10")] = 5
    stream: Annotated[bool, Meta(description="Answer with server-sent events")] = False
    timeout_seconds: Annotated[float, Meta(gt=0, le=3600, description="For the whole request")] = (
        300
    )
    use_cache: Annotated[
        bool, Meta(description="Share identical requests and answer from the cache")
    ] = True
    semantic_cache: Annotated[
        bool | None,
        Meta(
            description="Answer with a kept answer to a question that means the same; absent: as "
            "the server is set"
        ),
    ] = None
    cache_ttl_seconds: Annotated[
        Annotated[float, Meta(gt=0, le=LONGEST_TTL)] | None,
        Meta(description="Seconds this answer is kept; when absent, as the levels are set"),
    ] = None
    cache_namespace: Annotated[
        Annotated[str, Meta(min_length=1, max_length=128)] | None,
        Meta(description="Answers are shared within this namespace of the workspace only"),
    ] = None
    cost_optimize: Annotated[
        bool, Meta(description="Recorded; takes effect with a later version")
    ] = True
    strategy: Annotated[
        STRATEGIES, Meta(description="Recorded; takes effect with a later version")
    ] = "balanced"
    budget_limit: Annotated[
        Annotated[float, Meta(ge=0, le=1_000_000)] | None,
        Meta(description="USD that this request may cost at most"),
    ] = None
    metadata: Annotated[dict[str, Any], Meta(description="Kept with the request log")] = {}


class Timings(Struct):
    """Milliseconds."""

    total: float
    queue: float | None = None
    upstream: float | None = None
    first_byte: float | None = None
    first_token: float | None = None
    overhead: float | None = None


class InferenceMetadata(Struct):
    """How a request was answered."""

    strategy: str
    optimization_enabled: bool
    cache: str
    cache_age: float | None
    shared: bool
    semantic: Match | None
    attempts: int
    finish_reason: str | None
    model_version: str | None
    usage_estimated: bool
    sandbox: bool
    priority: int
    timings: Timings
    warnings: list[str]
    client: dict[str, Any]


class InferenceResponse(Struct):
    """An answer and what it took. Money in USD; ``processing_time`` in seconds."""

    request_id: str
    response: str | None
    model_used: str
    provider_used: str
    processing_time: float
    cache_hit: bool
    input_tokens: int
    output_tokens: int
    estimated_cost: float | None
    actual_cost: float | None
    timestamp: str
    metadata: InferenceMetadata


class StreamMessage(Struct):
    """One event of a streamed inference (seed 001)."""

    id: str
    type: Literal["progress", "data", "end", "error"]
    data: Any
    timestamp: str
    sequence: int
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


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
        """The call, and how its answer goes out. Raises INVALID_REQUEST or PERMISSION_DENIED."""
        try:
            ask = _decoder.decode(inbound.exchange.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise decode.invalid(error, InferenceRequest) from None
        _consistent(ask, inbound)
        call = _call(ask, inbound)
        delivery = GatewayDelivery(inbound)
        delivery.call = call
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
