"""A worker's side of a local model, with the real process."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelyard.inference.local.client import Engine, EngineLost, NotInstalled, Overloaded
from modelyard.inference.local.models import MINILM, folder_of

pytestmark = pytest.mark.slow

LONG = "word " * 254
PATIENCE = 60.0  # seconds


@pytest.fixture
async def engine(minilm: Path) -> AsyncIterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="modelyard-test-") as name:
        place = folder_of(Path(name), MINILM)
        place.parent.mkdir()
        place.symlink_to(folder_of(minilm, MINILM))
        made = Engine(Path(name), MINILM)
        await made.embed(["warm"], True)
        yield made
        await made.close()


async def seconds(engine: Engine) -> float:
    start = time.perf_counter()
    told = await engine.embed(["a small one"], True)
    assert told.tokens == 5
    return time.perf_counter() - start


async def test_what_nobody_waits_for_is_not_computed(engine: Engine):
    for texts in (1500, 6000, 16_000):  # on a fast machine, or where we stand still, it takes more
        large = asyncio.create_task(engine.embed([LONG] * texts, True))
        await asyncio.sleep(0.5)
        await seconds(engine)
        if not large.done():
            break
    assert not large.done(), "a small request waits for a large one"
    large.cancel()
    with pytest.raises(asyncio.CancelledError):
        await large
    assert min([await seconds(engine) for _ in range(20)]) < 1


async def test_what_was_asked_of_a_killed_process_fails_and_the_next_is_answered(engine: Engine):
    assert engine._process is not None
    os.kill(engine._process.pid, signal.SIGSTOP)  # it answers none of them
    asked = [asyncio.create_task(engine.embed([LONG] * 100, True)) for _ in range(3)]
    await asyncio.sleep(0.3)
    os.kill(engine._process.pid, signal.SIGKILL)
    for task in asked:
        with pytest.raises(EngineLost):
            await task
    await seconds(engine)


async def test_no_more_texts_wait_than_may(engine: Engine):
    large = [asyncio.create_task(engine.embed(["a"] * 8_000, True)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await engine.embed(["a"] * 2_000, True)
    assert [len((await task).cut) for task in large] == [0, 0]
    await seconds(engine)


async def test_a_second_process_leaves_the_first_alone(engine: Engine):
    first = engine._process
    others = [Engine(engine._home, MINILM) for _ in range(4)]
    await asyncio.gather(*(other.embed(["a"], True) for other in others))
    assert [other._process for other in others] == [None] * 4
    for other in others:
        await other.close()
    assert first is not None and first.poll() is None
    await seconds(engine)


async def test_those_who_start_it_at_once_share_it(minilm: Path):
    with tempfile.TemporaryDirectory(prefix="modelyard-test-") as name:
        place = folder_of(Path(name), MINILM)
        place.parent.mkdir()
        place.symlink_to(folder_of(minilm, MINILM))
        engines = [Engine(Path(name), MINILM) for _ in range(3)]
        await asyncio.gather(*(engine.embed(["a"], True) for engine in engines))
        started = [one._process for one in engines if one._process is not None]
        async with asyncio.timeout(PATIENCE):
            while sum(one.poll() is None for one in started) > 1:  # noqa: ASYNC110 (processes)
                await asyncio.sleep(0.02)
        assert sum(process.poll() is None for process in started) == 1
        for engine in engines:
            await engine.close()
        assert [process.wait(PATIENCE) for process in started] == [0] * len(started)


async def test_nothing_is_started_that_is_not_installed(tmp_path: Path):
    with pytest.raises(NotInstalled):
        await Engine(tmp_path, MINILM).embed(["a"], True)
