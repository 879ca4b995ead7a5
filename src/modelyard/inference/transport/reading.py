"""Reading answers off a connection (RFC 9112), parsed by llhttp."""

from abc import ABC, abstractmethod
from time import monotonic

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade
from httptools import HttpResponseParser as Parser

from modelyard.inference.framing import unframe
from modelyard.inference.relay import Relay
from modelyard.inference.transport.coding import decoder
from modelyard.inference.transport.exchange import Exchange
from modelyard.inference.transport.fields import (
    HEADERS_LIMIT,
    KEEP_IDLE,
    TELLING,
    Headers,
    seconds_to_keep,
    size_of,
)
from modelyard.inference.transport.proxy import Forward
from modelyard.inference.transport.wire import (
    ConnectFailed,
    ConnectionLost,
    HeadersTooLarge,
    MalformedResponse,
    TransportError,
)


class Reading(ABC):
    """The half of a connection that reads: bytes become the parts of its exchange's answer."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.exchange: Exchange | None = None
        self.forward: Forward | None = None
        self._keep = KEEP_IDLE  # seconds an unused connection is kept
        self._progress = False  # bytes came since the last look at the clock
        self._waiting = False  # no byte of the headers came yet
        self._headers: Headers = []
        self._quiet = 0  # bytes received since the last part of a body
        self._head_only = False
        self._complete = False
        self._between = False  # the parser stands exactly between two chunks of a body
        self._reusable = False
        self._handovers = 0  # how often the answer may still be handed to the poller
        self._renew_parser()

    @abstractmethod
    def fail(self, exchange: Exchange, error: TransportError) -> None:
        """Close the connection if it still serves ``exchange``, which ends with ``error``."""

    @abstractmethod
    def drop(self) -> None:
        """Close the socket at once and leave the pool."""

    @abstractmethod
    def _finish(self) -> None:
        """The answer is complete."""

    @abstractmethod
    def _hand_over(self, relay: Relay | None) -> None:
        """Let the poller read what comes next, if there is a relay for it."""

    @abstractmethod
    def _wait_again(self) -> None:
        """An interim answer is over: the first byte's deadline begins anew."""

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self.exchange is None:  # nobody asked: it cannot be trusted with a request
            self.drop()
            return
        self._progress = True
        if self._between:
            direct = self.exchange.direct
            if direct is not None and direct(data):  # a whole chunk, as below
                self._hand_over(direct)
                return
            body = unframe(data)
            if body is not None:  # a whole chunk: the parser would stand where it stands
                self._quiet = 0
                exchange = self.exchange
                exchange.feed_chunk(body, data)
                if self._handovers and exchange.passage is not None:
                    self._hand_over(exchange.passage.prepare())
                return
            self._between = False
        self._quiet += len(data)
        try:
            self._feed(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._unparsed(error)
        if self._complete:
            self._between = False
            self._finish()
        elif self._between and not data.endswith(b"\r\n"):
            self._between = False  # the next chunk's size has begun
        elif self._quiet > HEADERS_LIMIT:
            self._too_large()

    # The parser's side

    def on_message_begin(self) -> None:
        """An answer begins: after the first complete one, something nobody asked for."""
        if self._complete:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header or a trailer."""
        name = name.lower()
        self._headers.append((name, value))
        if name in TELLING:
            self._note(name, value)

    def on_headers_complete(self) -> None:
        """The headers are in, perhaps of an interim answer."""
        exchange = self.exchange
        if exchange is None or self._complete:
            return
        status = self._status()
        if status < 200:
            self._interim(exchange, status)
            return
        if self._quiet > HEADERS_LIMIT and size_of(self._headers) > HEADERS_LIMIT:
            self._too_large()
            return
        if status == 407 and self.forward is not None:
            self.fail(exchange, ConnectFailed("the proxy asks for other credentials", sent=True))
            return
        self._quiet = 0
        self._progress = True
        exchange.first_byte_seconds = monotonic() - exchange.sent_at
        exchange.status = status
        exchange.headers = self._headers
        self._headers = []
        if self._head_only:
            self._complete = True
            self._reusable = self._parser.should_keep_alive()
            self._renew_parser()  # the old one would wait for a body
        if not (exchange.whole or exchange.ready.done()):
            exchange.ready.set_result(None)

    def on_body(self, data: bytes) -> None:
        """A part of the body, without its framing."""
        exchange = self.exchange
        if exchange is None:
            return
        if self._complete:  # a body after HEAD
            self._reusable = False
            return
        self._quiet = 0
        exchange.feed(data)

    def on_chunk_header(self) -> None:
        """A chunk begins."""
        self._between = False

    def on_chunk_complete(self) -> None:
        """A chunk is over, its line end included."""
        self._between = True

    def on_message_complete(self) -> None:
        """The end of an answer, perhaps of an interim one."""
        exchange = self.exchange
        if exchange is None or self._complete:
            return
        if exchange.status:
            self._complete = True
            self._reusable = self._parser.should_keep_alive()
            return
        self._headers = []
        self._progress = False
        self._waiting = True
        self._wait_again()

    # Its own

    def _renew_parser(self) -> None:
        self._parser = Parser(self)
        self._feed = self._parser.feed_data
        self._status = self._parser.get_status_code

    def _note(self, name: bytes, value: bytes) -> None:
        """A header that means something to the connection."""
        exchange = self.exchange
        if exchange is None or exchange.status:  # closed, or a trailer
            return
        if name == b"keep-alive":
            self._keep = seconds_to_keep(value)
        elif name == b"content-encoding":
            try:
                if exchange.decoder is not None:
                    raise MalformedResponse("the body is compressed more than once")
                exchange.decoder = decoder(value)
            except MalformedResponse as error:
                self.fail(exchange, MalformedResponse(f"{self.label}: {error}", sent=True))
        elif value.strip().lower() != b"chunked":
            text = f"{self.label}: transfer coding other than chunked"
            self.fail(exchange, MalformedResponse(text, sent=True))

    def _interim(self, exchange: Exchange, status: int) -> None:
        """100 Continue and 103 Early Hints are skipped; the rest was never asked for."""
        exchange.decoder = None
        if status < 100 or status == 101:
            text = f"{self.label}: unexpected status {status}"
            self.fail(exchange, MalformedResponse(text, sent=True))

    def _unparsed(self, error: Exception) -> None:
        exchange = self.exchange
        if isinstance(error, HttpParserCallbackError) and error.__context__ is not None:
            if exchange is not None:  # the listener's own mistake, told to whoever runs the loop
                self.fail(exchange, ConnectionLost("its listener failed", sent=True))
            raise error.__context__
        if self._complete:
            self._reusable = False
        elif exchange is not None:
            text = f"{self.label}: the answer is not HTTP: {error}"
            self.fail(exchange, MalformedResponse(text, sent=True))

    def _too_large(self) -> None:
        if self.exchange is not None:
            text = f"{self.label}: headers of more than {HEADERS_LIMIT} bytes"
            self.fail(self.exchange, HeadersTooLarge(text, sent=True))
