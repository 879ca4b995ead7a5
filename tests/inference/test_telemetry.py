"""Spans reach a collector, by the names of the GenAI conventions, as part of the caller's trace."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelyard.inference.telemetry import Exporter
from modelyard.storage.ledger.record import Attempt, Record

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(ThreadingHTTPServer):
    """Keeps what is exported to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: list[str] = []
        self.spans: list[Any] = []


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.paths.append(self.path)
        asked = ExportTraceServiceRequest.FromString(body)
        for resource in asked.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def record(**more: Any) -> Record:
    values: dict[str, Any] = {
        "id": "r1",
        "request_id": "req_1",
        "at": 1_750_000_000.25,
        "workspace": "default",
        "key_id": "k",
        "surface": "chat",
        "model": "gpt-4o",
        "status": 200,
        "seconds": 1.5,
        "provider": "main",
        "target": "main/gpt-4o",
        "model_version": "gpt-4o-2024-08-06",
        "finish_reason": "stop",
        "input_tokens": 12,
        "output_tokens": 34,
        "cached_tokens": 5,
        "trace_id": TRACE,
        "attempts": [Attempt("req_1-1", "main/gpt-4o", 0.5, 1400.0)],
    }
    return Record(**(values | more))


def test_a_span_of_an_answer(collector: Collector) -> None:
    exporter = Exporter(f"http://127.0.0.1:{collector.server_port}")
    exporter.observe(record())
    exporter.close()
    assert collector.paths == ["/v1/traces"]
    (span,) = collector.spans
    assert span.name == "chat gpt-4o"
    assert span.trace_id.hex() == TRACE
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_500_000_000
    values = {item.key: item.value for item in span.attributes}
    assert values["gen_ai.operation.name"].string_value == "chat"
    assert values["gen_ai.provider.name"].string_value == "main"
    assert values["gen_ai.request.model"].string_value == "gpt-4o"
    assert values["gen_ai.response.model"].string_value == "gpt-4o-2024-08-06"
    assert values["gen_ai.usage.input_tokens"].int_value == 12
    assert values["gen_ai.usage.output_tokens"].int_value == 34
    assert values["gen_ai.usage.cache_read.input_tokens"].int_value == 5
    assert [
        v.string_value for v in values["gen_ai.response.finish_reasons"].array_value.values
    ] == ["stop"]
    assert [event.name for event in span.events] == ["attempt"]
    assert span.status.code == 0


def test_a_span_of_a_failure(collector: Collector) -> None:
    exporter = Exporter(f"http://127.0.0.1:{collector.server_port}/v1/traces")
    exporter.observe(record(error="PROVIDER_UNAVAILABLE", status=503, provider=None, target=None))
    exporter.close()
    assert collector.paths == ["/v1/traces"]
    (span,) = collector.spans
    assert span.status.code == 2 and span.status.message == "PROVIDER_UNAVAILABLE"
    values = {item.key: item.value.string_value for item in span.attributes}
    assert values["error.type"] == "PROVIDER_UNAVAILABLE"


def test_a_dead_collector_costs_nothing_but_the_spans() -> None:
    exporter = Exporter("http://127.0.0.1:9")
    exporter.observe(record())
    assert exporter.dropped == 0
