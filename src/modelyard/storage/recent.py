"""What was changed or added to a while ago in this process: who does so next does not read it anew.

What is remembered may be old, for another process may have changed or deleted it since. So a commit
is made only where it is still as it was remembered; else it is decided anew on what is read then.
"""

from __future__ import annotations

import msgspec
from msgspec import structs

from modelyard.kernel.ports import Address, Commit, Row, Write

_MOST = 1024  # rows
_LARGEST = 4096  # bytes of a document; what is larger is read


class Recent:
    """The last rows that were changed or added to, each with the newest of what lies below it."""

    def __init__(self) -> None:
        # The one of the last commit is the last. None: others change it, too, so it is read.
        self._rows: dict[Address, Row | None] = {}

    def find(self, address: Address, *, whole: bool) -> Row | None:
        """What is remembered of a resource; ``whole`` only where all that is shown of it is."""
        row = self._rows.get(address)
        if row is None or not whole or row.newest is None or row.newest.spec:
            return row
        return None

    def note(self, commit: Commit, newest: str) -> None:
        """A commit was made; ``newest`` is the kind that what it adds to shows the newest of."""
        before = self._forget(commit)
        for write in commit.writes:
            self._note_change(write)
        if commit.above is not None and _small(commit.above):
            self._note_addition(commit, commit.above, before, newest)
        while len(self._rows) > _MOST:
            del self._rows[next(iter(self._rows))]

    def refused(self, commit: Commit) -> None:
        """A commit was not made: what it believed is forgotten."""
        self._forget(commit)
        for write in commit.writes:
            if write.before is not None and write.before.recalled:
                self._rows[write.row.address] = None

    def _note_change(self, write: Write) -> None:
        row = write.row
        if row.address in self._rows and self._rows.pop(row.address) is None:
            self._rows[row.address] = None
        elif write.before is not None and row.deleted_at is None and _small(row, anew=True):
            self._rows[row.address] = structs.replace(row, recalled=True)

    def _note_addition(self, commit: Commit, above: Row, before: Row | None, newest: str) -> None:
        last = _later(above.newest, before.newest if before is not None else None)
        for write in commit.writes:
            if write.expected is None and write.row.address.kind == newest:
                last = _later(last, write.row)
        if last is not None and last.spec:
            last = structs.replace(last, labels={}, spec={}, newest=None)
        self._rows[above.address] = structs.replace(above, newest=last, recalled=True)

    def _forget(self, commit: Commit) -> Row | None:
        """What was remembered of what a commit adds to; it is not any more."""
        return None if commit.above is None else self._rows.pop(commit.above.address, None)


def _later(one: Row | None, other: Row | None) -> Row | None:
    if one is None or other is None:
        return one or other
    return one if one.created_at > other.created_at else other


def _small(row: Row, *, anew: bool = False) -> bool:
    """Whether it is worth its room; ``anew``: also where it was when it was remembered before."""
    if row.recalled and not anew:
        return True
    shown = (row.spec, row.labels, row.newest and (row.newest.spec, row.newest.labels))
    return len(msgspec.json.encode(shown)) <= _LARGEST
