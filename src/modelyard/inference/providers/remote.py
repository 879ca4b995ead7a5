"""A provider that speaks another dialect than OpenAI's: what all of them have in common.

A dialect says where a call goes, writes the request, and reads answers, streams and errors; see
docs/adr/0007. Nothing is translated where the client speaks the same dialect, save that the
accounts read what passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from modelyard import __version__
from modelyard.inference.call import COUNT, Call
from modelyard.inference.native import attach, payload
from modelyard.inference.providers.counted import counted
from modelyard.inference.providers.limits import closed_for
from modelyard.inference.providers.openai import not_a_stream, origin, refused_with, unreachable
from modelyard.inference.providers.parameters import impossible, unreadable
from modelyard.inference.providers.provider import AttemptFailed, Reply
from modelyard.inference.providers.reply import Whole
from modelyard.inference.transport.wire import (
    Deadlines,
    Request,
    Response,
    Transport,
    TransportError,
    head,
)
from modelyard.settings import ProviderSettings

Json = dict[str, Any]
DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.encode
_WRONG = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ERROR_BYTES = 1024 * 1024
_EVENT_BYTES = 32 * 1024 * 1024  # of one event: a picture may be in it


class Follower(Protocol):
    """Reads one stream of a provider."""

    def feed(self, piece: bytes) -> bytes:
        """What the bytes mean, as canonical server-sent events. Never raises."""


class Dialect(Protocol):
    """A wire format."""

    name: str
    kinds: frozenset[str]  # the kinds of call it has
    stream_type: bytes  # the media type of its streams

    def fields(self, settings: ProviderSettings) -> list[tuple[str, str]]:
        """Header fields of every request: the credential, the version."""

    def path(self, call: Call, model: str) -> str:
        """Where the call goes, below the base URL, percent-encoded."""

    def write(self, call: Call, model: str, warnings: list[str]) -> Json:
        """The request's body. Raises AttemptFailed for what cannot be said."""

    def pass_on(self, call: Call, model: str) -> bytes:
        """The client's own bytes, with the upstream's name of the model."""

    def lines(self, path: str, body: bytes, call: Call, passing: bool) -> bytes:
        """Header lines of this request alone: a signature, or what the client's bytes need."""

    def read(self, body: bytes, call: Call, model: str) -> Json:
        """A complete answer in OpenAI's shape. Raises DecodeError."""

    def follow(self, call: Call, model: str, passing: bool) -> Follower:
        """A reader of a stream; with ``passing`` its events carry the provider's own."""

    def error(self, body: Any) -> Json | None:
        """An error's ``message`` and ``type``, out of a decoded body.

        ``http`` is the status that it should have had, ``retry_after`` seconds to wait.
        """


