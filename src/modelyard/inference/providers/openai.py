"""The OpenAI dialect: OpenAI itself, and every server that speaks like it.

vLLM, Ollama, llama.cpp, Groq, Together, Mistral, DeepSeek and OpenRouter are configuration, not
code: they differ in URL, key and prices only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

import msgspec

from modelyard import __version__
from modelyard.inference.call import CHAT, COMPLETION, COUNT, EMBEDDING, OPENAI, Call
from modelyard.inference.providers.conform import conform
from modelyard.inference.providers.counted import counted
from modelyard.inference.providers.limits import closed_for
from modelyard.inference.providers.provider import After, AttemptFailed, Reply
from modelyard.inference.shapes import decode_error
from modelyard.inference.transport.wire import (
    Deadlines,
    Origin,
    Request,
    Response,
    Tls,
    Transport,
    TransportError,
    head,
)
from modelyard.settings import ProviderSettings

PATHS = {CHAT: "/chat/completions", COMPLETION: "/completions", EMBEDDING: "/embeddings"}
_encode = msgspec.json.encode
# Models that refuse ``max_tokens`` and any ``temperature`` but their default (OpenAI, "Reasoning
# models"): what a surface assumed is left out for them, and the other is renamed.
_REASONING = re.compile(r"^(o\d|gpt-5)")


class _Complete:
    """A complete answer."""

    __slots__ = ("body", "first_byte_seconds", "limited", "native", "reused", "warnings")

    def __init__(self, response: Response, body: bytes, warnings: tuple[str, ...]) -> None:
        self.body = body
        self.native: bytes | None = None
        self.limited = closed_for(response.headers)
        self.warnings = warnings
        self.reused = response.reused
        self.first_byte_seconds = response.first_byte_seconds

    def listen(
        self, piece: Callable[[bytes], None], end: Callable[[Exception | None], None]
    ) -> None:
        """A complete body as one piece."""
        piece(self.body)
        end(None)

    def pause(self) -> None:
        """Nothing to pause."""

    def resume(self) -> None:
        """Nothing to resume."""

    def close(self) -> None:
        """Nothing to close."""


class _Streaming:
    """A stream as it arrives."""

    __slots__ = ("_response", "body", "close", "first_byte_seconds", "limited", "listen", "native",
                 "pause", "resume", "reused", "shorten", "warnings")  # fmt: skip

    def __init__(self, response: Response, warnings: tuple[str, ...]) -> None:
        self.body = b""
        self.native: bytes | None = None
        self.limited = closed_for(response.headers)
        self.warnings = warnings
        self.reused = response.reused
        self.first_byte_seconds = response.first_byte_seconds
        self._response = response
        self.listen = response.listen
        self.pause = response.pause
        self.resume = response.resume
        self.close = response.close
        self.shorten = getattr(response, "shorten", None)


def origin(settings: ProviderSettings) -> Origin:
    """Where a provider is reached, and how."""
    url = urlsplit(settings.base_url or "")
    return Origin(
        url.scheme,
        url.hostname or "",
        url.port or (443 if url.scheme == "https" else 80),
        Tls(settings.ca_file, settings.client_cert, settings.client_key),
        settings.proxy,
        settings.max_connections,
        settings.pool_wait,
    )


class OpenAI:
    """One provider that speaks OpenAI's dialect."""

    def __init__(
        self, name: str, settings: ProviderSettings, transport: Transport, max_bytes: int
    ) -> None:
        self.name = name
        self._transport = transport
        self._max_bytes = max_bytes
        url = urlsplit(settings.base_url or "")
        self._origin = origin(settings)
        fields = [
            ("Host", url.netloc.rpartition("@")[2]),
            ("User-Agent", f"modelyard/{__version__}"),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ]
        if settings.api_key:
            fields.append(("Authorization", f"Bearer {settings.api_key}"))
        fields += list(settings.headers.items())
        base = url.path.rstrip("/")
        query = f"?{url.query}" if url.query else ""
        self._heads = {
            kind: head("POST", base + path + query, fields) for kind, path in PATHS.items()
        }

    async def call(self, call: Call, model: str, deadlines: Deadlines, attempt: str) -> Reply:
        """One attempt; see ``Provider.call``."""
        if call.kind == COUNT:
            return counted(call, model)
        lines = b"%bx-request-id: %b\r\nx-correlation-id: %b\r\n" % (
            self._heads[call.kind],
            attempt.encode(),
            call.correlation_id.encode(),
        )
        if call.traceparent:
            lines += b"traceparent: %b\r\n" % call.traceparent.encode()
        warnings: tuple[str, ...] = ()
        if call.dialect != OPENAI:
            call, warnings = conform(call, self.name, model)
        request = Request(lines, render(call, model))
        try:
            response = await self._transport.send(
                self._origin, request, deadlines, whole=not call.stream, limit=self._max_bytes
            )
            if response.status != 200:
                raise refusal(response.status, response, await response.read(1024 * 1024))
            if not call.stream:
                return _Complete(response, await response.read(self._max_bytes), warnings)
            kind = response.header(b"content-type") or b""
            if not kind.startswith(b"text/event-stream"):
                body = await response.read(self._max_bytes)
                raise not_a_stream(kind, body)
        except TransportError as error:
            raise unreachable(error) from error
        return _Streaming(response, warnings)


