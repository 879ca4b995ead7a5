"""The shortest way of a stream's chunk, in C (``_relay.c``); there is none where it is not built.

Whatever it does not take goes the way that Python has for all: it changes the time, nothing else.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from modelyard.inference.memory import use_huge_pages


class Relay(Protocol):
    """Sends chunks of one stream to one client's socket, and keeps their events."""

    def __call__(self, chunk: bytes, /) -> bool:
        """Take one whole chunk of the mould that was set; with False it takes nothing more."""

    def set(self, head: bytes, tail: bytes, room: int, /) -> None:
        """Take events of this mould from now on, ``room`` bytes of them at most."""

    def halt(self) -> None:
        """Take nothing more until it is set again."""


class Make(Protocol):
    """How a relay is made."""

    def __call__(
        self,
        socket: int,
        events: list[bytes],
        texts: list[str],
        readers: list[Callable[[], None]],
        rest: Callable[[bytes], object],
        told: Callable[[int, int, int], object],
        /,
    ) -> Relay:
        """A relay that writes to the file descriptor ``socket`` and appends to the lists.

        It takes nothing while there is not exactly one reader. ``rest`` is called with what the
        socket did not take; ``told`` with how many events, bytes and characters went through
        since it was set, whenever it stops.
        """


def _find() -> Make | None:
    try:
        module: Any = import_module("modelyard.inference._relay")
    except ImportError:
        return None
    make: Make = module.Relay
    return make


make = _find()
use_huge_pages()  # as early as the data plane is imported: only what is allocated later is in them
