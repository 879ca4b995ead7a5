"""Where threads of DBOS that look for work wait while there is none.

A queue's thread asks its database ten times a second for as long as the process lives, and DBOS has
no way to pause it. For each look it takes a connection from SQLAlchemy's pool: there it is held.
"""

from __future__ import annotations

import threading

from sqlalchemy import event
from sqlalchemy.pool import Pool

# How threads are named that look again and again. With another name they would not be held.
_LOOKING = ("queue-worker-", "dbos-background-jobs")


class Gate:
    """Open at first. Who waits at it when it is opened goes on at once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._opened = True
        self._own = threading.local()
        self.held: set[str] = set()  # names of the threads that wait

    def watch(self) -> None:
        """Hold whoever looks for work from now on, while it is closed."""
        event.listen(Pool, "checkout", self._enter)
        event.listen(Pool, "checkin", self._leave)

    def open(self) -> None:
        """There is work, or may be."""
        with self._changed:
            self._opened = True
            self.held.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """There is none, as far as is known."""
        with self._changed:
            self._opened = False

    def _enter(self, *_: object) -> None:
        taken: int = getattr(self._own, "taken", 0)
        name = threading.current_thread().name
        if not taken and name.startswith(_LOOKING):
            with self._changed:
                if not self._opened:
                    self.held.add(name)
                    self._changed.wait()
        self._own.taken = taken + 1  # who has a transaction open is not held within it

    def _leave(self, *_: object) -> None:
        self._own.taken = max(0, getattr(self._own, "taken", 0) - 1)
