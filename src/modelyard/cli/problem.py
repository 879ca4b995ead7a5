"""What keeps a command from being done, told in one line."""

from typing import Any


class Problem(Exception):
    """A command failed. ``error`` is the server's own error object, if it sent one."""

    def __init__(self, message: str, *, status: int = 1, error: dict[str, Any] | None = None):
        super().__init__(message)
        self.message = message
        self.status = status  # the exit status
        self.error = error or {"message": message}
