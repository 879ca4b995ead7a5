"""One HTTP/1.1 connection: writing, time, and its place in the pool. One exchange at a time."""

import asyncio
import select
import ssl
from collections.abc import Callable
from math import inf
from time import monotonic

from modelyard.inference.outbox import Outbox
from modelyard.inference.relay import Relay
from modelyard.inference.transport import tls
from modelyard.inference.transport.exchange import BACKLOG, Exchange
from modelyard.inference.transport.fields import ends_by_close
from modelyard.inference.transport.handover import Handover
from modelyard.inference.transport.reading import Reading
from modelyard.inference.transport.wire import (
    ConnectionLost,
    Deadlines,
    FirstByteTimeout,
    IdleTimeout,
    Request,
    TlsFailure,
    TotalTimeout,
    TransportError,
)

SHARE = 0.05  # of a stalled answer's time: how late that may be noticed
HANDOVERS = 4  # to the poller, of one answer: each costs, and most need one
JOIN_LIMIT = 65_536  # a larger body is written by itself instead of being copied behind its head

_NO_DEADLINES = Deadlines()
_poll = getattr(select, "poll", None)  # not on Windows


class Connection(Reading):
    """A connection of a pool.

    ``release`` is called with the connection when it may serve again, ``discard`` once it is
    closed or must not. Time is checked from outside, by ``check``.
    """

    def __init__(
        self,
        label: str,
        release: Callable[["Connection"], None],
        discard: Callable[["Connection"], None],
        outbox: Outbox,
        handover: Handover,
    ) -> None:
        super().__init__(label)
        self.closed = False
        self.connect_seconds = 0.0
        self._outbox = outbox
        self._handover = handover
        self._away: Relay | None = None  # the poller reads for it, or has not given back yet
        self._socket = -1  # what the poller could read; TLS it cannot
        self._release = release
        self._discard = discard
        self._transport: asyncio.Transport
        self._readable: Callable[[int], list[tuple[int, int]]] | None = None
        self._used = False
        # Of the current exchange
        self._deadlines = _NO_DEADLINES
        self._total_due = inf
        self._due = inf  # first byte, idle, or the end of an unused connection's life
        self._unsent = 0  # bytes of the body still here at the last check
        self._held: float | None = None  # seconds the idle deadline had left when reading stopped

    def attach(self, transport: asyncio.Transport, connect_seconds: float) -> None:
        """Begin with a transport that is connected, TLS included."""
        self._transport = transport
        self.connect_seconds = connect_seconds
        sock = transport.get_extra_info("socket")
        if _poll is not None and sock is not None:
            poll = _poll()
            poll.register(sock.fileno(), select.POLLIN)
            self._readable = poll.poll
            if transport.get_extra_info("sslcontext") is None:
                self._socket = sock.fileno()

    # The pool's side

    def usable(self) -> bool:
        """Whether an unused connection is still open.

        Anything to read on it is the peer's end, or garbage. The system is asked, because the
        event loop may not have got round to it.
        """
        if self.closed or self._transport.is_closing():
            return False
        return self._readable is None or not self._readable(0)

    def start(
        self,
        request: Request,
        deadlines: Deadlines,
        kept: int | None,
        now: float,
        total_due: float,
        ready: "asyncio.Future[None]",
    ) -> Exchange:
        """Write a request. ``kept`` is the limit of a whole body, None for a stream."""
        exchange = self.exchange = Exchange(
            self,
            ready,
            kept is not None,
            BACKLOG if kept is None else kept,
            now,
            self._used,
            0.0 if self._used else self.connect_seconds,
        )
        self._outbox.serving += 1
        self._used = True
        self._deadlines = deadlines
        self._total_due = total_due
        self._due = now + deadlines.first_byte
        self._progress = False
        self._waiting = True
        self._quiet = 0
        self._handovers = HANDOVERS if self._socket >= 0 else 0
        self._reusable = True
        if self._headers:  # trailers of the last answer
            self._headers = []
        self._write(request.head, request.body)
        return exchange

    def fail(self, exchange: Exchange, error: TransportError) -> None:
        """Close the connection if it still serves ``exchange``, which ends with ``error``."""
        if self.exchange is exchange:
            self._taken()
            self.drop()
        exchange.settle(error)

    def drop(self) -> None:
        """Close the socket at once and leave the pool."""
        if not self.closed:
            self.closed = True
            self._halt()
            # Not close(): that would wait for the peer to answer TLS's close_notify.
            self._transport.abort()
            self._discard(self)

    def check(self, now: float) -> float:
        """Look at the clock, ``time.monotonic()``; gives when to look again, at the latest."""
        exchange = self.exchange
        if self._away is not None and self._away.moved():
            self._progress = True
        if self._progress:
            self._progress = self._waiting = False
            self._due = now + (self._keep if exchange is None else self._deadlines.idle)
        elif now >= self._due and not (self._waiting and self._still_writing(now)):
            if exchange is None:
                self.drop()
                return inf
            self.fail(exchange, self._overdue())
        if exchange is None:
            return self._due
        if now >= self._total_due:
            error = TotalTimeout(f"{self.label}: not complete in the time allowed", sent=True)
            self.fail(exchange, error)
        return min(self._due, self._total_due, now + self._deadlines.idle * SHARE)

    # The exchange's side

    def hold(self, exchange: Exchange) -> None:
        """Stop reading; the idle deadline stands still."""
        if self.exchange is exchange and self._held is None:
            if self._progress:
                self._progress = self._waiting = False
                self._held = self._deadlines.idle
            else:
                self._held = max(0.0, self._due - monotonic())
            self._due = inf
            if not self._transport.is_closing():
                self._transport.pause_reading()

    def flow(self, exchange: Exchange) -> None:
        """Read again."""
        if self.exchange is exchange and self._held is not None:
            self._due = monotonic() + self._held
            self._read_on()

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Not called: see ``attach``."""

    def pause_writing(self) -> None:
        """A body is all here already."""

    def resume_writing(self) -> None:
        """A body is all here already."""

    def eof_received(self) -> None:
        """The peer closed: the end of a body that has no other (RFC 9112, section 6.3)."""
        exchange = self.exchange
        if exchange is None:
            self.drop()
        elif exchange.status and ends_by_close(exchange.headers) and tls.ended(self._transport):
            self._reusable = False
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._halt()
        exchange = self._taken()
        self.closed = True
        self._discard(self)
        if exchange is not None:
            exchange.settle(self._lost(exchange, exc))

    # Its own

    def _write(self, head: bytes, body: bytes) -> None:
        if self.forward is not None:
            head = self.forward.rewrite(head)
        self._head_only = head.startswith(b"HEAD ")
        size = len(body)
        if not size and head.startswith((b"GET ", b"HEAD ", b"DELETE ", b"OPTIONS ")):
            self._transport.write(head + b"\r\n")
        elif size <= JOIN_LIMIT:
            data = b"%bContent-Length: %d\r\n\r\n%b" % (head, size, body)
            self._outbox.write(self._transport, data)
        else:
            self._unsent = size
            self._transport.write(b"%bContent-Length: %d\r\n\r\n" % (head, size))
            self._transport.write(body)

    def _taken(self) -> Exchange | None:
        """What was under way, if anything was: it is over."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            self._outbox.serving -= 1
        return exchange

    def _finish(self) -> None:
        """The answer is complete. The slot is free before its reader hears of it."""
        exchange = self._taken()
        self._complete = False
        if exchange is None:
            return
        if self._unsent and self._reusable:  # a body that large may still be on its way out
            self._unsent = 0
            self._reusable = not self._transport.get_write_buffer_size()
        if self._reusable and self._keep:
            if self._held is not None:
                self._read_on()
            self._progress = True
            self._release(self)
        else:
            self.drop()
        exchange.finish()

    def _wait_again(self) -> None:
        self._due = monotonic() + self._deadlines.first_byte

    def _read_on(self) -> None:
        self._held = None
        if self._away is None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _hand_over(self, relay: Relay | None) -> None:
        if relay is None or not self._handovers or self._transport.is_closing():
            return
        if self._handover.take(relay, self._socket, self._back):
            self._handovers -= 1
            self._away = relay
            self._transport.pause_reading()

    def _back(self, left: bytes) -> None:
        """The poller reads no more; ``left`` is what it read last and the relay did not take."""
        relay, self._away = self._away, None
        if self.closed or self._transport.is_closing():
            return
        if relay is not None and relay.moved():
            self._progress = True
        if self._held is None:
            self._transport.resume_reading()
        if left:
            self._take_back(left)

    def _take_back(self, left: bytes) -> None:
        """As a transport does for what it read: a listener that fails loses the connection."""
        taken = False
        try:
            self.data_received(left)
            taken = True
        finally:
            if not taken:
                self._transport.abort()

    def _halt(self) -> None:
        """The socket is about to be closed: nobody else may read it."""
        if self._away is not None:
            self._away.halt()

    def _still_writing(self, now: float) -> bool:
        """Whether the peer took some of a large body since the last check: it gets more time."""
        left = self._transport.get_write_buffer_size() if self._unsent else 0
        if left >= self._unsent:
            return False
        self._unsent = left
        self._due = now + self._deadlines.first_byte
        return True

    def _overdue(self) -> TransportError:
        if self._waiting:
            seconds = self._deadlines.first_byte
            return FirstByteTimeout(f"{self.label}: no answer within {seconds:g} s", sent=True)
        seconds = self._deadlines.idle
        return IdleTimeout(f"{self.label}: the answer stalled for {seconds:g} s", sent=True)

    def _lost(self, exchange: Exchange, exc: Exception | None) -> TransportError:
        if isinstance(exc, ssl.SSLError):
            return TlsFailure(f"{self.label}: {exc.reason or exc}", sent=True)
        when = "before the answer was complete" if exchange.status else "before any answer"
        cause = f": {exc}" if exc else ""
        return ConnectionLost(f"{self.label}: closed {when}{cause}", sent=True)
