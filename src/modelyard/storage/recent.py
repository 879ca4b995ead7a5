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
        near = [above.newest, before and before.newest]
        near += [write.row for write in commit.writes if write.expected is None]
        made = [one for one in near if one is not None and one.address.kind == newest]
        last = max(made, key=lambda one: one.created_at, default=None)
        if last is not None:
            last = structs.replace(last, labels={}, spec={}, newest=None)
        self._rows[above.address] = structs.replace(above, newest=last, recalled=True)
        if len(self._rows) > _MOST:
            del self._rows[next(iter(self._rows))]

    def forget(self, commit: Commit) -> Row | None:
        """What was remembered of what a commit adds to; it is not any more."""
        return None if commit.above is None else self._rows.pop(commit.above.address, None)


def _small(row: Row) -> bool:
    return row.recalled or len(msgspec.json.encode((row.spec, row.labels))) <= _LARGEST
