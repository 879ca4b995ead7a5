"""Opening a connection: name, TCP, the proxy's tunnel, TLS; each fails in its own way."""

import asyncio
import socket
import ssl
from typing import Any

from modelyard.inference.transport import proxy, tls
from modelyard.inference.transport.wire import (
    ConnectFailed,
    DnsFailure,
    Origin,
    TlsFailure,
)

ANSWER_LIMIT = 16_384  # bytes of a proxy's answer to CONNECT
HAPPY_EYEBALLS = 0.25  # seconds until the next address is tried as well (RFC 8305)


class _Opening(asyncio.Protocol):
    """Stands in until the connection is open: reads a proxy's answer, and nothing else."""

    def __init__(self) -> None:
        self.received = b""
        self._answer: asyncio.Future[bytes] | None = None

    async def answer(self) -> bytes:
        """What comes up to the first blank line."""
        self._answer = asyncio.get_running_loop().create_future()
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self._answer is None or self._answer.done():
            return
        head, blank, rest = self.received.partition(b"\r\n\r\n")
        if blank:
            self.received = rest
            self._answer.set_result(head)
        elif len(self.received) > ANSWER_LIMIT:
            self._answer.set_exception(ConnectFailed("the proxy's answer to CONNECT has no end"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            text = "the proxy closed the connection instead of answering CONNECT"
            self._answer.set_exception(ConnectFailed(text))


async def dial(
    origin: Origin, context: ssl.SSLContext | None, protocol: asyncio.Protocol
) -> asyncio.Transport:
    """Open a connection to ``origin`` for ``protocol``, whose ``connection_made`` is not called.

    With ``context`` the transport speaks TLS. Bound it in time from outside. Raises
    ``DnsFailure``, ``ConnectFailed`` or ``TlsFailure``.
    """
    via = None if origin.proxy is None else proxy.parse(origin.proxy)
    where = (origin.host.strip("[]"), origin.port) if via is None else (via.host, via.port)
    transport, opening = await _connect(*where)
    opened = None
    try:
        if via is not None and context is not None:
            transport.write(proxy.connect_request(origin, via))
            proxy.check_connect(await opening.answer())
        if opening.received:
            raise ConnectFailed(f"{where[0]}:{where[1]} spoke before it was asked")
        if context is None:
            transport.set_protocol(protocol)
            opened = transport
        else:
            opened = await _start_tls(origin, context, transport, protocol)
    finally:
        if opened is None:
            transport.abort()
    return opened


async def _connect(host: str, port: int) -> tuple[asyncio.Transport, _Opening]:
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {}
    if isinstance(loop, asyncio.BaseEventLoop):  # uvloop tries one address after the other
        options["happy_eyeballs_delay"] = HAPPY_EYEBALLS
    try:
        return await loop.create_connection(_Opening, host, port, **options)
    except (socket.gaierror, UnicodeError) as error:
        text = error.strerror if isinstance(error, OSError) else "not a host name"
        raise DnsFailure(f"{host!r} does not resolve: {text}") from error
    except OSError as error:
        raise ConnectFailed(
            f"{host}:{port} cannot be reached: {error.strerror or error}"
        ) from error


async def _start_tls(
    origin: Origin,
    context: ssl.SSLContext,
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    name = origin.tls.server_name or origin.host.strip("[]")
    try:
        opened = await loop.start_tls(transport, protocol, context, server_hostname=name)
    except (OSError, ssl.CertificateError, ValueError) as error:
        why = tls.reason(error) if isinstance(error, OSError) else str(error)
        text = f"TLS with {origin.host}:{origin.port} as {name!r}: {why}"
        raise TlsFailure(text) from error
    if opened is None:
        raise TlsFailure(f"TLS with {origin.host}:{origin.port}: closed during the handshake")
    return opened
