"""How an answer goes out: what the surfaces' deliveries have in common."""

from __future__ import annotations

import asyncio
from functools import partial
from math import inf
from time import monotonic

from mypy_extensions import mypyc_attr

from modelyard.inference.admission import Meter, Ticket
from modelyard.inference.answer import Answer
from modelyard.inference.eventlog import EventLog
from modelyard.inference.flights import Flight
from modelyard.inference.providers.provider import AttemptFailed
from modelyard.inference.relay import Relay, make
from modelyard.inference.semantic.match import header as match_header
from modelyard.inference.surfaces.inbound import Inbound, head
from modelyard.inference.transport.exchange import Passage
from modelyard.protocol.errors import Failure

JSON = b"application/json"
SSE = b"text/event-stream; charset=utf-8"
_STREAMING = b"cache-control: no-cache\r\nx-accel-buffering: no\r\n"


@mypyc_attr(allow_interpreted_subclasses=True)
class Delivery:
    """One answer on its way to one client. Surfaces fill in the formats."""

    def __init__(self, inbound: Inbound) -> None:
        self.inbound = inbound
        self.exchange = inbound.exchange
        self.leading: Flight | None = None
        self.following: Flight | None = None
        self.task: asyncio.Task[None] | None = None
        self.touched = inbound.started  # monotonic time of the last bytes sent
        self.index = 0  # of the next event to send

    @property
    def gone(self) -> bool:
        """The client has left."""
        return self.exchange.gone

    def cancel(self) -> None:
        """End the request's task; its provider is not read on until that has happened."""
        if self.task is not None:
            self.exchange.on_drained = None
            self.task.cancel()

    def departed(self) -> None:
        """The client left: its work ends, unless others wait for it too."""
        if self.leading is not None:
            self.leading.leave()
        else:
            self.cancel()

    # By surface

    async def deliver(self, answer: Answer, ticket: Ticket) -> None:
        """See ``pipeline.Delivery``."""
        raise NotImplementedError

    def finish(self, answer: Answer, ticket: Ticket) -> None:
        """See ``pipeline.Delivery``."""
        raise NotImplementedError

    def render(self, log: EventLog, start: int, stop: int) -> bytes:
        """Events ``start`` to ``stop`` of a stream as this surface sends them."""
        raise NotImplementedError

    def failure_body(self, failure: Failure) -> bytes:
        """An error as a JSON body."""
        raise NotImplementedError

    def failure_event(self, failure: Failure) -> bytes:
        """An error as the last event of a stream."""
        raise NotImplementedError

    # Sending

    async def stream(self, answer: Answer, log: EventLog, ticket: Ticket) -> None:
        """Send a stream's events as they come. Raises Failure when it was cut short."""
        exchange = self.exchange
        exchange.begin(200, self.head(SSE, ticket.meter, answer, _STREAMING))
        pump = exchange.on_drained = partial(self._pump, log)
        for other in log.readers:
            other()  # a relay is for one reader: the log shall hold what it took
        log.readers.append(pump)
        try:
            pump()
            if self.passes_on and exchange.chunked:
                log.shorten(Through(self, log))
            if answer.shared:
                async with asyncio.timeout_at(self.deadline):
                    await log.over()
            else:
                await log.over()
            while self.index < log.base + len(log.events):  # the client reads slowly
                await exchange.drain()
                pump()
        except TimeoutError:
            raise Failure(
                "INFERENCE_TIMEOUT", "The answer took longer than the request's time."
            ) from None
        finally:
            exchange.halt()
            exchange.relay = None
            log.readers.remove(pump)
            exchange.on_drained = None
        if log.error is not None:
            raise cut_short(log.error)

    def _pump(self, log: EventLog) -> None:
        """Send what the log has. Called for each piece from upstream, without a task between."""
        self.exchange.halt()
        stop = log.base + len(log.events)
        if self.index < stop and not self.exchange.slow:
            self.exchange.write(self.render(log, self.index, stop))
            self.touched = monotonic()
            log.taken(log.size)
            self.index = log.trim(stop)

    def beat(self, now: float, interval: float) -> None:
        """Keep a silent stream's connection open with a comment."""
        if now - self.touched < interval or self.exchange.finished:
            return
        self.exchange.catch_up()
        if now - self.touched < interval:
            return
        self.touched = now
        if not self.exchange.started:
            self.exchange.begin(200, self.head(SSE, None, None, _STREAMING))
        self.exchange.write(b": keep-alive\n\n")

    def fail(self, failure: Failure, ticket: Ticket | None) -> None:
        """Send an error: as an event if the stream has begun."""
        if self.exchange.started:
            self.exchange.end(self.failure_event(failure))
            return
        extra = b""
        if failure.retry_after is not None:
            extra += b"retry-after: %d\r\n" % max(1, round(failure.retry_after + 0.499))
            extra += b"retry-after-ms: %d\r\n" % max(1, round(failure.retry_after * 1000))
        if failure.status == 401:
            extra += b'www-authenticate: Bearer realm="modelyard"\r\n'
        extra += b"x-should-retry: %b\r\n" % (b"true" if failure.retryable else b"false")
        meter = ticket.meter if ticket is not None else self.meter
        self.exchange.respond(
            failure.status, self.head(JSON, meter, None, extra), self.failure_body(failure)
        )

    meter: Meter | None = None  # known once the key is
    streams = False
    passes_on = False  # events go out as they came
    deadline = inf  # monotonic time by which a follower wants to be done

    def head(
        self, kind: bytes, meter: Meter | None, answer: Answer | None, extra: bytes = b""
    ) -> bytes:
        """Header lines of an answer."""
        if answer is not None:
            extra += answer_lines(answer)
            if answer.match is not None:
                extra += match_header(answer.match)
            if answer.warnings:
                extra += b"x-modelyard-warning: %b\r\n" % _safe(" ".join(answer.warnings))
        limits = meter.headers(self.inbound.at) if meter is not None else b""
        return head(self.inbound, kind, limits, extra)


