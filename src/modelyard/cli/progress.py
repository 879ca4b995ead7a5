"""How far a command is: a bar on a terminal, plain lines elsewhere, and how Ctrl-C ends it.

All of it goes to standard error: standard output has the result alone.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from modelyard.cli.output import console, safe
from modelyard.cli.problem import Problem

T = TypeVar("T")

INTERRUPTED = 130  # the exit status after Ctrl-C: 128 and the signal's number
BYTES = "bytes"
_QUIET_SECONDS = 2.0  # a command that takes less writes no plain line
_LINE_SECONDS = 5.0  # between two plain lines that say the same
_NEWS_SECONDS = 1.0  # between two of one phase that say something else
_BAR = 15  # columns
_WIDE = 100  # columns of a terminal from which on a bar may be twice as long


@contextmanager
def shown(going_on: str, *, steps: bool = False) -> Iterator[Bar]:
    """A bar for what may take long. ``going_on`` tells whoever interrupts it how to go on.

    Where standard error is no terminal, it is lines: at the beginning of each phase and every few
    seconds, but none of a command that is over in two seconds unless ``steps``. Raises Problem
    with the exit status 130 after Ctrl-C.
    """
    out = console(stderr=True)
    terminal = sys.stderr.isatty()
    bar = BarColumn(_BAR * (2 if out.width >= _WIDE else 1))
    rest = out.width - (bar.bar_width or 0) - 2  # one blank between two columns
    with (
        interruptible(going_on),
        Progress(
            _Words(rest), bar, _Figures(rest), console=out, transient=True, disable=not terminal
        ) as drawn,
    ):
        yield Bar(drawn, terminal=terminal, steps=steps)


@contextmanager
def listing(what: str) -> Iterator[Bar]:
    """A bar for a list that is asked for page by page; ``at`` tells how many there are so far."""
    with shown("nothing was changed; the same command begins anew") as bar:
        bar.phase("listing", unit=what)
        yield bar


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives. Ctrl-C ends it where it is; asyncio would wait for its next pause."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, end)
    try:
        return asyncio.run(work)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def interruptible(going_on: str) -> Iterator[None]:
    """What Ctrl-C means here. Raises Problem with the exit status 130."""
    try:
        yield
    except KeyboardInterrupt:
        raise Problem(f"interrupted; {going_on}", status=INTERRUPTED) from None


class Bar:
    """One command's progress, phase by phase. ``shown`` makes it."""

    def __init__(self, drawn: Progress, *, terminal: bool, steps: bool) -> None:
        self._drawn = drawn
        self._terminal = terminal
        self._task: Task | None = None
        self._said = ""
        self._said_at = float("-inf")
        self._quiet_until = time.monotonic() + (0.0 if steps else _QUIET_SECONDS)

    def phase(self, text: str, total: float | None = None, unit: str = "") -> None:
        """Begin a part of the work: ``total`` of what ``unit`` says, None where it is unknown.

        Without a unit it is a share: the percentage alone is shown.
        """
        self._begin(text, total, unit)
        self._line()

    def advance(self, count: float) -> None:
        """So much more is done."""
        if self._task is not None:
            self.at(self._task.completed + count)

    def skip(self, count: float) -> None:
        """So much was done before, by a command that was interrupted: it tells of no speed."""
        if self._task is not None:
            self._task.fields["skipped"] += count
            self.advance(count)

    def at(
        self,
        done: float,
        *,
        text: str = "",
        total: float | None = None,
        left: float | None = None,
    ) -> None:
        """So much is done in all, which may begin the only phase there is.

        ``left`` are the seconds that are left, where somebody knows that better.
        """
        if self._task is None:
            self._begin(text, total, "")
        assert self._task is not None
        told = safe(text) or self._task.description
        self._drawn.update(self._task.id, completed=done, description=told, left=left)
        self._line()

    def _begin(self, text: str, total: float | None, unit: str) -> None:
        if self._task is not None:
            self._drawn.remove_task(self._task.id)
        began = time.monotonic()
        own = self._drawn.add_task(
            safe(text), total=total, unit=unit, began=began, skipped=0.0, left=None
        )
        self._task = next(task for task in self._drawn.tasks if task.id == own)
        self._said_at = float("-inf")

    def _line(self) -> None:
        now, task = time.monotonic(), self._task
        if self._terminal or task is None or now < self._quiet_until:
            return
        pause = _LINE_SECONDS if task.description == self._said else _NEWS_SECONDS
        if now >= self._said_at + pause:
            self._said, self._said_at = task.description, now
            told = " · ".join((task.description, *figures(task)))
            print(told, file=sys.stderr, flush=True)


class _Figures(ProgressColumn):
    """Percentage, count, rate and the time that is left: what there is room for."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room  # columns, for the words as well

    def render(self, task: Task) -> Text:
        """See ``ProgressColumn``."""
        return Text(_fitting(task, self._room), no_wrap=True)


class _Words(_Figures):
    """What is done, as far as the figures leave room for it."""

    def render(self, task: Task) -> Text:
        """See ``ProgressColumn``."""
        words = Text(task.description, no_wrap=True)
        words.truncate(self._room - len(_fitting(task, self._room)), overflow="ellipsis")
        return words


def _fitting(task: Task, room: int) -> str:
    parts = figures(task)
    while len(" · ".join(parts)) > room // 2 and len(parts) > 2:
        del parts[1]  # the percentage and the time are what is looked for
    return " · ".join(parts)


def figures(task: Task) -> list[str]:
    """How far a task is: ``42 %``, ``420 of 1,000 rows``, ``210 rows/s``, ``3 s left``."""
    fields, done, total = task.fields, task.completed, task.total
    unit, took = fields["unit"], time.monotonic() - fields["began"]
    fresh = done - fields["skipped"]
    rate = fresh / took if took > 0.5 and fresh > 0 else 0.0
    parts = [f"{100 * min(done / total, 1.0):.0f} %"] if total else []
    if unit:
        parts.append(_amount(done, total, unit))
        parts += [f"{_amount(rate, None, unit)}/s"] if rate else []
    left = fields["left"]
    if left is None and unit and total and rate and done < total:  # a share jumps: no pace
        left = (total - done) / rate
    if left:
        parts.append(f"{span(left)} left")
    elif not total and took >= 1:
        parts.append(span(took))
    return parts


def _amount(done: float, total: float | None, unit: str) -> str:
    whole = "" if total is None else f"{done:,.0f} of {total:,.0f} {unit}"
    if unit != BYTES:
        return whole or f"{done:,.0f} {unit}"
    size, name = _scale(max(done, total or 0.0))
    told = f"{done / size:.1f}" if total is None else f"{done / size:.1f} of {total / size:.1f}"
    return f"{told} {name}"


def _scale(largest: float) -> tuple[float, str]:
    for size, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if largest >= size:
            return size, name
    return 1.0, "B"


def span(seconds: float) -> str:
    """A duration for people: ``12 s``, ``3 min 05 s``, ``2 h 07 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{max(whole, 1)} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
