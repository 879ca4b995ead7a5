"""Settlement: one record for each request, on file before its answer is complete."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from time import monotonic
from typing import Protocol

import msgspec

from modelyard.inference import tokens, vocabularies
from modelyard.inference.answer import Answer
from modelyard.inference.call import Call, Usage
from modelyard.inference.metrics import Metrics
from modelyard.protocol.errors import Failure
from modelyard.storage.ledger.record import Record

CLIENT_LEFT = 499  # nginx's status for a client that closed the connection

_encode = msgspec.json.Encoder().encode
_prefix = os.urandom(7).hex()
_counter = itertools.count()


def _renew() -> None:
    global _prefix
    _prefix = os.urandom(7).hex()


os.register_at_fork(after_in_child=_renew)  # else two workers would make the same ids


def new_id(at: float) -> str:
    """A unique id of 32 hexadecimal digits whose text order is its time order.

    48 bits of milliseconds, 56 random ones of this process, 24 of a counter. ``at`` is Unix time.
    """
    return "%012x%s%06x" % (int(at * 1e3), _prefix, next(_counter) & 0xFFFFFF)  # noqa: UP031


class LineFile(Protocol):
    """Where lines go."""

    healthy: bool

    def probe(self) -> bool:
        """Whether a line could be written now."""

    def append(self, line: bytes) -> None:
        """Append one whole line, or raise OSError and leave nothing of it."""


class Ledger:
    """Writes records and counts them."""

    def __init__(self, file: LineFile, metrics: Metrics) -> None:
        self._file = file
        self._metrics = metrics
        self.observers: list[Callable[[Record], None]] = []

    def probe(self) -> None:
        """Raises LEDGER_UNAVAILABLE while records cannot be written."""
        if not self._file.healthy and not self._file.probe():
            raise unavailable()

    def record(self, call: Call, answer: Answer | None, status: int = 200) -> None:
        """Record an answered call. Raises LEDGER_UNAVAILABLE: then it must not be answered."""
        record = build(call, answer, status)
        try:
            self._file.append(_encode(record) + b"\n")
        except OSError as error:
            raise unavailable() from error
        self._settled(record)

    def failed(self, call: Call, answer: Answer | None, failure: Failure, status: int = 0) -> None:
        """Record a call that was not (completely) answered. What cannot be written is counted."""
        record = build(call, answer, status or failure.status)
        record.error = failure.code.symbol
        record.message = failure.message[:500]
        try:
            self._file.append(_encode(record) + b"\n")
        except OSError:
            self._metrics.ledger_lost += 1
        self._settled(record)

    def _settled(self, record: Record) -> None:
        self._metrics.observe(record)
        for observer in self.observers:
            observer(record)


def unavailable() -> Failure:
    """The answer could not be recorded."""
    return Failure(
        "LEDGER_UNAVAILABLE",
        "The answer could not be recorded, so it is not given. Free some disk space.",
        retry_after=5.0,
    )


def build(call: Call, answer: Answer | None, status: int) -> Record:
    """The record of a call: who pays what follows from how it was answered."""
    now = monotonic()
    record = Record(
        id=call.record_id,
        request_id=call.id,
        at=call.at,
        workspace=call.key.workspace,
        key_id=call.key.id,
        surface=call.surface,
        model=call.model,
        status=status,
        seconds=now - call.started,
        stream=call.stream,
        estimated_cost=call.estimated_cost,
        attempts=call.attempts,
        trace_id=call.traceparent[3:35] or None,
        correlation_id=call.correlation_id or None,
        user_id=call.user_id,
        metadata=call.metadata,
        priority=call.priority,
        strategy=call.strategy,
        cost_optimize=call.cost_optimize,
    )
    if answer is not None:
        _answered(record, call, answer)
    return record


def _answered(record: Record, call: Call, answer: Answer) -> None:
    usage = settle_usage(call, answer)
    cost = answer.cost()
    if answer.shared or answer.hit:
        record.cost = answer.paid = 0
        record.saved = cost
    else:
        record.cost = answer.paid = cost
    record.timings = timings(call, answer, record.seconds)
    record.cache = answer.cache
    record.shared = answer.shared
    record.semantic = answer.match
    record.target = answer.target
    record.provider = answer.provider
    record.model_version = answer.model
    record.finish_reason = answer.finish_reason
    record.input_tokens = usage.input_tokens
    record.output_tokens = usage.output_tokens
    record.cached_tokens = usage.cached_tokens
    record.cache_write_tokens = usage.cache_write_tokens
    record.reasoning_tokens = usage.reasoning_tokens
    record.usage_estimated = usage.estimated


def timings(call: Call, answer: Answer, seconds: float) -> dict[str, float]:
    """Where the time of a call went, in milliseconds."""
    total = int(seconds * 1e6) / 1e3
    spent = {"total": total}
    if call.attempts:
        upstream = sum(attempt.duration for attempt in call.attempts)
        last = call.attempts[-1]
        spent["upstream"] = upstream
        spent["overhead"] = int(max(0.0, total - upstream) * 1e3) / 1e3
        if last.first_byte is not None:
            spent["first_byte"] = last.first_byte
        if answer.log is not None and answer.log.first_token is not None:
            spent["first_token"] = int((answer.log.first_token - call.started) * 1e6) / 1e3
    return spent


def settle_usage(call: Call, answer: Answer) -> Usage:
    """The tokens of an answer: the provider's count, else what was received, counted here."""
    log = answer.log
    if log is not None:
        answer.model = log.model or answer.model
        answer.finish_reason = log.finish_reason
        if log.usage is not None:
            answer.usage = log.usage
        elif answer.usage is None or not log.done:
            vocabulary = vocabularies.find(answer.target.partition("/")[2]).name
            prompt = call.input_tokens or tokens.estimate(call.body, call.kind, vocabulary)
            dropped = max(0, log.text_bytes - sum(map(len, log.texts))) // 4
            said = tokens.count(log.text(), vocabulary) + dropped
            answer.usage = Usage(prompt, said, estimated=True)
    if answer.usage is None:
        answer.usage = Usage()
    return answer.usage
