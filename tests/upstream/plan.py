"""What happens to one request: a plan is data, ``play`` carries it out."""

import asyncio
import gzip
import json
import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upstream import answers

if TYPE_CHECKING:
    from upstream.server import Exchange

FOREVER = 3600.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One request's fate. The default is a quick, correct answer.

    Counts are of events for a stream (the first event carries the role); a plan for a plain
    answer uses the same fields where they make sense (``cut_after`` then cuts inside the body).
    """

    # the answer
    tokens: int = 3
    text: str | None = None  # else "w0 w1 …", one word a token
    reasoning: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = field(default_factory=dict)  # {} computed, None: not reported
    id: str | None = None
    model: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)  # more fields of the answer's top level

    # an error instead
    status: int = 200
    error: dict[str, Any] | None = None
    retry_after: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    # time, in seconds
    headers_after: float = 0.0
    first_after: float = 0.0  # between headers and the first event
    between: float = 0.0  # between events
    gate: threading.Event | None = None  # waits for it before the headers
    gate_after: int | None = None  # … or before this event, with the headers sent

    # faults
    silent: bool = False  # never answers
    reset: bool = False  # RST before the headers
    hang_up: bool = False  # FIN before the headers
    raw: bytes | None = None  # these bytes, then FIN
    cut_after: int | None = None  # the connection ends after this many events
    cut_reset: bool = False  # … with RST instead of FIN
    cut_clean: bool = False  # … with a well-formed end of the body: only [DONE] is missing
    stall_after: int | None = None  # silent after this many events
    stall_for: float = FOREVER  # … then closed
    malformed_at: int | None = None  # this event is broken JSON
    error_at: int | None = None  # this event is an error object, then the stream ends
    done: bool = True  # [DONE] is sent
    content_type: str | None = None
    empty: bool = False  # 200 without a body
    endless: bool = False  # the body never ends
    big_headers: int = 0  # this many bytes of header fields
    gzip: bool = False

    # other ways of writing the same stream (WHATWG, server-sent events)
    newline: bytes = b"\n"
    split: int | None = None  # bytes a write, so that events arrive in pieces
    prefix: bytes = b""  # before the first event: a byte order mark, comments
    dress: bytes = b""  # lines before each event's data: "event: x", "id: 1", ": comment"
    space: bool = True  # after "data:"
    close: bool = False  # Connection: close; the body ends with the connection
    before: bytes = b""  # before the status line: a 100 or 103 answer

    def __post_init__(self) -> None:
        if self.error is None and self.status >= 400:
            text = f"planned failure {self.status}"
            object.__setattr__(self, "error", {"message": text, "type": "server_error"})


def refused(code: str, message: str, *, kind: str = "invalid_request_error") -> Plan:
    """A 400 with OpenAI's error object."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Plan(status=400, error=error)


CONTEXT_TOO_LONG = refused(
    "context_length_exceeded",
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000.",
)
CONTENT_FILTERED = refused(
    "content_policy_violation",
    "Your request was rejected as a result of our safety system.",
)


async def play(plan: Plan, exchange: "Exchange") -> None:
    """Carry out the plan on one exchange. Raises ConnectionError when the client leaves."""
    if plan.silent:
        await exchange.sleep(FOREVER)
    if plan.gate is not None and plan.gate_after is None:
        await exchange.until(plan.gate)
    if plan.headers_after:
        await exchange.sleep(plan.headers_after)
    if plan.reset or plan.hang_up:
        exchange.close(reset=plan.reset)
        raise ConnectionError("planned")
    if plan.raw is not None:
        await exchange.send(plan.raw)
        exchange.close()
        raise ConnectionError("planned")
    if plan.endless:
        return await _endless(plan, exchange)
    if exchange.request.method == "POST" and plan.error is None and not plan.empty:
        asked = exchange.request.json
        if asked.get("stream"):
            return await _stream(plan, exchange, asked)
    return await _whole(plan, exchange)


