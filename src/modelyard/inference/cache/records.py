"""A kept answer as bytes: what the levels below the memory hold of it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from msgspec import DecodeError as DecodeError
from msgspec import Struct

from modelyard.inference.answer import Answer
from modelyard.inference.call import Price, Usage
from modelyard.inference.eventlog import EventLog


class Stream(Struct, array_like=True):
    """The events of a stream, each with its text."""

    events: list[bytes]
    texts: list[str]
    usage_at: int


class Record(Struct, array_like=True):
    """An answer. Members are only ever added at the end; ``sealing.FORM`` counts other changes."""

    created: float  # Unix time when it was new
    target: str
    provider: str
    price: Price | None
    usage: Usage | None
    model: str | None
    finish_reason: str | None
    body: bytes
    native: bytes | None
    warnings: tuple[str, ...]
    stream: Stream | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


def encode(answer: Answer, created: float) -> bytes:
    """The bytes of a complete answer."""
    log = answer.log
    return _encode(
        Record(
            created,
            answer.target,
            answer.provider,
            answer.price,
            answer.usage,
            answer.model,
            answer.finish_reason,
            answer.body,
            answer.native,
            answer.warnings,
            None if log is None else Stream(log.events, log.texts, log.usage_at),
        )
    )


def decode(data: bytes) -> Record:
    """Raises ``msgspec.DecodeError`` for what is no record of this version."""
    return _decode(data)


def copy(answer: Answer, level: str) -> Answer:
    """The same answer, for others to get from ``level``."""
    return replace(answer, cache=level)


def revive(record: Record, level: str, stored: float) -> Answer:
    """The answer of a record. ``stored``: loop time when it was new."""
    stream = record.stream
    log = None
    if stream is not None:
        log = EventLog.replay(stream.events, stream.texts, stream.usage_at)
        log.usage, log.model = record.usage, record.model
        log.finish_reason = record.finish_reason
    return Answer(
        body=record.body,
        log=log,
        target=record.target,
        provider=record.provider,
        price=record.price,
        usage=record.usage,
        model=record.model,
        finish_reason=record.finish_reason,
        cache=level,
        native=record.native,
        warnings=record.warnings,
        stored=stored,
    )
