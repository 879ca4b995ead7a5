"""Inference under an idempotency key: asked of a model once, its answer is given again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from msgspec import structs

from modelyard.gateway.loopback import connected
from modelyard.inference.http.exchange import Exchange
from modelyard.inference.surfaces.inbound import Inbound, head
from modelyard.kernel import idempotency
from modelyard.kernel.context import Context
from modelyard.kernel.ports import Commit, Ports, Replay
from modelyard.protocol.asgi import Answer
from modelyard.protocol.errors import Failure

log = logging.getLogger(__name__)

LARGEST = 4 * 1024 * 1024  # bytes of an answer that is kept
_HEAD = 64 * 1024  # bytes
_RENEWALS = 3  # of a claim within its time
# What belongs to one request or connection: the next has its own.
_OWN = ("connection", "content-length", "transfer-encoding", "host", "expect", "idempotency-key")
_OF_THE_FIRST = ("x-request-id", "x-correlation-id", "traceparent", "x-api-version", "api-version")
_METERED = ("x-ratelimit-", "ratelimit", "x-quota-", "x-modelyard-cost")


class Once:
    """Serves the requests that have a key.

    The first of a key goes the way of every request (limits, cache, flights, ledger) over a pair
    of sockets that nobody else has, so it outlives a client that leaves: what the client asks for
    again is there. What failed, or was cut short, is not kept, and may be asked again.
    """

    def __init__(self, connect: Callable[[], asyncio.Protocol], ports: Ports) -> None:
        self._connect = connect
        self._ports = ports

    async def serve(self, request: Inbound, named: str | None) -> None:
        """Answer a request whose body is in; ``named`` by that body, where no header has a key.

        Raises what it is to be answered with: ``INVALID_REQUEST`` for the key,
        ``IDEMPOTENCY_KEY_REUSED``, ``IDEMPOTENCY_IN_PROGRESS``, and where the store is gone.
        """
        exchange = request.exchange
        body = exchange.body
        if named is not None:
            _trace(request, named)
        context = Context(request.owner, request.request_id, self._ports, request.fields)
        target = f"{exchange.method} {exchange.path}?{exchange.query.decode('latin-1')}"
        found = await _found(context, named, target, body)
        if isinstance(found, Answer):
            _repeat(request, found)
            return
        try:
            async with self._claimed(context, found) as claim:
                async with self._ask(request, body) as reply:
                    reply.lines += _echo(request)
                    await _pass_on(exchange, reply)
                if reply.keepable:
                    await claim.keep(reply.answer)
            _finish(exchange, reply)  # who has read it all finds it kept, or the key free
        except (EOFError, OSError):  # cut short, as it would have been without a key
            exchange.abort()

    @contextlib.asynccontextmanager
    async def _claimed(self, context: Context, first: Replay) -> AsyncIterator[_Claim]:
        """The key is ours until it has an answer; it is free again where it gets none."""
        claim, over = _Claim(context, first), asyncio.Event()
        renewing = asyncio.create_task(claim.renew(over))
        try:
            yield claim
        finally:
            over.set()
            await renewing
            await claim.release()

    @contextlib.asynccontextmanager
    async def _ask(self, request: Inbound, body: bytes) -> AsyncIterator[_Reply]:
        """Make the request of this process's own data plane."""
        async with connected(self._connect, _HEAD) as (reader, writer):
            writer.write(_request(request, len(body)) + body)
            yield _Reply(await reader.readuntil(b"\r\n\r\n"), reader)


def _trace(request: Inbound, named: str) -> None:
    """A body's name of its request finds it in the log, unless a header has another."""
    if b"x-request-id" not in request.fields:
        request.request_id = named
        if b"x-correlation-id" not in request.fields:
            request.correlation_id = named


async def _found(context: Context, named: str | None, target: str, body: bytes) -> Replay | Answer:
    """See ``idempotency.claim``; what it raises names the field that has the key."""
    key = idempotency.key_of(context.headers) if named is None else named
    assert key is not None
    try:
        return await idempotency.claim(context, key, target, body)
    except Failure as failure:
        if named is None or "field" not in failure.details:
            raise
        raise Failure(
            failure.code.symbol,
            failure.message.replace("Idempotency-Key", "request_id"),
            details={"field": "request_id"},
            retry_after=failure.retry_after,
        ) from None


def _echo(request: Inbound) -> bytes:
    """The header field of the key, where there is one."""
    sent = request.fields.get(b"idempotency-key")
    return b"" if sent is None else b"idempotency-key: %b\r\n" % sent


