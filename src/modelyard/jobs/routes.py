"""What of operations is no plain method: waiting for one, and following it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from modelyard.jobs.operations import operations
from modelyard.jobs.schema import WaitOperation
from modelyard.kernel.context import Context
from modelyard.kernel.methods import Scope
from modelyard.kernel.ports import Row
from modelyard.kernel.route import Place, Route
from modelyard.kernel.watch import KEEP_ALIVE_SECONDS, LIVE_SECONDS, POLL_SECONDS
from modelyard.protocol.asgi import Stream, last_event_id


class Waits:
    """Whether requests may still wait: not when the server is stopping."""

    def __init__(self) -> None:
        self.over = False


async def wait(context: Context, ask: WaitOperation, query: Scope) -> dict[str, Any]:
    """Wait until it is done or the time is over, then answer with it as it is."""
    row, waits = context.item(operations).row, context.of(Waits)
    ends = time.monotonic() + ask.timeout_seconds
    while not row.spec["done"] and not waits.over and time.monotonic() < ends:
        await asyncio.sleep(min(POLL_SECONDS, max(0.0, ends - time.monotonic())))
        row = await _again(context, row)
    return operations.show(row)


async def _again(context: Context, row: Row) -> Row:
    """The row as it is now; as it was where it was forgotten meanwhile."""
    return await context.ports.store.get(row.address) or row


async def follow(context: Context, query: Scope) -> Stream:
    """The operation as it is, and again after each change, until it is done.

    An event's id is the operation's revision: who comes back with `Last-Event-ID` is told at once
    if anything changed meanwhile.
    """
    seen = last_event_id(context.headers.get(b"last-event-id")) or 0
    return Stream(_changes(context, context.item(operations).row, seen))


async def _changes(context: Context, row: Row, seen: int) -> AsyncGenerator[bytes, None]:
    ends, told = time.monotonic() + LIVE_SECONDS, time.monotonic()
    yield b"retry: 1000\n\n"
    while True:
        if row.revision != seen:
            await context.renew()
            context.check("operation:read", row)
            seen, told = row.revision, time.monotonic()
            yield _message(row)
        elif time.monotonic() - told >= KEEP_ALIVE_SECONDS:
            told = time.monotonic()
            yield b": keep-alive\n\n"
        if row.spec["done"] or time.monotonic() > ends:
            return
        await asyncio.sleep(POLL_SECONDS)
        now = await context.ports.store.get(row.address)
        if now is None:
            return
        row = now


def _message(row: Row) -> bytes:
    data = msgspec.json.encode(operations.show(row))
    return b"id: %d\nevent: operation\ndata: %b\n\n" % (row.revision, data)


def routes() -> list[Route]:
    """``:wait`` and ``/watch`` of one operation."""
    item = "/v1/operations/{operation_id}"
    common: dict[str, Any] = {
        "permission": "operation:read",
        "tag": operations.tag,
        "query": Scope,
        "place": Place(kind=operations.kind, item="operation_id"),
        "errors": ("NOT_FOUND", "SYSTEM_OVERLOADED"),
    }
    return [
        Route(
            method="POST",
            path=item + "/wait",
            serve=wait,
            summary="Wait until done or a timeout",
            request=WaitOperation,
            response=operations.types.view,
            operation="waitOperation",
            examples={"request": {"timeout_seconds": 10}},
            **common,
        ),
        Route(
            method="GET",
            path=item + "/watch",
            serve=follow,
            summary="Follow one operation",
            stream=operations.types.view,
            operation="watchOperation",
            headers={"Last-Event-ID": "The last event seen: later states follow."},
            **common,
        ),
    ]
