"""What was changed or added to a while ago in this process: who does so next does not read it anew.

What is remembered may be old, for another process may have changed or deleted it since. So a commit
is made only where it is still as it was remembered; else it is decided anew on what is read then.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, structs

from modelyard.kernel.events import Event
from modelyard.kernel.ports import Address, Commit, Row, Write

_MOST = 1024  # rows
_LARGEST = 4096  # bytes of a document with the newest below it, or of what was told of it

Told = tuple[int, Raw]  # see ``Row.told``
_NOTHING: Told = (0, Raw())


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
        event = _may_come_again(commit)
        for write in commit.writes:
            self._note_change(write, event)
        if commit.above is not None:
            self._note_addition(commit, commit.above, newest)
        while len(self._rows) > _MOST:
            del self._rows[next(iter(self._rows))]

    def _note_change(self, write: Write, event: Event | None) -> None:
        row, before = write.row, write.before
        last = self._rows.get(row.address, before)
        if event is None or before is None:
            if last is not None:
                self._rows.pop(row.address, None)
            return
        others = last is None or _by_others(last, before)
        small = _size(row) + _size(row.newest) <= _LARGEST
        self._keep(row, _told(row, event), others=others, small=small)

    def _note_addition(self, commit: Commit, above: Row, newest: str) -> None:
        before = self._rows.get(above.address, above)
        last = _later(above.newest, before.newest if before is not None else None)
        for write in commit.writes:
            if write.expected is None and write.row.address.kind == newest:
                last = _later(last, write.row)
        if last is not None and last.spec:
            last = structs.replace(last, labels={}, spec={}, newest=None)
        others = before is None or _by_others(before, above)
        if before is not None and not others:
            above = before  # it may have been changed here since it was read for this
        small = above.recalled or _size(above) <= _LARGEST
        self._keep(structs.replace(above, newest=last), _NOTHING, others=others, small=small)

    def _keep(self, row: Row, told: Told, *, others: bool, small: bool) -> None:
        if others and self._rows.get(row.address, row) is None:
            return  # known for long; it is forgotten in its turn
        self._rows.pop(row.address, None)
        if others or small:
            known = structs.replace(row, recalled=True, told=told)
            self._rows[row.address] = None if others else known


def _told(row: Row, event: Event) -> Told:
    """What the trail has of a row that was changed, where that is a text, and not too large."""
    text = event.after
    if not isinstance(text, Raw) or event.resource != row.address.name:
        return _NOTHING
    return (row.revision, text) if len(bytes(text)) <= _LARGEST else _NOTHING


def _may_come_again(commit: Commit) -> Event | None:
    """The event of what a client changes, and not what the server does about it."""
    event = commit.events[0] if commit.events and len(commit.writes) == 1 else None
    return event if event is not None and event.verb.endswith(".update") else None


def _later(one: Row | None, other: Row | None) -> Row | None:
    if one is None or other is None:
        return one or other
    return one if one.created_at > other.created_at else other


def _by_others(remembered: Row, found: Row) -> bool:
    """Whether what was found was changed where we did not see it."""
    return found.uid != remembered.uid or found.revision > remembered.revision


def _size(row: Row | None) -> int:
    return 0 if row is None else len(msgspec.json.encode((row.spec, row.labels)))
