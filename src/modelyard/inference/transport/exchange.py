"""One request under way: the body of its answer on the way from the connection to its reader."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from modelyard.inference.relay import Relay
from modelyard.inference.transport.coding import Decoder
from modelyard.inference.transport.wire import (
    BodyTooLarge,
    ConnectionLost,
    MalformedResponse,
    TransportError,
)

BACKLOG = 262_144  # bytes kept for a reader that is not there yet; then the socket waits

Piece = Callable[[bytes], None]
End = Callable[[Exception | None], None]


class Source(Protocol):
    """The connection, as its exchange sees it. Each call does nothing for one that is over."""

    def hold(self, exchange: "Exchange") -> None:
        """Stop reading."""

    def flow(self, exchange: "Exchange") -> None:
        """Read again."""

    def fail(self, exchange: "Exchange", error: TransportError) -> None:
        """Close the socket, and settle the exchange with ``error`` in any case."""


class Passage:
    """A short way for a body's chunks, beside the listener."""

    def take(self, body: bytes, chunk: bytes) -> bool:
        """Take one whole chunk: ``body`` is what it holds, ``chunk`` the same with its framing.

        False leaves it to the listener.
        """
        raise NotImplementedError

    def direct(self) -> Relay | None:
        """What is asked before ``take``, with the framed chunk alone."""
        return None

    def prepare(self) -> Relay | None:
        """``direct``, ready for the next chunk; None where that cannot be."""
        return None

    def stop(self) -> None:
        """``direct`` may take nothing more until ``take`` was called again."""


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit} bytes", sent=True)


