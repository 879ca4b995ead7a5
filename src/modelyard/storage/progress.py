"""Who is told how far long work is."""

from typing import Protocol

ROWS, BYTES = "rows", "bytes"


class Progress(Protocol):
    """Hears of each phase of the work, and of what is done in it."""

    def phase(self, text: str, total: float | None = None, unit: str = "") -> None:
        """A phase begins; ``total`` of what ``unit`` says are to be done, None: unknown."""

    def advance(self, count: float) -> None:
        """So much more of it is done."""


class _Silent:
    def phase(self, text: str, total: float | None = None, unit: str = "") -> None:
        """Nobody hears it."""

    def advance(self, count: float) -> None:
        """Nobody hears it."""


SILENT: Progress = _Silent()
