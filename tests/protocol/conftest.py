"""The notes of a test are closed after it."""

from kernel.notes import notes_closed

__all__ = ["notes_closed"]
