"""One attempt to send a message: no redirect is followed, and only what may be called is called."""

from __future__ import annotations

import asyncio
from time import monotonic, time
from typing import Protocol
from urllib.parse import SplitResult

from modelyard.inference.transport.wire import (
    Deadlines,
    Origin,
    Request,
    Tls,
    Transport,
    TransportError,
    head,
)
from modelyard.protocol.errors import timestamp
from modelyard.webhooks import addresses
from modelyard.webhooks.deliveries.schema import Attempt
from modelyard.webhooks.limits import Limits

SHOWN = 1000  # characters of an answer that the log keeps
_LARGEST = 64 * 1024  # bytes of an answer that are read
_AGENT = "Modelyard-Webhooks"


class Send(Protocol):
    """Sends a message and tells what came of it; it raises nothing."""

    async def __call__(self, url: str, fields: list[tuple[str, str]], body: bytes) -> Attempt:
        """One attempt."""


class Sender:
    """Sends over the server's own client."""

    def __init__(self, transport: Transport, limits: Limits) -> None:
        self._transport = transport
        self._limits = limits

    async def __call__(self, url: str, fields: list[tuple[str, str]], body: bytes) -> Attempt:
        """One attempt, bounded in time from the look-up of the name to the end of the answer."""
        began, clock = time(), monotonic()
        status: int | None = None
        shown, error = "", None
        try:
            async with asyncio.timeout(self._limits.timeout):
                status, shown = await self._post(url, fields, body)
        except TimeoutError:
            error = f"no answer within {self._limits.timeout:g} s"
        except addresses.Forbidden as refusal:
            error = f"the address {refusal}"
        except (TransportError, OSError, ValueError) as failure:
            error = str(failure) or type(failure).__name__
        seconds = round(monotonic() - clock, 3)
        return Attempt(
            at=timestamp(began), seconds=seconds, status=status, error=error, response=shown
        )

    async def _post(self, url: str, fields: list[tuple[str, str]], body: bytes) -> tuple[int, str]:
        allowed, limit = self._limits.networks, self._limits.timeout
        parts = addresses.parse(url, allowed)
        origin = _origin(parts, await addresses.resolve(parts, allowed))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        every = [
            ("Host", parts.netloc),
            ("User-Agent", _AGENT),
            ("Content-Type", "application/json"),
            *fields,
        ]
        deadlines = Deadlines(connect=limit, first_byte=limit, idle=limit, total=limit)
        request = Request(head("POST", target, every), body)
        answer = await self._transport.send(origin, request, deadlines)
        try:
            text = (await answer.read(_LARGEST)).decode(errors="replace")
        except TransportError as error:  # it is the status that counts
            text = f"({error})"
        finally:
            answer.close()
        return answer.status, "".join(c if c.isprintable() else " " for c in text)[:SHOWN]


def _origin(parts: SplitResult, address: str) -> Origin:
    """Connects to this very address, and speaks TLS with the host of the URL."""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    name = str(parts.hostname)
    return Origin(parts.scheme, address, port, tls=Tls(server_name=name), max_connections=8)
