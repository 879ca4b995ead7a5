"""The look for jobs that nobody has goes on after an error of the database."""

import asyncio
import contextlib
import sqlite3
from typing import Any

import pytest

from modelyard.gateway.jobs import runner
from patience import LONG


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), OSError("lost")])
async def test_the_look_goes_on(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    nothing: Any = None
    one = runner.Runner(nothing, nothing, 1, 1.0, 1)
    looked, again = 0, asyncio.Event()

    async def look(now: float) -> None:
        nonlocal looked
        looked += 1
        if looked == 1:
            raise error
        again.set()

    monkeypatch.setattr(runner, "LOOK", 0.001)
    monkeypatch.setattr(one, "_look", look)
    running = asyncio.create_task(one.run())
    await asyncio.wait_for(again.wait(), LONG)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
