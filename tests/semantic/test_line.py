"""A worker's line to the semantic cache is kept up, whatever keeps it from being made."""

import asyncio
import errno
from pathlib import Path

import msgspec
import pytest
import uvloop

from modelyard.inference.semantic import client
from modelyard.inference.semantic.frames import Clear, Greeting, Setup, frame
from modelyard.inference.series import LevelCounts
from patience import LONG, until

SETUP = Setup("", "", 0.05, 0.3, 4, 9, 9, 0.0, 0)


@pytest.mark.parametrize(
    "error", [OSError(errno.EMFILE, "Too many open files"), msgspec.DecodeError("truncated")]
)
async def test_what_cannot_be_reached_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    line = client.Line(tmp_path, SETUP, LevelCounts())
    tries, told, again = 0, list[str | None](), asyncio.Event()

    async def connect() -> str | None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise error
        told.append(line.trouble)
        again.set()
        return "still not"

    monkeypatch.setattr(client, "_PAUSE", 0.001)
    monkeypatch.setattr(line, "_connect", connect)
    line.open()
    await asyncio.wait_for(again.wait(), LONG)
    await line.close()
    assert told[0] == f"its process cannot be reached: {error}"


def test_what_is_asked_as_the_process_ends_has_no_answer(tmp_path: Path) -> None:
    """Its socket is closed a turn of the loop before the line hears of it."""

    async def greeted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(Greeting("v")))
        await reader.read()
        writer.close()

    async def meet() -> None:
        line = client.Line(tmp_path, SETUP, LevelCounts())
        path = str(tmp_path / "socket")
        async with await asyncio.start_unix_server(greeted, path):
            reader, writer = await asyncio.open_unix_connection(path)
            talking = asyncio.ensure_future(line._talk(reader, writer))
            await asyncio.to_thread(until, lambda: line.up)
            writer.transport.abort()
            await asyncio.sleep(0)  # uvloop closes its handle at once, and tells of it later
            asked = line.ask(line.number(), Clear("w"), 0.05)
            line.post(Clear("w"))
            assert await asked is None
            await asyncio.wait_for(talking, LONG)
        assert line._to_clear == {"w"}
        assert not line.up

    uvloop.run(meet())
