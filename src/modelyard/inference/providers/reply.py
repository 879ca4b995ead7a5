"""A complete answer that is in memory."""

from collections.abc import Callable


class Whole:
    """Implements ``Reply``."""

    __slots__ = ("body", "first_byte_seconds", "limited", "native", "reused", "warnings")

    def __init__(
        self,
        body: bytes,
        *,
        native: bytes | None = None,
        warnings: tuple[str, ...] = (),
        reused: bool = False,
        first_byte_seconds: float = 0.0,
        limited: float = 0.0,
    ) -> None:
        self.body = body
        self.native = native
        self.warnings = warnings
        self.limited = limited
        self.reused = reused
        self.first_byte_seconds = first_byte_seconds

    def listen(
        self, piece: Callable[[bytes], None], end: Callable[[Exception | None], None]
    ) -> None:
        """The body as one piece."""
        piece(self.body)
        end(None)

    def pause(self) -> None:
        """Nothing to pause."""

    def resume(self) -> None:
        """Nothing to resume."""

    def close(self) -> None:
        """Nothing to close."""
