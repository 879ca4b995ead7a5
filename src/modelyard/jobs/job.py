"""What the function of an operation is given: its rights, its steps, and who waits for it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, get_type_hints

import msgspec

from modelyard.jobs.record import Cancelled, Record
from modelyard.kernel.context import Context
from modelyard.protocol.errors import Failure

T = TypeVar("T")


class Line(Protocol):
    """The way to the worker, which keeps what steps gave and tells of progress."""

    async def step(self, name: str) -> tuple[bool, str]:
        """Whether a step was done before, and what was kept of it."""

    async def stepped(self, outcome: str) -> None:
        """Keep what came of the step that was begun. Returns once it is on disk."""

    def progress(self, fraction: float, message: str) -> None:
        """Tell how far it is."""


class Job:
    """One attempt at an operation.

    ``context`` has the rights of who asked. What is staged in it is committed with the result, all
    or nothing; ``commit`` does so earlier. ``attempt`` counts from 1.
    """

    def __init__(self, context: Context, record: Record, line: Line) -> None:
        self.context = context
        self.name = record.address.name
        self.attempt = record.attempt
        self.cancelled = False
        self._record = record
        self._line = line
        self._stepping = asyncio.Lock()

    async def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What ``function(*arguments)`` gives, done once: a later attempt is given the same.

        The function may be a coroutine function, else it runs in a thread. It gives JSON values or
        a Struct, which its return annotation names. It is done at least once: one whose end could
        not be recorded is done again; a ``Failure`` is recorded, too. Steps are found again by
        their order, so a job takes the same steps in the same order each time, one after the
        other. Raises ``Cancelled``.
        """
        async with self._stepping:
            self.check()
            known, kept = await self._line.step(name)
            if not known:
                self.check()
                kept = await _outcome(function, arguments)
                await self._line.stepped(kept)
            return _read(kept, function)

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far it is, from 0 to 1, and what is being done; from any thread."""
        self._line.progress(min(1.0, max(0.0, fraction)), message[:500])

    def check(self) -> None:
        """Raise ``Cancelled`` once it is to stop. For long loops outside of steps."""
        if self.cancelled:
            raise Cancelled(self.name)

    async def commit(self) -> None:
        """Commit what is staged until now, while the work goes on.

        It is made again by an attempt that died before its next step ended: stage what is the same
        then. Raises ``Refused``.
        """
        await self._record.keep(self.context.commit)
        await after_commit(self.context)
        self.context.forget()


async def after_commit(context: Context) -> None:
    """What methods asked to be done once their commit is made."""
    for work in context.afterwards:
        await work()


_GAVE, _FAILED = "=", "!"


async def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """What came of a call, as it is kept. What is no ``Failure`` is no outcome, and is raised."""
    try:
        if inspect.iscoroutinefunction(function):
            value = await function(*arguments)
        else:
            value = await asyncio.to_thread(function, *arguments)
    except Failure as failure:
        told = (failure.code.symbol, failure.message, failure.details)
        return _FAILED + msgspec.json.encode(told).decode()
    return _GAVE + msgspec.json.encode(value).decode()


def _read(kept: str, function: Callable[..., Any]) -> Any:
    if kept.startswith(_FAILED):
        code, message, details = msgspec.json.decode(kept[1:])
        raise Failure(code, message, details=details)
    return msgspec.json.decode(kept[1:], type=_gives(function))


def _gives(function: Callable[..., Any]) -> Any:
    """The type of what a function returns; Any where it does not say."""
    try:
        wanted = get_type_hints(function).get("return", Any)
    except (NameError, TypeError):
        return Any
    return type(None) if wanted is None else wanted
