"""``GET /v1/ai-inference/requests``: the log of requests, and one request's trace."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from modelyard.gateway.figures import NANO, Usd, usd
from modelyard.protocol import paging
from modelyard.protocol.errors import timestamp
from modelyard.storage.ledger.queries import Filters, Reader, Summary
from modelyard.storage.ledger.record import Attempt, Match, Record

Time = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(min_length=1, max_length=512)]
Cost = Annotated[float, Meta(ge=0, le=1_000_000)]


class RequestQuery(paging.Paging, frozen=True, kw_only=True):
    """Which requests: all that is given must hold."""

    since: Annotated[Time | None, Meta(description="The earliest arrival, RFC 3339.")] = None
    until: Annotated[Time | None, Meta(description="Arrived before this time, RFC 3339.")] = None
    key_id: Name | None = None
    model: Annotated[Name | None, Meta(description="As the client asked for it.")] = None
    provider: Annotated[Name | None, Meta(description="Who answered.")] = None
    status: Annotated[
        Annotated[str, Meta(pattern=r"^[1-5]([0-9][0-9]|xx)\Z")] | None,
        Meta(description="HTTP status, or a class of them: 200, 4xx."),
    ] = None
    error: Annotated[Name | None, Meta(description="A code of the error registry.")] = None
    cost_min: Annotated[Cost | None, Meta(description="USD, inclusive.")] = None
    cost_max: Annotated[Cost | None, Meta(description="USD, inclusive.")] = None
    cache: Annotated[
        Literal["l1", "l2", "l3", "semantic", "miss", "off"] | None,
        Meta(description="The level that answered, semantic, miss, or off: not looked up."),
    ] = None
    stream: bool | None = None
    user_id: Name | None = None

    def filters(self) -> Filters:
        """The same in the ledger's units."""
        low = high = None
        if self.status is not None:
            low = int(self.status.replace("x", "0"))
            high = int(self.status.replace("x", "9"))
        return Filters(
            since=self.since.timestamp() if self.since else None,
            until=self.until.timestamp() if self.until else None,
            key_id=self.key_id,
            model=self.model,
            provider=self.provider,
            status_from=low,
            status_to=high,
            error=self.error,
            cost_from=None if self.cost_min is None else round(self.cost_min * NANO),
            cost_to=None if self.cost_max is None else round(self.cost_max * NANO),
            cache=self.cache,
            stream=self.stream,
            user_id=self.user_id,
        )


class LoggedRequest(Struct, kw_only=True):
    """One request in the log. Money is USD, null where the price is unknown."""

    id: Annotated[str, Meta(description="The record's own id: unique.")]
    request_id: Annotated[str, Meta(description="X-Request-ID: a client may use one again.")]
    timestamp: Annotated[str, Meta(description="Arrival, RFC 3339.")]
    key_id: str
    user_id: str | None
    surface: Annotated[str, Meta(description="What the client spoke: inference, chat …")]
    model: Annotated[str, Meta(description="As the client asked for it.")]
    provider: Annotated[str | None, Meta(description="Who answered.")]
    target: Annotated[str | None, Meta(description="Who answered: provider/model.")]
    status: Annotated[int, Meta(description="HTTP status; 499: the client left before the end.")]
    error: Annotated[str | None, Meta(description="A code of the error registry.")]
    cache: Annotated[str, Meta(description="The level that answered, miss, or off.")]
    shared: Annotated[bool, Meta(description="It shared the call of an identical request.")]
    stream: bool
    processing_time: Annotated[float, Meta(description="Seconds.")]
    first_token_ms: Annotated[float | None, Meta(description="Milliseconds.")]
    input_tokens: int
    output_tokens: int
    cached_tokens: Annotated[int, Meta(description="Input tokens the provider had cached.")]
    estimated_cost: Usd | None
    actual_cost: Usd | None
    saved_cost: Annotated[Usd | None, Meta(description="USD a cache or a shared call saved.")]
    attempt_count: Annotated[int, Meta(description="Upstream calls that were made.")]


class RequestPage(Struct, kw_only=True):
    """A page of the log, the newest first."""

    requests: list[LoggedRequest]
    next_page_token: Annotated[str | None, Meta(description="Null: this is the last page.")]