class _Claim:
    """A key while its first request runs."""

    def __init__(self, context: Context, replay: Replay) -> None:
        self._context = context
        self._replay = replay
        self._kept = False

    async def renew(self, over: asyncio.Event) -> None:
        """Keep the key however long the model takes; it is free soon after this process died."""
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), idempotency.CLAIM_SECONDS / _RENEWALS)
                return
            until = time.time() + idempotency.CLAIM_SECONDS
            later = structs.replace(self._replay, expires_at=until)
            with contextlib.suppress(Failure):  # there is time for another attempt
                await self._context.ports.store.commit(Commit(replay=later))
                self._replay = later

    async def keep(self, answer: Answer) -> None:
        """Keep the answer, sealed. It was paid for: it is given even where it cannot be kept."""
        context = self._context
        await asyncio.to_thread(idempotency.keep, context, self._replay, answer)
        try:
            await context.ports.store.commit(context.commit)
            self._kept = True
        except Failure as failure:
            log.error("an answer was not kept for its key", extra={"error": failure.message})

    async def release(self) -> None:
        """Free the key where nothing was kept under it."""
        if not self._kept:
            with contextlib.suppress(Failure):
                await self._context.ports.store.release(self._replay)


class _Reply:
    """An answer as it comes; ``body`` is complete, or too large, once ``pieces`` has ended."""

    def __init__(self, text: bytes, reader: asyncio.StreamReader) -> None:
        first, *lines = text.decode("latin-1").strip().split("\r\n")
        self.status = int(first.split(" ")[1])
        split = (line.partition(":") for line in lines)
        self.fields = {name.lower(): value.strip() for name, _, value in split}
        kept = (f"{k}: {v}\r\n" for k, v in self.fields.items() if k not in _OWN)
        self.lines = "".join(kept).encode("latin-1")
        self.chunked = self.fields.get("transfer-encoding") == "chunked"
        self.body = bytearray()
        self._reader = reader

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. Raises ``EOFError`` where it is cut short."""
        if not self.chunked:
            self.body += await self._reader.readexactly(int(self.fields["content-length"]))
            return
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            piece = await self._reader.readexactly(size)
            await self._reader.readexactly(2)
            if len(self.body) <= LARGEST:
                self.body += piece
            yield piece
        await self._reader.readexactly(2)

    @property
    def keepable(self) -> bool:
        """Whether it is a whole answer, and no error."""
        whole = self.status == 200 and len(self.body) <= LARGEST
        return whole and not (self.chunked and _failed(bytes(self.body)))

    @property
    def answer(self) -> Answer:
        """What is kept of it."""
        fields = {
            name: value
            for name, value in self.fields.items()
            if name not in (*_OWN, *_OF_THE_FIRST, "content-type") and not name.startswith(_METERED)
        }
        return Answer(self.status, bytes(self.body), self.fields["content-type"], fields)


async def _pass_on(exchange: Exchange, reply: _Reply) -> None:
    """Give the client what comes of a stream; a client that has gone hinders nothing."""
    if reply.chunked:
        exchange.begin(reply.status, reply.lines)
    async for piece in reply.pieces():
        exchange.write(piece)
        if exchange.slow:
            await exchange.drain()


def _finish(exchange: Exchange, reply: _Reply) -> None:
    """Send the last bytes, or all: what was answered is kept."""
    if reply.chunked:
        exchange.end()
    else:
        exchange.respond(reply.status, reply.lines, bytes(reply.body))


def _repeat(request: Inbound, kept: Answer) -> None:
    """Answer as the first request was, byte for byte, and say so."""
    fields = dict(kept.headers)
    if "request-id" in fields:  # Anthropic's name for it
        fields["request-id"] = request.request_id
    extra = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    marked = extra.encode("latin-1") + _echo(request)
    lines = head(request, kept.content_type.encode(), b"", marked)
    exchange = request.exchange
    if not kept.content_type.startswith("text/event-stream"):
        exchange.respond(kept.status, lines, kept.body)
        return
    exchange.begin(kept.status, lines)
    exchange.write(kept.body)
    exchange.end()


def _request(request: Inbound, length: int) -> bytes:
    """The head of the same request, without its key."""
    exchange = request.exchange
    skipped = (*_OWN, "x-request-id")
    query = b"?" + exchange.query if exchange.query else b""
    lines = [
        b"%b %b%b HTTP/1.1" % (exchange.method.encode(), exchange.path.encode(), query),
        *(b"%b: %b" % one for one in exchange.headers if one[0].decode("latin-1") not in skipped),
        b"host: modelyard",
        b"x-request-id: " + request.request_id.encode(),
        b"content-length: %d" % length,
        b"connection: close",
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _failed(body: bytes) -> bool:
    """Whether a stream ended with an error: as its last event, or element."""
    last = body[-_HEAD:].rstrip().replace(b"\r\n", b"\n").rpartition(b"\n\n")[2]
    data = [line[5:] for line in last.split(b"\n") if line.startswith(b"data:")]
    try:
        found: Any = msgspec.json.decode(b"".join(data) or body)
    except msgspec.DecodeError:
        return False  # [DONE]
    if isinstance(found, list) and found:
        found = found[-1]
    return isinstance(found, dict) and bool(found.get("error") or found.get("type") == "error")
