"""Writes of one turn go out together, and at once where only one is served."""

import asyncio
from typing import Any, cast

from modelyard.inference.outbox import Outbox


class Noted:
    """A transport that tells what was written to it, in one list with others."""

    def __init__(self, name: str, written: list[tuple[str, bytes]]) -> None:
        self.name, self.written = name, written
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.written.append((self.name, data))


def two() -> tuple[Any, Any, list[tuple[str, bytes]]]:
    written: list[tuple[str, bytes]] = []
    return cast(Any, Noted("one", written)), cast(Any, Noted("two", written)), written


async def test_the_only_one_that_is_served_waits_for_no_other() -> None:
    one, _, written = two()
    outbox = Outbox()
    outbox.serving = 1
    outbox.write(one, b"now")
    assert written == [("one", b"now")] and outbox.empty


async def test_what_several_write_in_one_turn_goes_out_at_its_end() -> None:
    one, other, written = two()
    outbox = Outbox()
    outbox.serving = 2
    outbox.write(one, b"1")
    outbox.write(other, b"2")
    outbox.write(one, b"3")
    assert written == [] and not outbox.empty
    await asyncio.sleep(0)
    assert written == [("one", b"1"), ("two", b"2"), ("one", b"3")] and outbox.empty


async def test_the_last_one_does_not_overtake_what_waits() -> None:
    one, other, written = two()
    outbox = Outbox()
    outbox.serving = 2
    outbox.write(one, b"first")
    outbox.serving = 1
    outbox.write(one, b"second")
    outbox.write(other, b"third")
    assert written == []
    await asyncio.sleep(0)
    assert written == [("one", b"first"), ("one", b"second"), ("two", b"third")]


async def test_nothing_is_written_to_one_that_closes() -> None:
    one, other, written = two()
    outbox = Outbox()
    one.closing = True
    outbox.write(one, b"late")
    outbox.serving = 2
    outbox.write(one, b"later")
    outbox.write(other, b"in time")
    await asyncio.sleep(0)
    assert written == [("two", b"in time")]
