"""A worker's line to the semantic cache is kept up, whatever keeps it from being made."""

import asyncio
import errno
from pathlib import Path

import msgspec
import pytest

from modelyard.inference.semantic import client
from modelyard.inference.semantic.frames import Setup
from modelyard.inference.series import LevelCounts
from patience import LONG


@pytest.mark.parametrize(
    "error", [OSError(errno.EMFILE, "Too many open files"), msgspec.DecodeError("truncated")]
)
async def test_what_cannot_be_reached_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    setup = Setup(str(tmp_path), "", 0.05, 0.3, 4, 9, 9, 0.0, 0)
    line = client.Line(tmp_path, setup, LevelCounts())
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
