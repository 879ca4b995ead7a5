"""A document at an address that the operator configured: an issuer's keys."""

from __future__ import annotations

from urllib.parse import urlsplit

from modelyard.inference.transport.client import Client
from modelyard.inference.transport.wire import Deadlines, Origin, Request, TransportError, head

LARGEST = 1024 * 1024  # bytes
_DEADLINES = Deadlines(connect=5.0, first_byte=10.0, idle=5.0, total=15.0)


class Fetcher:
    """Fetches over the server's own client: no redirects, no proxy from the environment."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, address: str) -> bytes:
        """The document there. Raises OSError where there is none, ValueError for no address."""
        url = urlsplit(address)
        port = url.port or (443 if url.scheme == "https" else 80)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"no address: {address!r}")
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        fields = [("Host", url.netloc.rpartition("@")[2]), ("Accept", "application/json")]
        origin = Origin(url.scheme, url.hostname, port)
        request = Request(head("GET", target, fields), b"")
        try:
            answer = await self._client.send(origin, request, _DEADLINES, whole=True, limit=LARGEST)
            body = await answer.read(LARGEST)
        except TransportError as error:
            raise OSError(f"{address} cannot be read: {error}") from error
        if answer.status != 200:
            raise OSError(f"{address} answered {answer.status}")
        return body