class TracedAttempt(Struct, kw_only=True):
    """One upstream call. ``started_ms`` counts from the request's admission."""

    id: Annotated[str, Meta(description="X-Request-ID of this call.")]
    target: str
    started_ms: float
    duration_ms: float
    first_byte_ms: float | None
    outcome: Annotated[str, Meta(description="ok, or the reason why not.")]
    status: Annotated[int | None, Meta(description="The provider's HTTP status.")]
    detail: str | None
    reused: Annotated[bool, Meta(description="The connection was open already.")]


class RequestTrace(LoggedRequest, kw_only=True):
    """Everything that is kept of one request."""

    semantic: Annotated[
        Match | None, Meta(description="How a question that means the same was found.")
    ]
    message: Annotated[str | None, Meta(description="What the client was told of the error.")]
    model_version: Annotated[str | None, Meta(description="The model the provider named.")]
    finish_reason: str | None
    cache_write_tokens: int
    reasoning_tokens: int
    usage_estimated: Annotated[
        bool, Meta(description="The provider counted no tokens: they were counted here.")
    ]
    timings_ms: Annotated[dict[str, float], Meta(description="Milliseconds by stage.")]
    attempts: list[TracedAttempt]
    trace_id: Annotated[str | None, Meta(description="W3C trace id.")]
    correlation_id: str | None
    metadata: dict[str, Any]
    priority: int | None
    strategy: str | None
    cost_optimize: bool | None


def read(reader: Reader, workspace: str, query: RequestQuery) -> RequestPage:
    """One page (this blocks). Raises ``INVALID_REQUEST`` for a foreign page token."""
    filters = query.filters()
    name = f"requests {workspace} {msgspec.json.encode(filters).decode()}"
    after = paging.position(query.page_token, name, tuple[float, int])
    rows = reader.requests(workspace, filters, after, query.size + 1)
    shown = rows[: query.size]
    more = len(rows) > query.size
    return RequestPage(
        requests=[LoggedRequest(**_summary(row)) for row in shown],
        next_page_token=paging.token(shown[-1].position, name) if more else None,
    )


def trace(record: Record) -> RequestTrace:
    """A record as it is shown."""
    return RequestTrace(
        **_fields(record),
        first_token_ms=record.timings.get("first_token"),
        attempt_count=len(record.attempts),
        semantic=record.semantic,
        message=record.message,
        model_version=record.model_version,
        finish_reason=record.finish_reason,
        cache_write_tokens=record.cache_write_tokens,
        reasoning_tokens=record.reasoning_tokens,
        usage_estimated=record.usage_estimated,
        timings_ms=record.timings,
        attempts=[_attempt(attempt) for attempt in record.attempts],
        trace_id=record.trace_id,
        correlation_id=record.correlation_id,
        metadata=record.metadata,
        priority=record.priority,
        strategy=record.strategy,
        cost_optimize=record.cost_optimize,
    )


def _summary(row: Summary) -> dict[str, Any]:
    return _fields(row) | {"first_token_ms": row.first_token, "attempt_count": row.attempts}


def _fields(row: Summary | Record) -> dict[str, Any]:
    """What a row and a record have in common."""
    return {
        "id": row.id,
        "request_id": row.request_id,
        "timestamp": timestamp(row.at),
        "key_id": row.key_id,
        "user_id": row.user_id,
        "surface": row.surface,
        "model": row.model,
        "provider": row.provider,
        "target": row.target,
        "status": row.status,
        "error": row.error,
        "cache": row.cache,
        "shared": bool(row.shared),
        "stream": bool(row.stream),
        "processing_time": round(row.seconds, 6),
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cached_tokens": row.cached_tokens,
        "estimated_cost": usd(row.estimated_cost),
        "actual_cost": usd(row.cost),
        "saved_cost": usd(row.saved),
    }


def _attempt(attempt: Attempt) -> TracedAttempt:
    return TracedAttempt(
        id=attempt.id,
        target=attempt.target,
        started_ms=attempt.started,
        duration_ms=attempt.duration,
        first_byte_ms=attempt.first_byte,
        outcome=attempt.outcome,
        status=attempt.status,
        detail=attempt.detail,
        reused=attempt.reused,
    )
