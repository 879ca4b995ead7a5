"""The shortest way of a stream's chunk, in C (``_relay.c``, ``_poller.c``), where that is built.

Whatever it does not take goes the way that Python has for all: it changes the time, nothing else.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from modelyard.inference.memory import use_huge_pages

Back = Callable[[bytes], None]


class Relay(Protocol):
    """Sends chunks of one stream to one client's socket, and keeps their events."""

    def __call__(self, chunk: bytes, /) -> bool:
        """Take one whole chunk of the mould that was set; with False it takes nothing more."""

    def set(self, head: bytes, tail: bytes, room: int, /) -> None:
        """Take events of this mould from now on, ``room`` bytes of them at most."""

    def halt(self) -> None:
        """Take nothing more until it is set again."""

    def catch_up(self) -> None:
        """Tell what went through up to now, and go on."""

    def moved(self) -> bool:
        """Whether a poller read anything for it since this was last asked."""


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


class Poller(Protocol):
    """A thread that reads sockets for relays, without Python (``_poller.c``)."""

    def take(self, relay: Relay, socket: int, back: Back, /) -> bool:
        """Read for a relay that has a mould; False where that cannot be.

        Nobody else may read the socket, nor close it while the relay is not halted, until
        ``back`` was collected.
        """

    def collect(self) -> list[tuple[Back, bytes]]:
        """What was given as ``back`` for those that are over, each with what was not taken."""

    def fileno(self) -> int:
        """A file descriptor that is readable when there is something to collect."""

    def close(self) -> None:
        """End the thread."""


def _find(name: str) -> Any:
    try:
        return getattr(import_module("modelyard.inference._relay"), name, None)
    except ImportError:
        return None


make: Make | None = _find("Relay")
make_poller: Callable[[], Poller] | None = _find("Poller")  # on Linux
use_huge_pages()  # as early as the data plane is imported: only what is allocated later is in them
