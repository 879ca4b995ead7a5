"""A stream's events: one bounded append-only buffer that any number of readers follow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import msgspec

from modelyard.inference.call import Usage
from modelyard.inference.mould import Mould, cast
from modelyard.inference.providers.provider import After, AttemptFailed, Reply
from modelyard.inference.providers.usage import read_usage
from modelyard.inference.shapes import Chunk, decode_chunk
from modelyard.inference.transport.exchange import Passage

_BOM = b"\xef\xbb\xbf"  # a stream may begin with one (WHATWG, server-sent events)
_PAUSE: Final = 1024 * 1024  # bytes the fastest reader may lag before upstream is paused
_GRACE: Final = 2.0  # seconds to wait for usage and [DONE] after the answer's own end
_MOULDS: Final = 4  # that are made in a row though no event fits them
_LINGER: Final = 1.0  # seconds for the body to end after [DONE]: its connection can be reused


class EventLog:
    """The events of one upstream stream, as they came, and what they say.

    ``events[i]`` is one server-sent event with its blank line; ``texts[i]`` its text. Readers
    index from 0; when the log outgrew its bound, the part that all have read is dropped
    (``base``) and nobody can join any more. ``[DONE]`` is not kept: each reader ends by ``done``.
    """

    def __init__(self, bound: int, limit: int, samples: int = 1) -> None:
        self.events: list[bytes] = []
        self.texts: list[str] = []
        self.usage_at = -1  # index of the chunk that carries nothing but usage
        self.base = 0
        self.readers: list[Callable[[], None]] = []  # called when there is more to read
        self.size = 0
        self.text_bytes = 0
        self.done = False
        self.error: AttemptFailed | None = None
        self.usage: Usage | None = None
        self.model: str | None = None
        self.finish_reason: str | None = None
        self.first_token: float | None = None  # monotonic time
        self.followed: Callable[[], bool] | None = None  # others will read from the beginning
        self.endings: list[Callable[[], None]] = []  # called once, when the stream is over
        self._samples = samples
        self._finished: set[int | None] = set()  # choices with a finish_reason, by index
        self._bound = bound
        self._limit = limit
        self._tail = b""
        self._after_cr = False
        self._mould: Mould | None = None
        self._moulds = _MOULDS  # that may still be made
        self._started = asyncio.get_running_loop().create_future()
        self._waiters: list[asyncio.Future[None]] = []
        self._reply: Reply | None = None
        self._read = 0  # bytes the fastest reader has taken
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._awaits_end = False  # within a piece: a timer is to be set

    @classmethod
    def replay(cls, events: list[bytes], texts: list[str], usage_at: int) -> EventLog:
        """The log of a stream that is over, as it was kept."""
        log = cls(0, 0)
        log.events, log.texts, log.usage_at = events, texts, usage_at
        log.size = log._bound = sum(map(len, events))
        log.text_bytes = sum(map(len, texts))
        log.done = True
        log._started.set_result(None)
        return log

    def attach(self, reply: Reply) -> None:
        """Take the reply's events from now on."""
        self._reply = reply
        reply.listen(self.feed, self.ended)

    async def started(self) -> None:
        """Wait for the first token; raises what came instead.

        Until then nothing was sent to a client, and another target may answer.
        """
        if not self._started.done():
            await self._started
        if self.error is not None:
            raise self.error

    def over(self) -> asyncio.Future[None]:
        """Resolved at the end of the stream."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.done:
            future.set_result(None)
        else:
            self._waiters.append(future)
        return future

    def taken(self, upto: int) -> None:
        """A reader has taken ``upto`` bytes in all."""
        if upto > self._read:
            self._read = upto
            if self._paused and self.size - upto < _PAUSE // 2 and self._reply is not None:
                self._paused = False
                self._reply.resume()

    @property
    def joinable(self) -> bool:
        """Whether a late follower would still find the beginning."""
        return self.base == 0 and self.size <= self._bound

    def trim(self, index: int) -> int:
        """Drop what the only reader has read, once the log outgrew its bound; the new index."""
        if self.size <= self._bound or index <= self.base or len(self.readers) > 1:
            return index
        if self.followed is not None and self.followed():
            return index
        del self.events[: index - self.base]
        del self.texts[: index - self.base]
        self.base = index
        return index

    def shorten(self, passage: Passage) -> None:
        """Let ``passage`` have the events first, where the reply's bytes are the upstream's own."""
        shorten = getattr(self._reply, "shorten", None)
        if shorten is not None:
            shorten(passage)

    def take(self, event: bytes) -> bool:
        """Take one whole event, if it fits an earlier one. Readers are not told."""
        return not (self.done or self._tail or self._after_cr) and self._fits(event)

    @property
    def mould(self) -> Mould | None:
        """What the next event may look like to be taken as it is; None for not at all."""
        return None if self.done or self._tail or self._after_cr else self._mould

    @property
    def room(self) -> int:
        """Bytes that may still come before anything is dropped or refused."""
        return min(self._bound, self._limit) - self.size

    def passed(self, size: int, characters: int) -> None:
        """So much was appended to ``events`` and ``texts`` by a relay, and has been read."""
        self._moulds = _MOULDS
        self.size += size
        self.text_bytes += characters
        self.taken(self.size)

    def feed(self, piece: bytes) -> None:
        """Bytes from upstream: split into events."""
        if self.done:
            return
        if self._tail or self._after_cr or not self._fits(piece):
            self._split(piece)
        if self._over():
            return
        if self._awaits_end:
            self._awaits_end = False
            self._timer = asyncio.get_running_loop().call_later(_GRACE, self._finish)
        for reader in self.readers:
            reader()
        if self.size - self._read > _PAUSE and not self._paused and self._reply is not None:
            self._paused = True
            self._reply.pause()

    def _split(self, piece: bytes) -> None:
        """Take the events that are complete."""
        if self._after_cr or piece.find(b"\r") >= 0:
            piece = self._plain_lines(piece)
        if self._tail:
            piece = self._tail + piece
            self._tail = b""
        start = 0
        while (end := piece.find(b"\n\n", start)) >= 0:
            event = piece[start : end + 2] if start or end + 2 < len(piece) else piece
            self._event(event)
            if self._over():
                return
            start = end + 2
        if start < len(piece):
            self._tail = piece[start:]
            if len(self._tail) > self._limit:
                self._fail(AttemptFailed("malformed", "An event of the stream never ends."))

    def _plain_lines(self, piece: bytes) -> bytes:
        """Lines that end by CRLF or CR end by LF; a CRLF may be split between two pieces."""
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_cr = False
        if piece:
            self._after_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def ended(self, error: Exception | None) -> None:
        """Upstream's body is over. Complete only if the answer itself had come to its end."""
        if self.done:
            if self._timer is not None:
                self._timer.cancel()
                self._reply = self._timer = None
            return
        if self._tail and error is None:
            tail, self._tail = self._tail, b""
            self._event(tail.rstrip(b"\n") + b"\n\n")
        if self._over():
            return
        if len(self._finished) >= self._samples:
            self._finish()
            return
        self._fail(_interrupted(getattr(error, "reason", "cut_short")))

    def close(self) -> None:
        """Nobody reads any more: end the upstream call."""
        if not self.done:
            self._fail(AttemptFailed("closed", "Every client left.", healthy=True))

    def text(self) -> str:
        """All the text so far (that was not dropped)."""
        return "".join(self.texts)

    def _fits(self, event: bytes) -> bool:
        """Take an event that differs from an earlier one in its text only."""
        if self._mould is None:
            return False
        text = self._mould.text(event)
        if text is None:
            return False
        self._moulds = _MOULDS
        self._keep(event, text)
        return True

    def _event(self, event: bytes) -> None:
        if self._fits(event):
            return
        if not self.events:
            event = event.removeprefix(_BOM)
        payload = _payload(event)
        if payload is None:
            return  # a comment: we send our own
        if payload == b"[DONE]":
            self._finish()
            return
        try:
            chunk = decode_chunk(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._fail(AttemptFailed("malformed", "The provider sent an event that is no chunk."))
            return
        if chunk.error is not None:
            self._fail(_stream_error(chunk.error))
            return
        self._append(event, chunk)

    def _append(self, event: bytes, chunk: Chunk) -> None:
        text = ""
        for choice in chunk.choices or ():
            if choice.delta is not None and choice.delta.content:
                text += choice.delta.content
            elif choice.text:
                text += choice.text
            if choice.finish_reason:  # some send "" until the end
                self.finish_reason = self.finish_reason or choice.finish_reason
                self._finished.add(choice.index)
                self._mould = None  # text that goes on is looked at
        if chunk.model and chunk.model != self.model:
            self.model = chunk.model
            self._mould = None
        if chunk.usage is not None:
            self.usage = read_usage(chunk.usage) or self.usage
            if not chunk.choices:
                self.usage_at = self.base + len(self.events)
        self._keep(event, text)
        if self.first_token is None and (len(self.events) > 1 or _holds_token(chunk)):
            self.first_token = monotonic()
            if not self._started.done():
                self._started.set_result(None)
        if self.done:
            return
        if len(self._finished) >= self._samples:
            self._expect_end(text)
        elif text and len(self.texts) > 1 and not self._finished and self._moulds:
            mould = cast(event, chunk, text)
            if mould is not None:
                self._moulds -= 1
                self._mould = mould

    def _keep(self, event: bytes, text: str) -> None:
        """Append an event."""
        self.events.append(event)
        self.texts.append(text)
        self.size += len(event)
        self.text_bytes += len(text)
        if self.size > self._limit:
            self._fail(AttemptFailed("body_too_large", "The provider's stream is too large."))

    def _expect_end(self, text: str) -> None:
        """The answer said that it is over: usage and [DONE] may follow, and nothing is awaited
        for long. What goes on speaking is not over.
        """
        if self._timer is not None:
            if not text:
                return
            self._timer.cancel()
        self._awaits_end = True  # the end mostly comes with it: then no timer is needed

    def _over(self) -> bool:
        return self.done

    def _finish(self) -> None:
        if self.done:
            return
        if not self.size:  # what was there may have been dropped
            self._fail(AttemptFailed("empty", "The provider's stream was empty."))
            return
        self._end()
        if self._reply is not None:
            self._timer = asyncio.get_running_loop().call_later(_LINGER, self._let_go)

    def _fail(self, error: AttemptFailed) -> None:
        if not self.done:
            self.error = error
            self._end()
            self._let_go()

    def _let_go(self) -> None:
        """Close the upstream call; a kept log keeps no connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reply is not None:
            self._reply.close()
            self._reply = None

    def _end(self) -> None:
        self.done = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._started.done():
            self._started.set_result(None)
        self.followed = None
        endings, self.endings = self.endings, []
        for ending in endings:
            ending()
        for reader in self.readers:
            reader()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _holds_token(chunk: Chunk) -> bool:
    """Whether a first chunk holds more than the role."""
    for choice in chunk.choices or ():
        delta = choice.delta
        if choice.text or choice.finish_reason:
            return True
        if delta is not None and (
            delta.content or delta.reasoning_content or delta.reasoning or delta.refusal
        ):
            return True
        if delta is not None and (delta.tool_calls is not None or delta.audio is not None):
            return True
    return False


def _payload(event: bytes) -> bytes | None:
    """The data of one event; None for a comment or an event without data."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2:
        return event[6:-2]
    lines = [line[5:].lstrip(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _interrupted(reason: str) -> AttemptFailed:
    """The stream broke off. Its own time running out says nothing of the provider's health."""
    if reason.startswith("timeout"):
        return AttemptFailed(
            reason,
            "The provider's stream stalled, or took longer than the request's time.",
            code="INFERENCE_TIMEOUT",
            after=After.NEXT,
            healthy=reason == "timeout_total",
        )
    message = "The provider's stream ended before the answer was complete."
    return AttemptFailed(reason, message, code="PROVIDER_UNAVAILABLE")


def _stream_error(error: Any) -> AttemptFailed:
    message = error.get("message") if isinstance(error, dict) else error
    detail = error if isinstance(error, dict) else None
    return AttemptFailed(
        "error_event",
        f"The provider reported an error in the stream: {str(message)[:300]}",
        code="PROVIDER_UNAVAILABLE",
        error=detail,
    )