def render(call: Call, model: str) -> bytes:
    """The body to send: the client's own bytes whenever nothing in them must change."""
    body = call.body
    usage = call.stream and not (body.get("stream_options") or {}).get("include_usage")
    if call.raw and body.get("model") == model and not usage and call.dialect == OPENAI:
        return call.raw
    body = body | {"model": model}
    if usage:
        body["stream_options"] = (body.get("stream_options") or {}) | {"include_usage": True}
    if (not call.raw or call.dialect != OPENAI) and _REASONING.match(model):
        for name in call.assumed:
            body.pop(name, None)
        if "max_tokens" in body:
            body["max_completion_tokens"] = body.pop("max_tokens")
    return _encode(body)


def unreachable(error: TransportError) -> AttemptFailed:
    """What went wrong below HTTP, as a failed attempt."""
    code = {
        "malformed": "PROVIDER_ERROR",
        "headers_too_large": "PROVIDER_ERROR",
        "body_too_large": "PROVIDER_ERROR",
        "timeout_first_byte": "INFERENCE_TIMEOUT",
        "timeout_idle": "INFERENCE_TIMEOUT",
        "timeout_total": "INFERENCE_TIMEOUT",
    }.get(error.reason, "PROVIDER_UNAVAILABLE")
    # A silent, unresolvable or untrusted server will not be better a moment later.
    after = (
        After.RETRY if error.reason in {"connection_lost", "connect", "malformed"} else After.NEXT
    )
    healthy = error.reason in {"timeout_pool", "timeout_total"}  # our limits, not its fault
    return AttemptFailed(error.reason, str(error), code=code, after=after, healthy=healthy)


def not_a_stream(kind: bytes, body: bytes) -> AttemptFailed:
    """A 200 that is not the stream that was asked for."""
    try:
        error = decode_error(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = None
    if error is not None:
        return AttemptFailed("error_body", f"The provider answered an error: {_message(error)}")
    if not body:
        return AttemptFailed("empty", "The provider's answer was empty.")
    return AttemptFailed(
        "content_type",
        f"The provider answered {kind.decode('latin-1')[:80] or 'no content type'!r}, no stream.",
    )


# Upstream statuses that speak of the request, not of the provider.
_REFUSED = {
    400: "INVALID_REQUEST",
    404: "MODEL_NOT_FOUND",
    405: "PROVIDER_ERROR",
    413: "PAYLOAD_TOO_LARGE",
    415: "INVALID_REQUEST",
    422: "INVALID_REQUEST",
}


def refusal(status: int, response: Response, body: bytes) -> AttemptFailed:
    """An upstream's answer that is not 200, as a failed attempt."""
    return refused_with(status, response, _error_object(body))


def refused_with(status: int, response: Response, error: dict[str, Any] | None) -> AttemptFailed:
    """The same, of a provider's error object with ``message``, and ``code`` or ``type``."""
    message = _message(error) or f"The provider answered HTTP {status}."
    reason = f"http_{status}"
    wait = retry_after(response)
    if wait is None and status == 429:
        wait = closed_for(response.headers) or None
    kind = str(error.get("code") or error.get("type") or "") if error else ""
    if status == 429:
        exhausted = "quota" in kind
        return AttemptFailed(
            reason,
            message,
            code="RATE_LIMITED",
            after=After.NEXT if exhausted else After.RETRY,
            status=status,
            retry_after=wait,
            error=error,
        )
    if status in {401, 402, 403}:
        text = "The provider refused the configured credential or account."
        return AttemptFailed(reason, text, after=After.NEXT, status=status, error=error)
    if "context_length" in kind or "context_window" in kind:
        return _refused("CONTEXT_TOO_LONG", After.NEXT, reason, message, status, error)
    if "content_policy" in kind or "content_filter" in kind:
        return _refused("CONTENT_FILTERED", After.STOP, reason, message, status, error)
    if status in _REFUSED:
        after = After.NEXT if status in {404, 405} else After.STOP
        return _refused(_REFUSED[status], after, reason, message, status, error)
    if status in {408, 504}:
        return AttemptFailed(reason, message, code="INFERENCE_TIMEOUT", status=status, error=error)
    if status >= 500:
        return AttemptFailed(
            reason,
            message,
            code="PROVIDER_UNAVAILABLE",
            status=status,
            retry_after=wait,
            error=error,
        )
    return AttemptFailed(reason, message, after=After.NEXT, status=status, error=error)


def _refused(
    code: str,
    after: After,
    reason: str,
    message: str,
    status: int,
    error: dict[str, Any] | None,
) -> AttemptFailed:
    return AttemptFailed(
        reason, message, code=code, after=after, status=status, healthy=True, error=error
    )


def retry_after(response: Response) -> float | None:
    """``Retry-After`` in seconds (RFC 9110 10.2.3; dates are not used by these servers)."""
    for name, unit in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        value = response.header(name)
        if value:
            try:
                seconds = float(value) / unit
            except ValueError:
                return None
            return max(0.0, seconds) if isfinite(seconds) else None
    return None


def _error_object(body: bytes) -> dict[str, Any] | None:
    try:
        error = decode_error(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return error if isinstance(error, dict) else {"message": str(error)} if error else None


def _message(error: Any) -> str:
    text = error.get("message") if isinstance(error, dict) else error
    return str(text)[:1000] if text else ""
