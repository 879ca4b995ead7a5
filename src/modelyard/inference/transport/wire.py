"""The seam to upstream servers: what is asked, what comes back, and how it can fail.

Provider code knows these types only; ``client.py`` implements them over sockets, and a test may
implement them over nothing.
"""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

WHOLE_LIMIT = 100 * 1024 * 1024  # bytes of decompressed body that ``send(whole=True)`` reads


class Tls(Struct, frozen=True):
    """TLS towards one origin. Certificates are always verified."""

    ca_file: str | None = None  # a private CA, in addition to the public ones
    client_cert: str | None = None
    client_key: str | None = None
    server_name: str | None = None  # SNI and the name that is verified, when not the host


class Origin(Struct, frozen=True):
    """Where connections go. Connections are pooled per origin."""

    scheme: str  # "http" or "https"
    host: str
    port: int
    tls: Tls = Tls()
    proxy: str | None = None  # "http://user:pass@host:port"; never from the environment
    max_connections: int = 512
    pool_wait: float = 5.0  # seconds to wait for a free connection


class Deadlines(Struct, frozen=True):
    """Limits in seconds; each ends the call with an error of its own."""

    connect: float = 5.0  # DNS, TCP and TLS together
    first_byte: float = 60.0  # from the request's last byte to the first byte of the headers
    idle: float = 30.0  # between two reads of the body
    total: float = 300.0  # all together, waiting for a connection included


class Request(Struct, frozen=True):
    """One HTTP/1.1 request, its head prepared by ``head()``.

    ``head`` ends with CRLF after its last field and lacks Content-Length, which the client adds.
    """

    head: bytes
    body: bytes


class Response(Protocol):
    """An upstream's answer, from the moment its headers are in."""

    status: int
    headers: list[tuple[bytes, bytes]]  # names in lower case
    reused: bool  # came over a pooled connection
    connect_seconds: float  # 0.0 when reused
    first_byte_seconds: float  # from sending to the headers

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower-case) name."""

    async def read(self, limit: int) -> bytes:
        """The whole body, decompressed. Raises ``BodyTooLarge`` past ``limit`` bytes.

        Cancelling it closes the upstream socket at once.
        """

    def listen(
        self, piece: Callable[[bytes], None], end: Callable[[Exception | None], None]
    ) -> None:
        """Deliver the body by callback as it arrives: ``piece`` for each decompressed part,
        then ``end`` exactly once, with None when the body was complete, else a TransportError.

        No task and no queue stand between the socket and ``piece``. Parts that arrived before
        the call are delivered within it. Neither is called after ``close()``, and between
        ``pause()`` and ``resume()`` only ``end`` with an error.
        """

    def pause(self) -> None:
        """Stop reading from the socket (the listener is slow). The idle deadline stands still.

        The total deadline does not.
        """

    def resume(self) -> None:
        """Read again."""

    def close(self) -> None:
        """Done with it. Closes the socket unless the body was complete; idempotent."""


class Transport(Protocol):
    """Sends requests. One for the whole process."""

    async def send(
        self,
        origin: Origin,
        request: Request,
        deadlines: Deadlines,
        *,
        whole: bool = False,
        limit: int = WHOLE_LIMIT,
    ) -> Response:
        """Send and return once the headers are in, or with ``whole`` once the body is in.

        A whole body of more than ``limit`` bytes, decompressed, raises ``BodyTooLarge``; without
        ``whole`` the limit is ``read()``'s. Cancelling the call closes the upstream socket at
        once and frees its slot. Redirects are answers like any other. Raises ``TransportError``.
        """

    async def close(self) -> None:
        """Close every connection. What is under way fails with ``ConnectionLost``."""


class TransportError(Exception):
    """The base of what can go wrong below HTTP.

    ``reason`` is a short stable word for logs and attempts. ``sent`` tells whether any byte of
    the request was handed to the network: if not, sending it again cannot repeat its effect.
    """

    reason = "transport"

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class DnsFailure(TransportError):
    """The host name does not resolve."""

    reason = "dns"


class ConnectFailed(TransportError):
    """Refused, unreachable, or the proxy would not connect."""

    reason = "connect"


class ConnectTimeout(TransportError):
    """No connection within ``Deadlines.connect``."""

    reason = "timeout_connect"


class TlsFailure(TransportError):
    """The certificate does not verify, does not match the name, or the handshake failed."""

    reason = "tls"


class PoolTimeout(TransportError):
    """No connection became free within ``Origin.pool_wait``."""

    reason = "timeout_pool"


class FirstByteTimeout(TransportError):
    """Accepted, but nothing came within ``Deadlines.first_byte``."""

    reason = "timeout_first_byte"


class IdleTimeout(TransportError):
    """The body stalled longer than ``Deadlines.idle``."""

    reason = "timeout_idle"


class TotalTimeout(TransportError):
    """The whole call took longer than ``Deadlines.total``."""

    reason = "timeout_total"


class ConnectionLost(TransportError):
    """Closed or reset before the answer was complete."""

    reason = "connection_lost"


class MalformedResponse(TransportError):
    """What came is not HTTP, or its content coding cannot be decoded."""

    reason = "malformed"


class HeadersTooLarge(TransportError):
    """The headers are larger than the client reads (64 KiB)."""

    reason = "headers_too_large"


class BodyTooLarge(TransportError):
    """The body is larger than the caller reads."""

    reason = "body_too_large"


def head(method: str, target: str, fields: list[tuple[str, str]]) -> bytes:
    """The head of a request, without Content-Length and the blank line.

    Raises ValueError for a control character, so that no value can smuggle a header.
    """
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields]
    for line in lines:
        if any(ord(char) < 32 or ord(char) == 127 for char in line.replace("\t", " ")):
            raise ValueError(f"control character in {line.split(':')[0]!r}")
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")
