"""Questions that need polars but no worker: a process answers them within seconds.

The serving process never loads polars. Whether a recipe fits the columns, and what it makes of a
few rows, is told by a process that is started for it and ends with its answer.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from modelyard.catalog.datasets.schema import Column
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.kernel.context import Item
from modelyard.ml.checks import Constraint
from modelyard.ml.steps import Cell, Step
from modelyard.protocol.errors import Failure

MOST = 4  # such processes at a time, of one serving process
SECONDS = 20.0
MEMORY = 1 << 30  # bytes that one may allocate
_running: set[object] = set()


class Tables(Struct, frozen=True, kw_only=True):
    """The columns of a table, or the file that has its rows."""

    columns: list[Column] = []
    file: str = ""
    most: int | None = None  # rows of the file, from the first on


class Question(Struct, frozen=True, kw_only=True):
    """What is to be tried: steps or constraints. ``shown`` is None where only types matter."""

    source: Tables
    tables: dict[str, Tables] = {}
    steps: list[Step] = []
    learnt: list[dict[str, Any]] | None = None
    constraints: list[Constraint] = []
    shown: int | None = None


class Trouble(Struct, frozen=True, kw_only=True):
    """What is wrong, in words, and where: ``steps[1].expression``."""

    message: str
    field: str
    number: int


class Answer(Struct, frozen=True, kw_only=True):
    """What came of it. Without rows that were asked for, there are only troubles, if any."""

    trouble: Trouble | None = None
    columns: dict[str, str] = {}
    rows: list[dict[str, Cell]] = []
    sampled: int = 0
    made: int = 0


async def recipe(
    source: Item[Version],
    tables: Mapping[str, Item[Version]],
    steps: Sequence[Step],
    learnt: Sequence[dict[str, Any]] | None,
) -> None:
    """Raise ``INVALID_REQUEST`` for a step that does not fit the columns.

    A machine that is too busy to tell in time lets it pass: the operation tells it then.
    """
    question = Question(
        source=columns(source),
        tables={name: columns(one) for name, one in tables.items()},
        steps=list(steps),
        learnt=None if learnt is None else list(learnt),
    )
    await _checked(question)


async def constraints(source: Item[Version], asked: Sequence[Constraint]) -> None:
    """As ``recipe``, for a constraint."""
    await _checked(Question(source=columns(source), constraints=list(asked)))


async def _checked(question: Question) -> None:
    try:
        with place():
            await answered(question)
    except Failure as failure:
        if failure.code.symbol == "INVALID_REQUEST":
            raise


def columns(version: Item[Version]) -> Tables:
    """A version by its columns alone."""
    return Tables(columns=version.spec.schema.fields)


def of_file(data: Path, most: int | None = None) -> Tables:
    """A table by its rows, or the first of them."""
    return Tables(file=str(data), most=most)


@contextmanager
def place() -> Iterator[None]:
    """One of a few places for a process, and for the files that it reads.

    Raises ``SYSTEM_OVERLOADED`` while others have them.
    """
    if len(_running) >= MOST:
        raise Failure(
            "SYSTEM_OVERLOADED",
            f"{MOST} recipes and constraints are being looked at. Try again in a moment.",
            retry_after=2,
        )
    mark = object()
    _running.add(mark)
    try:
        yield
    finally:
        _running.discard(mark)


async def answered(question: Question) -> Answer:
    """The answer of a process of its own, which has its ``place``.

    Raises ``INVALID_REQUEST`` for troubles, and ``DATA_TRANSFORMATION_ERROR`` for what takes too
    long or too much memory.
    """
    answer = await _asked(msgspec.json.encode(question))
    if answer.trouble is not None:
        raise _refusal(answer.trouble)
    return answer


async def _asked(question: bytes) -> Answer:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "modelyard.catalog.datasets.trial",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"POLARS_MAX_THREADS": "1"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            told, _ = await process.communicate(question)
    except TimeoutError:
        raise _too_much(f"more than {SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise _too_much(f"more than {MEMORY >> 20} MiB of memory")
    return msgspec.json.decode(told, type=Answer)


def _refusal(trouble: Trouble) -> Failure:
    return Failure(
        "INVALID_REQUEST",
        f"'{trouble.field}': {trouble.message}.",
        details={"field": trouble.field, "rule": "fit", "step": trouble.number},
    )


def _too_much(what: str) -> Failure:
    return Failure(
        "DATA_TRANSFORMATION_ERROR",
        f"Trying it took {what}. Try fewer rows or steps, or have it done as an operation.",
        details={"field": "steps", "reason": what},
    )
