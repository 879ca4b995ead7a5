"""OpenTelemetry spans with the GenAI names, made of the ledger's records.

Only with an exporter: a span costs 40 µs. A record has every time and count a span needs, so
nothing of this is on the request's path: spans are made from a queue by the exporter's thread.
Names: https://github.com/open-telemetry/semantic-conventions-genai (status Development).
"""

from __future__ import annotations

import queue
import random
import threading
from typing import Any

from modelyard import __version__
from modelyard.storage.ledger.record import Record

_OPERATIONS = {
    "chat": "chat",
    "inference": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}


class Exporter:
    """Turns records into spans in a thread of its own; a full queue drops and counts."""

    def __init__(self, endpoint: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({"service.name": "modelyard", "service.version": __version__})
        self._provider = TracerProvider(resource=resource)
        target = endpoint.rstrip("/")
        if not target.endswith("/v1/traces"):
            target += "/v1/traces"
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=target)))
        self._tracer = self._provider.get_tracer("modelyard")
        self._queue: queue.Queue[Record | None] = queue.Queue(10_000)
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def observe(self, record: Record) -> None:
        """Queue one settled request."""
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Export what is queued, and stop."""
        self._queue.put(None)
        self._thread.join(5.0)
        self._provider.shutdown()

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            self._export(record)

    def _export(self, record: Record) -> None:
        from opentelemetry import trace

        start = int(record.at * 1e9)
        operation = _OPERATIONS.get(record.surface, record.surface)
        parent = trace.set_span_in_context(trace.NonRecordingSpan(_context(record)))
        span = self._tracer.start_span(
            f"{operation} {record.model}".strip(),
            context=parent,
            kind=trace.SpanKind.CLIENT,
            start_time=start,
            attributes=attributes(record, operation),
        )
        for attempt in record.attempts:
            span.add_event(
                "attempt",
                {"target": attempt.target, "outcome": attempt.outcome, "id": attempt.id},
                timestamp=start + int(attempt.started * 1e6),
            )
        if record.error is not None:
            span.set_status(trace.StatusCode.ERROR, record.error)
        span.end(end_time=start + int(record.seconds * 1e9))


def _context(record: Record) -> Any:
    """The caller's trace, so that our span is part of it."""
    from opentelemetry.trace import SpanContext, TraceFlags

    trace_id = int(record.trace_id or "1", 16)
    return SpanContext(trace_id, random.getrandbits(64) | 1, True, TraceFlags(1))


def attributes(record: Record, operation: str) -> dict[str, Any]:
    """The span's attributes by the GenAI conventions; absent values are left out."""
    values: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": record.provider or "modelyard",
        "gen_ai.request.model": record.model,
        "gen_ai.request.stream": record.stream,
        "gen_ai.response.model": record.model_version,
        "gen_ai.response.finish_reasons": [record.finish_reason] if record.finish_reason else None,
        "gen_ai.usage.input_tokens": record.input_tokens,
        "gen_ai.usage.output_tokens": record.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": record.cached_tokens or None,
        "gen_ai.usage.reasoning.output_tokens": record.reasoning_tokens or None,
        "error.type": record.error,
        "modelyard.request_id": record.request_id,
        "modelyard.workspace": record.workspace,
        "modelyard.cache": record.cache,
        "modelyard.shared": record.shared,
        "modelyard.semantic.similarity": record.semantic and record.semantic.similarity,
        "modelyard.semantic.confidence": record.semantic and record.semantic.confidence,
        "modelyard.cost_nano_usd": record.cost,
    }
    return {name: value for name, value in values.items() if value is not None}
