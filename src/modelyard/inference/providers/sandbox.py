"""The sandbox: a provider that needs no model, no key and no network.

It answers deterministically and free, and says so: ``model`` and ``system_fingerprint`` are
``sandbox``. A prompt can tell it to be slow or to fail, so that a client can be tested; see
``docs/reference/sandbox.md``.
"""

import asyncio
import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from time import monotonic

from modelyard.inference import tokens
from modelyard.inference.call import COUNT, EMBEDDING, Call
from modelyard.inference.providers import sandbox_embedding, sandbox_wire
from modelyard.inference.providers.counted import counted
from modelyard.inference.providers.openai import unreachable
from modelyard.inference.providers.provider import After, AttemptFailed, Reply
from modelyard.inference.providers.sandbox_answer import Written, write
from modelyard.inference.providers.sandbox_directives import Directives, parse, prompt_of
from modelyard.inference.providers.sandbox_wire import EMBEDDING_MODEL, MODEL
from modelyard.inference.transport.wire import (
    ConnectionLost,
    Deadlines,
    FirstByteTimeout,
    IdleTimeout,
    TotalTimeout,
    TransportError,
)

_REMEMBERED = 1_024  # prompts whose failures are counted
_AT_ONCE = 16  # embeddings made before others get their turn

# What an HTTP status of a provider means to a client, where it is the request's own fault.
_REFUSALS = {
    400: ("INVALID_REQUEST", After.STOP),
    404: ("MODEL_NOT_FOUND", After.NEXT),
    405: ("PROVIDER_ERROR", After.NEXT),
    413: ("PAYLOAD_TOO_LARGE", After.STOP),
    415: ("INVALID_REQUEST", After.STOP),
    422: ("INVALID_REQUEST", After.STOP),
}


class Sandbox:
    """The provider ``sandbox`` with its models ``sandbox`` and ``sandbox-embedding``."""

    name = "sandbox"
    models = (MODEL, EMBEDDING_MODEL)

    def __init__(self) -> None:
        self._failures: OrderedDict[bytes, int] = OrderedDict()

    async def call(self, call: Call, model: str, deadlines: Deadlines, attempt: str) -> Reply:
        """Answer, or fail as the prompt says; see ``Provider.call``."""
        if call.kind == COUNT:
            return counted(call, model)
        clock = _Clock(deadlines)
        _check(call, model)
        prompt = prompt_of(call.body, call.kind)
        directives, asked = parse(prompt)
        written = None
        if call.kind != EMBEDDING:
            written = write(call.body, call.kind, asked, directives)
        faulty = directives.faulty and self._still_fails(call, prompt, directives)
        if faulty and directives.fail == "timeout":
            await clock.silence(directives.delay or math.inf)
            raise _told(FirstByteTimeout("The sandbox was told not to answer.", sent=True))
        await clock.silence(directives.delay)
        if faulty and (directives.fail or written is None):
            raise _failure(directives)
        if written is None:
            body = await _embed(call, asked if asked != prompt else None)
            return _Complete(body, clock.passed())
        if call.stream:
            events = sandbox_wire.events(written, call.body, call.kind)
            return _Streaming(events, clock, directives, faulty)
        await clock.silence(directives.chunk_delay * written.completion_tokens)
        if faulty:
            raise _failure(directives)
        return _Complete(_body(call, written), clock.passed())

    def _still_fails(self, call: Call, prompt: str, directives: Directives) -> bool:
        """Count a failure of this workspace's prompt; False once it failed often enough."""
        if directives.times is None:
            return True
        text = f"{call.key.workspace}\0{prompt}".encode("utf-8", "replace")
        key = hashlib.sha256(text).digest()
        before = self._failures.pop(key, 0)
        self._failures[key] = min(before + 1, directives.times)
        if len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)
        return before < directives.times


