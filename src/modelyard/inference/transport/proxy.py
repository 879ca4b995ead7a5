"""Forward proxies: absolute form for http, CONNECT for https (RFC 9112, 3.2.2; RFC 9110, 9.3.6).

A proxy is used only where an origin names it, never because of the environment.
"""

from base64 import b64encode
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from modelyard.inference.transport.wire import ConnectFailed, DnsFailure, Origin


class Proxy(Struct, frozen=True):
    """Where a proxy listens, and the header that it wants, with its CRLF, or b""."""

    host: str
    port: int
    credentials: bytes


class Forward(Struct, frozen=True):
    """How requests are put to a proxy that forwards them itself."""

    base: bytes  # http://host:port
    credentials: bytes

    def rewrite(self, head: bytes) -> bytes:
        """The head with its target in absolute form."""
        method, _, rest = head.partition(b" ")
        return b"%b %b%b%b" % (method, self.base, rest, self.credentials)


def parse(url: str) -> Proxy:
    """Read ``http://user:pass@host:port``; user and password may be percent-encoded.

    Raises ``ConnectFailed``, which never shows the credentials.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError as error:
        raise ConnectFailed("the proxy's address is not a URL") from error
    if parts.scheme != "http" or not parts.hostname:
        raise ConnectFailed("the proxy's address must look like http://user:pass@host:port")
    credentials = b""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = b"Proxy-Authorization: Basic %b\r\n" % b64encode(pair.encode())
    return Proxy(parts.hostname, port, credentials)


def authority(origin: Origin) -> bytes:
    """``host:port`` as it stands in a request. Raises ``DnsFailure`` for what is no host name."""
    host = origin.host.strip("[]")
    try:
        name = host.encode("ascii" if host.isascii() else "idna")
    except UnicodeError as error:
        raise DnsFailure(f"{host!r} is not a host name") from error
    if not name or any(byte <= 32 or byte in b"/?#@\x7f" for byte in name):
        raise DnsFailure(f"{host!r} is not a host name")
    return b"%b:%d" % (b"[%b]" % name if b":" in name else name, origin.port)


def forward(origin: Origin, proxy: Proxy) -> Forward:
    """How to put requests for ``origin`` to ``proxy``."""
    return Forward(b"http://" + authority(origin), proxy.credentials)


def connect_request(origin: Origin, proxy: Proxy) -> bytes:
    """The request for a tunnel to ``origin``."""
    target = authority(origin)
    return b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (target, target, proxy.credentials)


def check_connect(answer: bytes) -> None:
    """Judge a proxy's answer to CONNECT, up to its blank line. Raises ``ConnectFailed``."""
    line = answer.split(b"\r\n", 1)[0].decode("latin-1")
    version, _, rest = line.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not (len(status) == 3 and status.isdigit()):
        raise ConnectFailed("the proxy's answer to CONNECT is not HTTP")
    if not status.startswith("2"):
        shown = "".join(char for char in rest if char.isprintable())[:100]
        raise ConnectFailed(f"the proxy refused the tunnel: {shown}")
