"""The registry of error codes, and the one exception that carries a code to a client.

One cause, one symbol, one status. ``errors.tsv`` beside this file is the registry; each code has
a page of its own in ``docs/reference/errors``.
"""

import math
import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

DOCS = "/docs/errors/"  # served by this server itself: right whatever host it is reached by


class ErrorCode(NamedTuple):
    """One row of the registry. ``status`` is None for an event that is no error."""

    symbol: str
    number: str | None
    status: int | None
    retryable: bool
    meaning: str
    other_names: str


def _load() -> dict[str, ErrorCode]:
    text = Path(__file__).with_name("errors.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()[1:] if line]
    codes = {}
    for symbol, number, status, retryable, meaning, other in rows:
        codes[symbol] = ErrorCode(
            symbol,
            number or None,
            None if status == "-" else int(status),
            retryable == "yes",
            meaning,
            other,
        )
    return codes


REGISTRY: dict[str, ErrorCode] = _load()


class Failure(Exception):
    """A failure with a code of the registry, safe to show to a client.

    ``message`` and ``details`` name the field, the rule and the way out; they never hold a
    secret, a stack trace or anything of the inside. ``retry_after`` is in seconds.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
        model_version: str | None = None,
        fallback_available: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.code = REGISTRY[code]
        self.message = message
        self.details = details or {}
        self.retry_after = retry_after
        self.model_version = model_version
        self.fallback_available = fallback_available

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return self.code.status or 500

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code.retryable


def envelope(failure: Failure, request_id: str) -> dict[str, Any]:
    """The one error envelope: ``{"error": {...}}``. Absent fields are left out."""
    error: dict[str, Any] = {
        "code": failure.code.symbol,
        "number": failure.code.number,
        "message": failure.message,
        "details": failure.details or None,
        "request_id": request_id,
        "timestamp": timestamp(),
        "documentation": DOCS + failure.code.symbol,
        "retryable": failure.retryable,
        "retry_after_seconds": failure.retry_after,
        "fallback_available": failure.fallback_available,
        "model_version": failure.model_version,
    }
    return {"error": {name: value for name, value in error.items() if value is not None}}


def now() -> float:
    """Unix seconds in whole milliseconds: what is stored is what clients read."""
    return time.time_ns() // 1_000_000 / 1000


def timestamp(at: float | None = None) -> str:
    """RFC 3339 in UTC with milliseconds: ``2026-01-15T10:30:00.123Z``."""
    return stamp(time.time() if at is None else at)


@lru_cache(maxsize=4096)  # an answer and its event have the same ones
def stamp(at: float) -> str:
    """As ``timestamp``, of a time that is given."""
    part, whole = math.modf(at)  # rounded to microseconds as datetime does, then cut
    seconds, micros = divmod(round(part * 1e6), 1_000_000)
    return f"{_second(int(whole) + seconds)}.{micros // 1000:03d}Z"


@lru_cache(maxsize=1024)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().removesuffix("+00:00")
