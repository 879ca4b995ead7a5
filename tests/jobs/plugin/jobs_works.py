"""A resource whose methods are operations: steps that leave marks, and jobs that go wrong."""

import asyncio
import errno
import importlib
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Annotated

from msgspec import Struct, structs

from modelyard.jobs.job import Job
from modelyard.jobs.kinds import operation
from modelyard.jobs.schema import Compute
from modelyard.kernel.context import Context, Item
from modelyard.kernel.fields import refers
from modelyard.kernel.resource import Resource
from modelyard.protocol.errors import Failure


class Work(Struct, frozen=True, kw_only=True):
    """Something to work at."""

    title: str
    count: int = 0


class Steps(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``march`` is asked for: each step appends its number to ``marks``."""

    marks: str
    steps: int = 3
    seconds: float = 0.0
    hold_at: int = 0  # this step does not end before there is a file named like marks, and ".go"
    die_at: int = 0  # at this step the process kills itself: in the first ``dying`` attempts
    dying: int = 0
    stubborn: bool = False  # sleeps without yielding
    compute: Compute | None = None


class Marched(Struct, frozen=True, kw_only=True):
    """What came of it."""

    total: int
    attempt: int


works = Resource("/works", Work, tag="Works", filterable=("title",))


@operation(works, "march")
async def march(job: Job, item: Item[Work], ask: Steps) -> Marched:
    """Take steps, then count them in the work."""
    total = 0
    for number in range(1, ask.steps + 1):
        if number == ask.die_at and job.attempt <= ask.dying:
            os.kill(os.getpid(), signal.SIGKILL)
        total += await job.step(f"step {number}", take, ask, number)
        job.progress(number / ask.steps, f"{number} of {ask.steps}")
    spec = structs.replace(item.spec, count=item.spec.count + total)
    await job.context.update(item, spec, unchecked=True)
    await job.context.create(works, Work(title=f"after {item.spec.title}"))
    return Marched(total=total, attempt=job.attempt)


def take(ask: Steps, number: int) -> int:
    with Path(ask.marks).open("a") as marks:
        marks.write(f"{number}\n")
    _, name = tempfile.mkstemp()  # left behind, as a careless library does
    with Path(ask.marks + ".left").open("a") as left:
        left.write(f"{name}\n")
    time.sleep(ask.seconds)
    while number == ask.hold_at and not Path(ask.marks + ".go").exists():
        time.sleep(0.01)
    return 1


@operation(works, "vanish", outlives=True)
async def vanish(job: Job, item: Item[Work] | None) -> dict[str, object]:
    """Remove the work, and die before anybody is told."""
    if item is not None:
        job.context.delete(item)
        await job.commit()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"gone": item is None, "attempt": job.attempt}


class Wish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``misbehave`` is asked for."""

    how: str
    seconds: float = 0.0
    compute: Compute | None = None
    artifact: Annotated[str | None, refers("artifacts")] = None


async def allowed(context: Context, item: Item[Work], ask: Wish) -> None:
    """Refuse what is known to be wrong at the door; leave a mark otherwise."""
    if ask.how == "refused":
        raise Failure("INVALID_REQUEST", "'how' may not be refused.", details={"field": "how"})
    if ask.how == "staged":
        await context.update(item, structs.replace(item.spec, count=-1))


@operation(works, "misbehave", check=allowed)
async def misbehave(job: Job, item: Item[Work], ask: Wish) -> dict[str, object]:
    """Do as it is told."""
    if ask.how == "fail":
        raise Failure("TRAINING_JOB_FAILED", "It failed as asked.", details={"why": "asked"})
    if ask.how == "raise":
        raise ValueError("a mistake")
    if ask.how.startswith("after "):

        async def leave_a_mark() -> None:
            await asyncio.to_thread(Path(ask.how.removeprefix("after ")).write_text, "done\n")

        job.context.afterwards.append(leave_a_mark)
    if ask.how == "fill":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if ask.how == "eat":
        return {"eaten": len(bytearray(8 << 30))}
    if ask.how == "eat in Rust":
        polars = importlib.import_module("polars")  # large: no process but this one loads it
        return {"eaten": polars.Series([0]).new_from_index(0, 1 << 30).len()}
    if ask.how == "burn":
        ends = time.monotonic() + ask.seconds
        while time.monotonic() < ends:
            pass
    if ask.how == "sleep":
        await asyncio.sleep(ask.seconds)
    if ask.how == "block":
        time.sleep(ask.seconds)  # noqa: ASYNC251 (as a careless job does)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "nice": os.nice(0),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "group": os.getpgid(0) == os.getpid(),
    }
