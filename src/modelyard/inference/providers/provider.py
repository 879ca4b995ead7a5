"""The seam to providers: who answers a call, and how an attempt can fail."""

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from modelyard.inference.call import Call
from modelyard.inference.transport.wire import Deadlines


class After(Enum):
    """What the router may do after a failed attempt."""

    RETRY = "retry"  # the same target may succeed: once more, then the next
    NEXT = "next"  # this target will not: the next one may
    STOP = "stop"  # the request itself is refused: the client is told


class AttemptFailed(Exception):
    """One attempt failed.

    ``reason`` is a short stable word for the trace; ``code`` the symbol of the error registry to
    use when nobody else answers; ``status`` the upstream's HTTP status, if any; ``retry_after``
    seconds the upstream asked for. ``healthy`` is True when the failure says nothing about the
    provider's health (a refused request). ``error`` is the provider's own error object; ``field``
    names what of the request is refused.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        code: str = "PROVIDER_ERROR",
        after: After = After.RETRY,
        status: int | None = None,
        retry_after: float | None = None,
        healthy: bool = False,
        error: dict[str, Any] | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.code = code
        self.after = after
        self.status = status
        self.retry_after = retry_after
        self.healthy = healthy
        self.error = error
        self.field = field or (error or {}).get("param")


class Reply(Protocol):
    """A provider's answer in OpenAI's shape for the call's kind.

    When the call does not stream, ``body`` is the complete JSON and ``listen`` is not used. When
    it streams, ``body`` is b"" and the events arrive as server-sent event bytes. ``native`` and
    ``warnings``: see ``Answer``. ``limited`` is how many seconds the provider takes no more calls,
    as it says; 0.0 where it does.
    """

    body: bytes
    native: bytes | None
    warnings: tuple[str, ...]
    limited: float
    reused: bool
    first_byte_seconds: float

    def listen(
        self, piece: Callable[[bytes], None], end: Callable[[Exception | None], None]
    ) -> None:
        """As ``Response.listen``: raw SSE bytes, split anywhere; ``end`` exactly once."""

    def pause(self) -> None:
        """Stop producing until ``resume``."""

    def resume(self) -> None:
        """Produce again."""

    def close(self) -> None:
        """Nobody listens any more: end the work upstream at once. Idempotent."""


class Provider(Protocol):
    """One configured provider."""

    name: str

    async def call(self, call: Call, model: str, deadlines: Deadlines, attempt: str) -> Reply:
        """Make one attempt with the upstream model ``model``; ``attempt`` is its own request id.

        Returns once the complete body is in, or for a stream once a 200 with an event stream is
        in. Raises AttemptFailed. Cancelling it ends the upstream call at once.
        """