class Exchange:
    """The ``Response`` of the seam.

    The connection calls ``feed`` for each part of the body, then ``finish``; or ``settle`` with
    what went wrong. ``ready`` resolves when ``send`` may return.
    """

    __slots__ = (
        "closed",
        "connect_seconds",
        "decoder",
        "direct",
        "done",
        "end",
        "ended",
        "error",
        "first_byte_seconds",
        "headers",
        "limit",
        "parts",
        "passage",
        "paused",
        "piece",
        "reader",
        "ready",
        "reused",
        "sent_at",
        "size",
        "source",
        "status",
        "stuffed",
        "whole",
    )

    def __init__(
        self,
        source: Source,
        ready: "asyncio.Future[None]",
        whole: bool,
        limit: int,
        sent_at: float,
        reused: bool,
        connect_seconds: float,
    ) -> None:
        self.source = source
        self.ready = ready
        self.whole = whole
        self.limit = limit
        self.sent_at = sent_at
        self.reused = reused
        self.connect_seconds = connect_seconds
        self.status: int = 0  # 0 until the headers are in
        self.headers: list[tuple[bytes, bytes]] = []
        self.first_byte_seconds: float = 0.0
        self.decoder: Decoder | None = None
        self.parts: deque[bytes] = deque()
        self.size: int = 0  # bytes in ``parts``
        self.paused: bool = False  # by the listener
        self.stuffed: bool = False  # by the backlog
        self.ended: bool = False  # the body came to its end on the wire
        self.done: bool = False  # ... and was decoded, or something went wrong
        self.closed: bool = False  # by the caller
        self.error: TransportError | None = None
        self.piece: Piece | None = None
        self.passage: Passage | None = None
        self.direct: Relay | None = None
        self.end: End | None = None
        self.reader: asyncio.Future[None] | None = None

    # The connection's side

    def feed(self, data: bytes) -> None:
        """Take a part of the body as it came."""
        if self.decoder is not None:
            self.decoder.push(data)
            self._decode()
        elif self.piece is not None and not self.paused:
            self.piece(data)
        else:
            self.parts.append(data)
            self.size += len(data)
            if self.size > self.limit:
                self._overflow()

    def feed_chunk(self, body: bytes, chunk: bytes) -> None:
        """Take a part of the body that came as a chunk of its own; see ``Passage``."""
        passage = self.passage
        if (
            passage is None
            or self.paused
            or self.decoder is not None
            or not passage.take(body, chunk)
        ):
            self.feed(body)

    def finish(self) -> None:
        """The body is complete on the wire."""
        self.ended = True
        if self.whole and self.decoder is None:
            self.done = True
            if not self.ready.done():
                self.ready.set_result(None)
        elif not (self.paused or self.stuffed):
            self._conclude()

    def settle(self, error: TransportError | None) -> None:
        """The outcome: None, or what went wrong. Later ones are ignored."""
        if self.done:
            return
        self.done = True
        self.error = error
        waiting = self.reader if self.ready.done() else self.ready
        if waiting is None:
            self._announce()
        elif not waiting.done():
            if error is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(error)

    # The caller's side

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower-case) name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    async def read(self, limit: int) -> bytes:
        """The whole body; see ``Response.read``."""
        if self.size > limit:
            self.close()
            raise _too_large(limit)
        if not self.done:
            self.limit = limit
            self.reader = asyncio.get_running_loop().create_future()
            self.paused = self.stuffed = False
            try:
                self._advance()
                await self.reader
            except asyncio.CancelledError:
                self.close()
                raise
        if self.error is not None:
            raise self.error
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    def listen(self, piece: Piece, end: End) -> None:
        """Deliver the body by callback; see ``Response.listen``."""
        if self.closed:
            return
        self.piece, self.end = piece, end
        self.stuffed = False
        self._advance()

    def shorten(self, passage: Passage) -> None:
        """Offer the body's chunks to ``passage`` first, from now on."""
        if self.piece is not None:
            self.passage = passage
            self.direct = passage.direct()

    def pause(self) -> None:
        """Deliver nothing until ``resume``."""
        if not self.paused:
            self.paused = True
            self._stop()
            self.source.hold(self)

    def resume(self) -> None:
        """Deliver again."""
        if self.paused:
            self.paused = False
            self._advance()

    def close(self) -> None:
        """Done with it; see ``Response.close``."""
        self.closed = True
        self._stop()
        self.piece = self.end = self.passage = self.direct = None
        if not self.done:
            self.source.fail(self, ConnectionLost("closed by its caller", sent=True))

    # Between the two

    def _overflow(self) -> None:
        if self.whole or self.reader is not None:
            self.source.fail(self, _too_large(self.limit))
        elif not self.stuffed:
            self.stuffed = True
            self.source.hold(self)

    def _decode(self) -> None:
        """Decode what has come, as far as somebody takes it."""
        assert self.decoder is not None
        while not (self.paused or self.stuffed or self.done):
            try:
                data = self.decoder.pull()
            except MalformedResponse as error:
                self.source.fail(self, MalformedResponse(str(error), sent=True))
                return
            if not data:
                return
            if self.piece is not None:
                self.piece(data)
                continue
            self.parts.append(data)
            self.size += len(data)
            if self.size > self.limit:
                self._overflow()

    def _flush(self) -> None:
        """Give the listener what was kept."""
        while self.parts and self.piece is not None and not self.paused:
            part = self.parts.popleft()
            self.size -= len(part)
            self.piece(part)

    def _advance(self) -> None:
        """Go on after a listener or a reader came, or wants more."""
        if self.piece is not None:
            self._flush()
        if self.decoder is not None:
            self._decode()
        if self.done:
            self._announce()
        elif self.paused or self.stuffed:
            return
        elif self.ended:
            self._conclude()
        else:
            self.source.flow(self)

    def _conclude(self) -> None:
        if self.decoder is not None and not self.decoder.finished:
            self.settle(MalformedResponse("the compressed body ends too early", sent=True))
        else:
            self.settle(None)

    def _announce(self) -> None:
        """Tell the listener the outcome: once, and a good one not while it pauses."""
        if self.end is not None and (self.error is not None or not self.paused):
            self._stop()
            end, self.end = self.end, None
            self.piece = self.passage = self.direct = None
            end(self.error)

    def _stop(self) -> None:
        if self.passage is not None:
            self.passage.stop()