class Remote:
    """One provider of a dialect."""

    def __init__(
        self,
        name: str,
        settings: ProviderSettings,
        dialect: Dialect,
        transport: Transport,
        max_bytes: int,
    ) -> None:
        self.name = name
        self._dialect = dialect
        self._transport = transport
        self._max_bytes = max_bytes
        url = urlsplit(settings.base_url or "")
        self._origin = origin(settings)
        self._fields = [
            ("Host", url.netloc.rpartition("@")[2]),
            ("User-Agent", f"modelyard/{__version__}"),
            ("Content-Type", "application/json"),
            *dialect.fields(settings),
            *settings.headers.items(),
        ]
        self._base = url.path.rstrip("/")
        self._heads: dict[str, bytes] = {}

    async def call(self, call: Call, model: str, deadlines: Deadlines, attempt: str) -> Reply:
        """One attempt; see ``Provider.call``."""
        dialect = self._dialect
        if call.kind not in dialect.kinds:
            if call.kind == COUNT:
                return counted(call, model)
            text = f"{self.name}/{model} answers no {call.kind} requests: its API has none."
            raise impossible(text + " Use another model.", "model")
        warnings: list[str] = []
        passing = bool(call.raw) and call.dialect == dialect.name
        body = dialect.pass_on(call, model) if passing else self._write(call, model, warnings)
        request = Request(self._head(call, model, attempt, body, passing), body)
        try:
            response = await self._transport.send(
                self._origin, request, deadlines, whole=not call.stream, limit=self._max_bytes
            )
            if response.status != 200:
                raise self._refusal(response, await response.read(_ERROR_BYTES))
            if not call.stream:
                return self._whole(response, await self._bytes(response), call, model, warnings,
                                   passing)  # fmt: skip
            kind = response.header(b"content-type") or b""
            if not kind.startswith(dialect.stream_type):
                raise not_a_stream(kind, await self._bytes(response))
        except TransportError as error:
            raise unreachable(error) from error
        follower = dialect.follow(call, model, passing)
        return _Followed(response, follower, tuple(warnings), b"" if passing else None)

    async def _bytes(self, response: Response) -> bytes:
        return await response.read(self._max_bytes)

    def _write(self, call: Call, model: str, warnings: list[str]) -> bytes:
        try:
            return _encode(self._dialect.write(call, model, warnings))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise unreadable("body", f"cannot be translated for {self.name}: {error!r}") from error

    def _head(self, call: Call, model: str, attempt: str, body: bytes, passing: bool) -> bytes:
        path = self._base + self._dialect.path(call, model)
        start = self._heads.get(path)
        if start is None:
            if len(self._heads) > 1000:  # clients may name any model of a provider
                self._heads.clear()
            start = self._heads[path] = head("POST", path, self._fields)
        lines = b"%bx-request-id: %b\r\nx-correlation-id: %b\r\n%b" % (
            start,
            attempt.encode(),
            call.correlation_id.encode(),
            self._dialect.lines(path, body, call, passing),
        )
        return lines + b"traceparent: %b\r\n" % call.traceparent.encode()

    def _whole(
        self,
        response: Response,
        body: bytes,
        call: Call,
        model: str,
        warnings: list[str],
        passing: bool,
    ) -> Whole:
        try:
            canonical = _encode(self._dialect.read(body, call, model))
        except _WRONG as error:
            reason = "malformed" if body else "empty"
            raise AttemptFailed(reason, f"The provider's answer is {reason}.") from error
        return Whole(
            canonical,
            native=body if passing else None,
            warnings=tuple(warnings),
            reused=response.reused,
            first_byte_seconds=response.first_byte_seconds,
            limited=closed_for(response.headers),
        )

    def _refusal(self, response: Response, body: bytes) -> AttemptFailed:
        try:
            error = self._dialect.error(msgspec.json.decode(body))
        except _WRONG:
            error = None
        status, wait = response.status, None
        if error is not None:
            status, wait = error.pop("http", status), error.pop("retry_after", None)
        failure = refused_with(status, response, error)
        if failure.retry_after is None:
            failure.retry_after = wait
        return failure


class _Followed:
    """A stream whose bytes are read on their way."""

    __slots__ = ("_follower", "_response", "body", "close", "first_byte_seconds", "limited",
                 "native", "pause", "resume", "reused", "warnings")  # fmt: skip

    def __init__(
        self,
        response: Response,
        follower: Follower,
        warnings: tuple[str, ...],
        native: bytes | None,
    ) -> None:
        self.body = b""
        self.native = native
        self.warnings = warnings
        self.limited = closed_for(response.headers)
        self.reused = response.reused
        self.first_byte_seconds = response.first_byte_seconds
        self.pause = response.pause
        self.resume = response.resume
        self.close = response.close
        self._response = response
        self._follower = follower

    def listen(
        self, piece: Callable[[bytes], None], end: Callable[[Exception | None], None]
    ) -> None:
        """See ``Reply``."""
        feed = self._follower.feed

        def read(data: bytes) -> None:
            if events := feed(data):
                piece(events)

        self._response.listen(read, end)


class EventReader(Protocol):
    """Understands a dialect's events, one by one."""

    def chunks(self, data: bytes) -> list[Json] | None:
        """What one event's data means; None: the stream is complete. Raises DecodeError."""


class SseFollower:
    """Splits server-sent events, and has a dialect's reader say what they mean."""

    def __init__(self, reader: EventReader, passing: bool) -> None:
        self._reader = reader
        self._passing = passing
        self._tail = b""
        self._own = b""  # the provider's events that no chunk carries yet

    def feed(self, piece: bytes) -> bytes:
        """See ``Follower``."""
        if b"\r" in piece:
            piece = piece.replace(b"\r", b"")  # no event of these dialects has one inside
        data = self._tail + piece
        *events, self._tail = data.split(b"\n\n")
        if len(self._tail) > _EVENT_BYTES:
            self._tail = b""
            return b"data: unreadable\n\n"  # the log says so
        return b"".join([self._event(event + b"\n\n") for event in events])

    def _event(self, event: bytes) -> bytes:
        event = event.lstrip(b"\n")
        data = payload(event)
        try:
            chunks = self._reader.chunks(data) if data else []
        except _WRONG:
            return b"data: unreadable\n\n"  # the log says so
        if chunks is None:
            return DONE
        if self._passing:
            self._own += event
        out = b""
        for chunk in chunks:
            line = b"data: " + _encode(chunk) + b"\n\n"
            if self._own:
                line = attach(self._own, line)
                self._own = b""
            out += line
        return out