def _head(plan: Plan, kind: str, *, length: int | None) -> bytes:
    fields = {"content-type": plan.content_type or kind, "x-request-id": "up-1"}
    if plan.close:
        fields["connection"] = "close"
    elif length is None:
        fields["transfer-encoding"] = "chunked"
    else:
        fields["content-length"] = str(length)
    if plan.gzip:
        fields["content-encoding"] = "gzip"
    if plan.retry_after is not None:
        fields["retry-after"] = plan.retry_after
    for number in range(plan.big_headers // 1000):
        fields[f"x-filler-{number}"] = "f" * 980
    fields |= plan.headers
    lines = [f"HTTP/1.1 {plan.status} Planned", *(f"{k}: {v}" for k, v in fields.items())]
    return plan.before + ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _whole(plan: Plan, exchange: "Exchange") -> None:
    body = b"" if plan.empty else _body(plan, exchange)
    if plan.gzip:
        body = gzip.compress(body)
    await exchange.send(_head(plan, "application/json", length=len(body)))
    if plan.cut_after is not None or plan.stall_after is not None:
        await exchange.send(body[: len(body) // 2])
        await _interrupt(plan, exchange)
    await exchange.send(body)
    if plan.close:
        exchange.close()


def _body(plan: Plan, exchange: "Exchange") -> bytes:
    request = exchange.request
    if plan.error is not None:
        return json.dumps({"error": plan.error}).encode()
    if plan.malformed_at is not None:
        return b'{"id": "chatcmpl-1", "choices": [{"message": {"content": "bro'
    if request.method == "GET":
        return json.dumps(answers.models()).encode()
    return json.dumps(answers.whole(plan, request.path, request.json, request.number)).encode()


async def _interrupt(plan: Plan, exchange: "Exchange") -> None:
    if plan.stall_after is not None:
        await exchange.sleep(plan.stall_for)
    exchange.close(reset=plan.cut_reset)
    raise ConnectionError("planned")


async def _stream(plan: Plan, exchange: "Exchange", asked: dict[str, Any]) -> None:
    wrap = _Framing(chunked=not plan.close, packed=plan.gzip)
    await exchange.send(_head(plan, "text/event-stream; charset=utf-8", length=None))
    if plan.first_after:
        await exchange.sleep(plan.first_after)
    for number, event in enumerate(answers.events(plan, exchange.request.path, asked, exchange)):
        if number in (plan.cut_after, plan.stall_after):
            if not plan.cut_clean:
                await _interrupt(plan, exchange)
            break
        if plan.gate is not None and number == plan.gate_after:
            await exchange.until(plan.gate)
        if number and plan.between:
            await exchange.sleep(plan.between)
        else:
            await asyncio.sleep(0)
        if number == plan.malformed_at:
            event = b'data: {"id": "x", "choices": [{"delta": {"content": "bro\n\n'
        if number == plan.error_at:
            error = plan.error or {"message": "overloaded", "type": "server_error", "code": None}
            await exchange.send(wrap(b"data: " + json.dumps({"error": error}).encode() + b"\n\n"))
            break
        await _write(plan, exchange, wrap, _written(plan, event, number))
    else:
        if plan.done:
            await _write(plan, exchange, wrap, _written(plan, b"data: [DONE]\n\n", -1))
    await exchange.send(wrap.end())
    if plan.close:
        exchange.close()


def _written(plan: Plan, event: bytes, number: int) -> bytes:
    """The event in the plan's way of writing."""
    if not plan.space:
        event = event.replace(b"data: ", b"data:", 1)
    text = plan.dress + event
    if plan.newline != b"\n":
        text = text.replace(b"\n", plan.newline)
    return plan.prefix + text if number == 0 else text


async def _write(plan: Plan, exchange: "Exchange", wrap: "_Framing", data: bytes) -> None:
    size = plan.split or len(data)
    for start in range(0, len(data), size):
        await exchange.send(wrap(data[start : start + size]))
        if plan.split:
            await asyncio.sleep(0)


class _Framing:
    """Chunked and compressed framing of a streamed body."""

    def __init__(self, *, chunked: bool, packed: bool) -> None:
        self._chunked = chunked
        self._packer = zlib.compressobj(wbits=31) if packed else None

    def __call__(self, data: bytes) -> bytes:
        if self._packer is not None:
            data = self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        return b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data

    def end(self) -> bytes:
        tail = self._packer.flush() if self._packer is not None else b""
        if not self._chunked:
            return tail
        return (b"%x\r\n%s\r\n" % (len(tail), tail) if tail else b"") + b"0\r\n\r\n"


async def _endless(plan: Plan, exchange: "Exchange") -> None:
    """A body that never ends: one endless event, or one endless JSON string."""
    stream = bool(exchange.request.json.get("stream"))
    kind = "text/event-stream" if stream else "application/json"
    await exchange.send(_head(plan, kind, length=None))
    wrap = _Framing(chunked=not plan.close, packed=False)
    start = b'data: {"choices": [{"delta": {"content": "' if stream else b'{"id": "'
    await exchange.send(wrap(start))
    block = wrap(b"x" * 65536)
    while True:
        await exchange.send(block)
        await exchange.sleep(plan.between)
