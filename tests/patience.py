"""How tests treat time: what has to come is waited for, what has to be quick is tried again."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LONG = 60.0  # seconds; only what never comes takes as long, on any machine


def until(found: Callable[[], T], within: float = LONG, told: Callable[[], object] = str) -> T:
    """What ``found`` gives, once it is something. Raises AssertionError with what is ``told``."""
    ends = time.monotonic() + within
    while not (value := found()):
        assert time.monotonic() < ends, f"not within {within:g} s: {told()}"
        time.sleep(0.02)
    return value


def quick(bound: float, seconds: Callable[[], float], tries: int = 3) -> None:
    """Assert that something takes less than ``bound`` seconds; ``seconds`` does it and tells.

    What else runs on the machine only ever makes it slower: the best of some tries counts.
    """
    took: list[float] = []
    while not took or min(took) >= bound:
        assert len(took) < tries, f"{took} s, and no more than {bound:g} s is allowed"
        took.append(seconds())
