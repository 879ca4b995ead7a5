"""The workers of a server go on though one cannot be started for a while."""

import asyncio
import errno
import sys
from pathlib import Path
from typing import Any

import pytest

from modelyard.jobs import embedded
from modelyard.settings import Settings
from patience import LONG


async def test_a_worker_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    work = f"import pathlib, sys; pathlib.Path({str(begun)!r}).touch(); sys.stdin.read()"
    monkeypatch.setattr(embedded, "_COMMAND", (sys.executable, "-c", work))
    monkeypatch.setattr(embedded, "RESTART_SECONDS", 0.01)
    start, tries = asyncio.create_subprocess_exec, 0

    async def scarce(*words: Any, **more: Any) -> asyncio.subprocess.Process:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return await start(*words, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", scarce)
    workers = embedded.Embedded(Settings(), tmp_path)
    workers.start()
    try:
        async with asyncio.timeout(LONG):
            while not begun.exists():  # noqa: ASYNC110 (another process makes it)
                await asyncio.sleep(0.01)
    finally:
        await workers.stop()
    assert tries == 3