class _Clock:
    """The time a call has: the deadlines hold for the sandbox as for any provider."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._start = monotonic()  # the loop's own clock may count whole milliseconds
        self._deadlines = deadlines

    def passed(self) -> float:
        """Seconds since the call."""
        return monotonic() - self._start

    async def silence(self, seconds: float) -> None:
        """Wait before the first byte. Raises AttemptFailed at a deadline."""
        error = FirstByteTimeout("The sandbox was told to be slower than that.", sent=True)
        late = await self._wait(seconds, self._deadlines.first_byte - self.passed(), error)
        if late is not None:
            raise _told(late) from late

    async def between(self, seconds: float) -> TransportError | None:
        """Wait between two chunks; the error when a deadline came first."""
        error = IdleTimeout("The sandbox was told to stall.", sent=True)
        return await self._wait(seconds, self._deadlines.idle, error)

    async def _wait(
        self, seconds: float, most: float, error: TransportError
    ) -> TransportError | None:
        left = self._deadlines.total - self.passed()
        if left <= most:
            most, error = left, TotalTimeout("The call took longer than it may.", sent=True)
        if seconds >= most:
            await asyncio.sleep(max(0.0, most))
            return error
        if seconds > 0:
            await asyncio.sleep(seconds)
        return None


class _Complete:
    """A complete body."""

    reused = False
    limited = 0.0
    native: bytes | None = None
    warnings: tuple[str, ...] = ()

    def __init__(self, body: bytes, seconds: float) -> None:
        self.body = body
        self.first_byte_seconds = seconds

    def listen(
        self, piece: Callable[[bytes], None], end: Callable[[Exception | None], None]
    ) -> None:
        """The body as one piece."""
        piece(self.body)
        end(None)

    def pause(self) -> None:
        """Nothing to pause."""

    def resume(self) -> None:
        """Nothing to resume."""

    def close(self) -> None:
        """Nothing to end."""


class _Streaming:
    """A stream, made while it is listened to: each event in a turn of the loop of its own."""

    body = b""
    reused = False
    limited = 0.0
    native: bytes | None = None
    warnings: tuple[str, ...] = ()

    def __init__(
        self,
        events: Iterator[tuple[int, bytes]],
        clock: _Clock,
        directives: Directives,
        faulty: bool,
    ) -> None:
        self.first_byte_seconds = clock.passed()
        self._events = events
        self._clock = clock
        self._delay = directives.chunk_delay
        self._cut = directives.cut if faulty else None
        self._error_after = directives.error_after if faulty else None
        self._running = asyncio.Event()
        self._running.set()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def listen(
        self, piece: Callable[[bytes], None], end: Callable[[Exception | None], None]
    ) -> None:
        """Begin; neither is called any more once ``close`` was."""
        if not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._send(piece, end))

    def pause(self) -> None:
        """Hold the next event back."""
        self._running.clear()

    def resume(self) -> None:
        """Go on."""
        self._running.set()

    def close(self) -> None:
        """End it at once. Idempotent, and possible from within ``piece``."""
        self._closed = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _send(
        self, piece: Callable[[bytes], None], end: Callable[[Exception | None], None]
    ) -> None:
        sent = 0
        for added, event in self._events:
            last = added == sandbox_wire.ENDING
            if self._cut is not None and (sent >= self._cut or last):
                end(ConnectionLost("The sandbox was told to cut the stream.", sent=True))
                return
            if self._error_after is not None and (sent >= self._error_after or last):
                piece(sandbox_wire.error_event("The sandbox was told to report an error here."))
                break
            late = await self._clock.between(self._delay if sent and added > 0 else 0.0)
            if late is not None:
                end(late)
                return
            await asyncio.sleep(0)
            if not self._running.is_set():
                await self._running.wait()
            sent += max(0, added)
            piece(event)
            if self._closed:
                return
        if not self._closed:
            end(None)


def _check(call: Call, model: str) -> None:
    """Whether the model exists, and answers this kind of call."""
    wanted = EMBEDDING_MODEL if call.kind == EMBEDDING else MODEL
    if model == wanted:
        return
    if model in Sandbox.models:
        code, status = "MODEL_NOT_SUPPORTED", 400
        text = f"{model!r} does not answer this; use {wanted!r}."
    else:
        known = " and ".join(repr(name) for name in Sandbox.models)
        code, status = "MODEL_NOT_FOUND", 404
        text = f"The sandbox has no model {model[:100]!r}; it has {known}."
    error = {"message": text, "type": "invalid_request_error", "param": "model", "code": None}
    raise AttemptFailed(
        "model", text, code=code, after=After.NEXT, status=status, healthy=True, error=error
    )


def _told(error: TransportError) -> AttemptFailed:
    """A failure that was asked for. It says nothing of the sandbox's health: no circuit may open
    for everybody because one client tests its own.
    """
    failure = unreachable(error)
    failure.healthy = True
    return failure


def _failure(directives: Directives) -> AttemptFailed:
    """The failure that was asked for, as a provider of the OpenAI dialect would cause it."""
    if directives.fail == "disconnect" or (not directives.fail and directives.cut is not None):
        return _told(ConnectionLost("The sandbox was told to hang up.", sent=True))
    status = int(directives.fail or 500)
    message = f"The sandbox was told to fail with HTTP {status}."
    error = {"message": message, "type": "sandbox_error", "param": None, "code": str(status)}
    code, after = _REFUSALS.get(status, ("PROVIDER_ERROR", After.NEXT))
    if status in {408, 504}:
        code, after = "INFERENCE_TIMEOUT", After.RETRY
    elif status == 429:
        code, after = "RATE_LIMITED", After.RETRY
    elif status >= 500:
        code, after = "PROVIDER_UNAVAILABLE", After.RETRY
    return AttemptFailed(
        f"http_{status}",
        message,
        code=code,
        after=after,
        status=status,
        retry_after=directives.retry_after if status == 429 or status >= 500 else None,
        healthy=True,
        error=error,
    )


def _body(call: Call, written: Written) -> bytes:
    return sandbox_wire.complete(written, call.body, call.kind)


async def _embed(call: Call, last: str | None) -> bytes:
    """The vectors of every input; ``last`` replaces the last one's text."""
    dimensions = sandbox_embedding.dimensions_of(call.body)
    as_base64 = call.body.get("encoding_format") == "base64"
    texts = sandbox_embedding.inputs(call.body)
    if last is not None:
        texts[-1] = last
    vectors: list[str | list[float]] = []
    for number, text in enumerate(texts):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        vector = sandbox_embedding.vector(text, dimensions)
        vectors.append(sandbox_embedding.encoded(vector, as_base64))
    return sandbox_wire.embeddings(vectors, tokens.estimate(call.body, call.kind))
