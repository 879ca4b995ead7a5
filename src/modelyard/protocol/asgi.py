"""Between ASGI's messages and whole requests and answers."""

import asyncio
import contextlib
import logging
import re
from collections.abc import Mapping
from datetime import date
from math import ceil
from typing import Any
from urllib.parse import quote

import msgspec

from modelyard.protocol.bodies import JSON as JSON
from modelyard.protocol.bodies import Answer as Answer
from modelyard.protocol.bodies import Begun
from modelyard.protocol.bodies import Disconnected as Disconnected
from modelyard.protocol.bodies import Inflow as Inflow
from modelyard.protocol.bodies import Stream as Stream
from modelyard.protocol.bodies import lasting as lasting
from modelyard.protocol.errors import Failure
from modelyard.protocol.wire import API_VERSION, WHOLE

FORM = "application/x-www-form-urlencoded"

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json", re.ASCII)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\";]+)", re.IGNORECASE)
_ALWAYS = (
    (b"x-api-version", API_VERSION.encode()),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_encoder = msgspec.json.Encoder()
_lenient = msgspec.json.Encoder(enc_hook=str)  # details of an error are shown, whatever they hold


log = logging.getLogger("modelyard.http")

Lines = list[tuple[bytes, bytes]]  # header fields, their names in lower case


def path(scope: dict[str, Any]) -> str:
    """The percent-encoded path of a request; ``/api/v1/…`` is ``/v1/…``."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    found = raw.partition(b"?")[0].decode("utf-8", errors="replace")
    return found.removeprefix("/api") if found.startswith("/api/v1/") else found


def encode(status: int, value: Any) -> Answer:
    """``value`` as JSON; nothing for 204."""
    return Answer(status) if status == 204 else Answer(status, _encoder.encode(value))


def failed(failure: Failure, envelope: dict[str, Any]) -> Answer:
    """The answer of a failure, with the header fields that belong to its status."""
    headers = {}
    if failure.retry_after is not None:
        headers["Retry-After"] = str(max(1, ceil(failure.retry_after)))
    if failure.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if "accept_signature" in failure.details:
        headers["Accept-Signature"] = failure.details["accept_signature"]  # RFC 9421, section 5.1
    if failure.status == 416:
        headers["Content-Range"] = f"bytes */{failure.details.get('size', '*')}"
    if failure.status == 405:
        headers["Allow"] = ", ".join(failure.details.get("allowed", ()))
    return Answer(failure.status, _lenient.encode(envelope), headers=headers)


def check_version(sent: bytes | None) -> str:
    """The ``API-Version`` a client pinned, "" for none. Raises ``INVALID_REQUEST``."""
    if sent is None:
        return ""
    text = sent.decode("latin-1")
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        date.fromisoformat(text)
    except ValueError:
        raise Failure(
            "INVALID_REQUEST",
            "The header 'API-Version' must be a date, such as 2026-01-15.",
            details={"field": "API-Version", "rule": "format", "allowed": "YYYY-MM-DD"},
        ) from None
    return text


def last_event_id(sent: bytes | None) -> int | None:
    """The id that a stream's client saw last, a whole number; None without one.

    Raises ``INVALID_REQUEST``. Source: HTML Living Standard, section 9.2.
    """
    if not sent:
        return None
    if not sent.isdigit():
        raise Failure(
            "INVALID_REQUEST",
            "'Last-Event-ID' must be an id of this stream. Leave it out to begin now.",
            details={"field": "Last-Event-ID", "rule": "format", "allowed": "a whole number"},
        )
    return int(sent[:18])


def check_json(content_type: bytes | None) -> None:
    """Raise ``UNSUPPORTED_MEDIA_TYPE`` unless the body says that it is JSON in UTF-8."""
    if content_type == b"application/json":  # as nearly all say it
        return
    text = (content_type or b"").decode("latin-1")
    charset = _CHARSET.search(text)
    if _JSON_TYPE.fullmatch(text.partition(";")[0].strip().lower()) and (
        charset is None or charset.group(1).strip().lower() in ("utf-8", "utf8")
    ):
        return
    raise Failure(
        "UNSUPPORTED_MEDIA_TYPE",
        "Send the body as JSON in UTF-8, with the header 'Content-Type: application/json'.",
        details={"field": "Content-Type", "supported": [JSON]},
    )


async def read_body(
    headers: Mapping[bytes, bytes], receive: Any, limit: int, seconds: float
) -> bytes:
    """The whole body.

    Raises ``PAYLOAD_TOO_LARGE`` past ``limit`` bytes, before reading where the length was
    announced; ``REQUEST_TIMEOUT`` after ``seconds``; ``Disconnected``.
    """
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)
    reading = _gather(receive, limit)
    try:
        waits_for = reading.send(None)
    except StopIteration as done:  # all of it is here: nothing to set a clock for
        return bytes(done.value)
    try:
        async with asyncio.timeout(seconds):
            return bytes(await Begun(reading, waits_for))
    except TimeoutError:
        raise Failure(
            "REQUEST_TIMEOUT",
            f"The body did not arrive within {seconds:g} seconds. Send the request again.",
            details={"seconds": seconds},
        ) from None


async def _gather(receive: Any, limit: int) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _too_large(limit: int) -> Failure:
    return Failure(
        "PAYLOAD_TOO_LARGE",
        f"The body is larger than the {limit} bytes that this path accepts.",
        details={"limit_bytes": limit},
    )


async def deliver(
    scope: dict[str, Any], send: Any, answer: Answer, request_id: str, version: str
) -> None:
    """Send an answer; without its body where HEAD asked. A client that left is no error."""
    lines = _common(request_id, version)
    if answer.status not in (204, 304):
        lines.append((b"content-type", answer.content_type.encode("latin-1")))
        lines.append((b"content-length", str(len(answer.body)).encode()))
    if answer.headers:
        lines = _over(lines, answer.headers)
    whole = scope.get(WHOLE)
    if whole is not None:
        whole(answer.status, lines, answer.body)
        return
    body = b"" if scope["method"] == "HEAD" else answer.body
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": lines})
        await send({"type": "http.response.body", "body": body})
    except OSError:
        return


async def relay(
    send: Any, receive: Any, stream: Stream, request_id: str, version: str, bare: bool
) -> None:
    """Send a stream part by part; it is closed when the client leaves."""
    lines = _common(request_id, version)
    fields = {"Content-Type": stream.content_type, "X-Accel-Buffering": "no"} | stream.headers
    lines = _over(lines, fields)
    start = {"type": "http.response.start", "status": stream.status, "headers": lines}
    if bare:
        await stream.parts.aclose()
        await send(start)
        await send({"type": "http.response.body", "body": b""})
        return
    sending = asyncio.ensure_future(_parts(send, stream, start))
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, leaving):
            task.cancel()
        results = await asyncio.gather(sending, leaving, return_exceptions=True)
        log_failed(results[0], request_id)


async def _parts(send: Any, stream: Stream, start: dict[str, Any]) -> None:
    await send(start)
    async with contextlib.aclosing(stream.parts) as parts:
        async for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def log_failed(result: Any, request_id: str) -> None:
    """Log what broke a stream, as there is no answer any more that could tell of it."""
    if isinstance(result, Exception) and not isinstance(result, OSError):
        extra = {"request_id": request_id}
        log.error("a stream broke", exc_info=result, extra=extra)


def _common(request_id: str, version: str) -> Lines:
    lines = [(b"x-request-id", request_id.encode("latin-1")), *_ALWAYS]
    if version:
        lines.append((b"api-version", version.encode("latin-1")))
    return lines


def _over(lines: Lines, fields: dict[str, str]) -> Lines:
    """Header lines with these fields: in the place of those of the same name."""
    own = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()]
    names = [name for name, _ in own]
    return [line for line in lines if line[0] not in names] + own
