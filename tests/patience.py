"""How tests treat time: what has to come is waited for, what has to be quick is tried again."""

import functools
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

LONG = 60.0  # seconds; only what never comes takes as long, on any machine
TRIES = 10  # of what has to be quick: on a machine that is shared three may be late in a row


def until(found: Callable[[], T], within: float = LONG, told: Callable[[], object] = str) -> T:
    """What ``found`` gives, once it is something. Raises AssertionError with what is ``told``."""
    ends = time.monotonic() + within
    while not (value := found()):
        assert time.monotonic() < ends, f"not within {within:g} s: {told()}"
        time.sleep(0.02)
    return value


def ready(seconds: float, to_read: Any, to_write: Any = None) -> Any:
    """Which of two files is ready, the first of both; None where neither is for so long.

    select() knows no descriptor above 1,023.
    """
    with selectors.DefaultSelector() as waiting:
        waiting.register(to_read, selectors.EVENT_READ)
        if to_write is not None:
            waiting.register(to_write, selectors.EVENT_WRITE)
        found = [key.fileobj for key, _ in waiting.select(seconds)]
    return to_read if to_read in found else next(iter(found), None)


def waited(found: Callable[[], object]) -> float:
    """The seconds until ``found`` gives something."""
    begun = time.monotonic()
    until(found)
    return time.monotonic() - begun


def quick(bound: float, seconds: Callable[[], float], tries: int = TRIES) -> None:
    """Assert that something takes less than ``bound`` seconds; ``seconds`` does it and tells.

    What else runs on the machine only ever makes it slower: the best of some tries counts.
    """
    took: list[float] = []
    while not took or min(took) >= bound:
        assert len(took) < tries, f"{took} s, and no more than {bound:g} s is allowed"
        took.append(seconds())


class Late(AssertionError):
    """Something took longer than it may."""


def retried(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, Coroutine[Any, Any, None]]:
    """A test that may raise ``Late`` a few times: what else runs on the machine makes it slower."""

    @functools.wraps(test)
    async def tried(*args: P.args, **named: P.kwargs) -> None:
        for left in reversed(range(TRIES)):
            try:
                await test(*args, **named)
            except Late:
                if not left:
                    raise
            else:
                return

    return tried