class Through(Passage):
    """From the upstream's connection to the client's: chunks go on as they came.

    Only while the client takes what comes, and nobody else reads. It does what ``EventLog.feed``
    and ``Delivery.pump`` would, without their detours.
    """

    __slots__ = ("_delivery", "_exchange", "_log")

    def __init__(self, delivery: Delivery, log: EventLog) -> None:
        self._delivery = delivery
        self._exchange = delivery.exchange
        self._log = log

    def direct(self) -> Relay | None:
        """See ``Passage.direct``."""
        log, exchange = self._log, self._exchange
        if make is not None and exchange.connection.socket >= 0:
            exchange.relay = make(
                exchange.connection.socket,
                log.events,
                log.texts,
                log.readers,
                exchange.write_chunk,
                self._passed,
            )
        return exchange.relay

    def prepare(self) -> Relay | None:
        """See ``Passage.prepare``."""
        relay = self._exchange.relay
        if relay is None:
            return None
        relay.catch_up()
        mould, room = self._log.mould, self._log.room
        if mould is None or room <= 0 or not (self._next and self._exchange.drained):
            return None
        relay.set(mould.head, mould.tail, room)
        return relay

    @property
    def _next(self) -> bool:
        """Whether the next event may go to the client at once, and to nobody else."""
        log = self._log
        return (
            len(log.readers) == 1
            and self._delivery.index == log.base + len(log.events)
            and self._exchange.ready
        )

    def stop(self) -> None:
        """See ``Passage.stop``."""
        self._exchange.halt()

    def _passed(self, events: int, size: int, characters: int) -> None:
        """The relay kept and sent so much."""
        delivery = self._delivery
        delivery.touched = monotonic()
        delivery.index += events
        self._log.passed(size, characters)

    def take(self, body: bytes, chunk: bytes) -> bool:
        """See ``Passage.take``."""
        log, delivery = self._log, self._delivery
        if not self._next:
            return False
        relay = self.prepare() if log.room > len(body) else None
        if relay is not None and relay(chunk):
            return True
        if not log.take(body):
            return False
        if log.done:  # it has become too large
            return True
        self._exchange.write_chunk(chunk)
        delivery.touched = monotonic()
        log.taken(log.size)
        delivery.index = log.trim(delivery.index + 1)
        return True


def answer_lines(answer: Answer) -> bytes:
    """Who answered, from where, and what it cost."""
    named = (answer.target, answer.model)
    who = _named.get(named)
    if who is None:
        who = _who(answer.target, answer.model)
        if len(_named) < _MOST_NAMES:
            _named[named] = who
    cache = b"shared" if answer.shared else answer.cache.encode()
    age = answer.age
    if age is not None:  # RFC 9111, section 5.1
        who = b"%bage: %d\r\n" % (who, int(age))
    cost = answer.paid
    if cost is None or answer.log is not None:
        return b"%bx-modelyard-cache: %b\r\n" % (who, cache)
    return b"%bx-modelyard-cache: %b\r\nx-modelyard-cost: %d.%09d\r\n" % (
        who,
        cache,
        cost // 1_000_000_000,
        cost % 1_000_000_000,
    )


_MOST_NAMES = 10_000
_named: dict[tuple[str, str | None], bytes] = {}  # header lines of targets and their models


def _who(target: str, model: str | None) -> bytes:
    lines = b"x-modelyard-target: %b\r\n" % _safe(target)
    return lines + b"x-model-version: %b\r\n" % _safe(model) if model else lines


def cut_short(error: AttemptFailed) -> Failure:
    """An upstream stream that broke after its first event."""
    return Failure(
        error.code,
        f"The answer was cut short: {error.message}",
        details={"reason": error.reason, "complete": False},
    )


def _safe(value: str) -> bytes:
    """A value of an upstream or a client, fit for a header."""
    if value.isascii() and value.isprintable():
        return value.encode()
    kept = "".join(char if char.isprintable() else "?" for char in value)
    return kept.encode("ascii", "replace")
