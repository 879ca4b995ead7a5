"""What was added to a while ago in this process: who adds the next does not read it anew.

What is remembered may be old, for another process may have changed or deleted it since. So a commit
is made only where it is still as it was remembered; else it is decided anew on what is read then.
"""

from __future__ import annotations

import msgspec
from msgspec import structs

from modelyard.kernel.ports import Address, Commit, Row

_MOST = 1024  # rows
_LARGEST = 4096  # bytes of a document; what is larger is read


class Recent:
    """The last rows that something was added to, each with the newest of what lies below it."""

    def __init__(self) -> None:
        self._rows: dict[Address, Row] = {}  # the one added to last is the last

    def find(self, address: Address) -> Row | None:
        """What is remembered of a resource."""
        return self._rows.get(address)

    def note(self, commit: Commit, newest: str) -> None:
        """A commit was made; ``newest`` is the kind that what it adds to shows the newest of."""
        before = self.forget(commit)
        for write in commit.writes:
            self._rows.pop(write.row.address, None)
        above = commit.above
        if above is None or not _small(above):
            return
        last = _later(above.newest, before.newest if before is not None else None)
        for write in commit.writes:
            if write.expected is None and write.row.address.kind == newest:
                last = _later(last, write.row)
        if last is not None and last.spec:
            last = structs.replace(last, labels={}, spec={}, newest=None)
        self._rows[above.address] = structs.replace(above, newest=last, recalled=True)
        if len(self._rows) > _MOST:
            del self._rows[next(iter(self._rows))]

    def forget(self, commit: Commit) -> Row | None:
        """What was remembered of what a commit adds to; it is not any more."""
        return None if commit.above is None else self._rows.pop(commit.above.address, None)


def _later(one: Row | None, other: Row | None) -> Row | None:
    if one is None or other is None:
        return one or other
    return one if one.created_at > other.created_at else other


def _small(row: Row) -> bool:
    return row.recalled or len(msgspec.json.encode((row.spec, row.labels))) <= _LARGEST
