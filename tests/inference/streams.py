"""Upstream streams by hand: a reply that the test feeds, and chunks to feed."""

import json
from collections.abc import Callable
from typing import Any

from modelyard.inference.eventlog import EventLog

DONE = b"data: [DONE]\n\n"


class Fed:
    """A provider's reply whose every byte the test sends."""

    body = b""
    native: bytes | None = None
    warnings: tuple[str, ...] = ()
    limited = 0.0
    reused = False
    first_byte_seconds = 0.001

    def __init__(self) -> None:
        self.paused = 0
        self.resumed = 0
        self.closed = 0
        self.piece: Callable[[bytes], None] = lambda piece: None
        self.end: Callable[[Exception | None], None] = lambda error: None

    def listen(
        self, piece: Callable[[bytes], None], end: Callable[[Exception | None], None]
    ) -> None:
        self.piece, self.end = piece, end

    def pause(self) -> None:
        self.paused += 1

    def resume(self) -> None:
        self.resumed += 1

    def close(self) -> None:
        self.closed += 1


def chunk(text: str = "", finish: str | None = None, index: int = 0, **fields: Any) -> bytes:
    """One chunk of a streamed chat."""
    delta = {"content": text} if text else {}
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return event({"model": "m-1", "choices": [choice], **fields})


def usage(prompt: int, completion: int) -> bytes:
    """The chunk that carries nothing but usage."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return event({"model": "m-1", "choices": [], "usage": counts})


def event(value: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(value).encode()


def attached(bound: int = 1 << 20, limit: int = 1 << 24, samples: int = 1) -> tuple[EventLog, Fed]:
    log, fed = EventLog(bound, limit, samples), Fed()
    log.attach(fed)
    return log, fed
