"""A stored resource in the hands of a method."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import ref

from msgspec import Raw, json, structs

from modelyard.kernel import names
from modelyard.kernel.ports import Address, Commit, Query, Row, Store
from modelyard.protocol import errors

if TYPE_CHECKING:
    from modelyard.kernel.resource import Resource

T = TypeVar("T")

_JUST = 0.05  # seconds
_TICK = 0.001  # seconds: what is shown of a time
_GIVEN: dict[tuple[Any, ...], ref[Commit]] = {}  # by store and number, while there is the commit


class Just:
    """What a request's path lies below, read to be found: not read again right away, but once."""

    def __init__(self) -> None:
        self._kept: tuple[float, Row] | None = None
        self.newest: Row | None = None  # of what lies right below it, where that is read with it
        self.again = False  # it may have changed since: what was decided was refused

    def note(self, row: Row) -> None:
        """It was read now."""
        self._kept = None if row.recalled else (time.monotonic(), row)
        self.newest = None if self.again else row.newest

    def take(self, address: Address) -> Row | None:
        """The row there, where it was read just now and is not taken yet."""
        kept, self._kept = self._kept, None
        if kept is None or kept[1].address != address or time.monotonic() - kept[0] > _JUST:
            return None
        return kept[1]


async def living(
    store: Store, address: Address, shown: Callable[[Row], bool], known: Row | None
) -> Row:
    """The one there, as it is ``known`` where that may be shown. Raises ``NOT_FOUND``."""
    row = known if known is not None and shown(known) else await store.get(address)
    if row is None or row.deleted_at is not None or not shown(row):
        raise names.missing(address)
    return row


async def following(store: Store, place: Address, above: Just, commit: Commit) -> tuple[str, float]:
    """The number after the last one at a place, and now: later than that one was made.

    Those that are under way here count, for as long as there is their ``commit``.
    """
    near = [*(write.row for write in commit.writes if write.expected is None), above.newest]
    where = (place.kind, place.workspace, place.parent)
    rows = [one for one in near if one is not None and structs.astuple(one.address)[:3] == where]
    if not rows:
        query = Query(kind=where[0], workspace=where[1], parent=where[2], deleted=True)
        rows = await store.page(query)
    last = max((int(row.address.id) for row in rows if row.address.id.isdecimal()), default=0)
    made = [row.created_at for row in rows]
    while (given := _GIVEN.get(key := (id(store), *where, last + 1))) and (other := given()):
        last, made = last + 1, [*made, *(write.row.created_at for write in other.writes)]
    _GIVEN[key] = ref(commit, partial(_GIVEN.pop, key))
    return str(last + 1), max(errors.now(), round(max(made, default=0.0) + _TICK, 3))


class Item(Generic[T]):
    """A stored resource in the hands of a method."""

    __slots__ = ("_spec", "_view", "resource", "row")

    def __init__(self, resource: Resource[T], row: Row) -> None:
        self.resource = resource
        self.row = row
        self._spec: T | None = None
        self._view: dict[str, Any] | None = None

    @property
    def spec(self) -> T:
        """Its document."""
        if self._spec is None:
            self._spec = self.resource.load(self.row)
        return self._spec

    def show(self) -> dict[str, Any]:
        """What a client reads, and the audit trail tells: made once, and not to be changed."""
        if self._view is None:
            self._view = self.resource.show(self.row)
        return self._view

    def told(self) -> Raw:
        """What the audit trail has of it."""
        revision, known = self.row.told
        if revision == self.row.revision:
            return known
        return Raw(json.encode(self.resource.told(self.row, self.show())))

    @property
    def id(self) -> str:
        """Its id within its parent."""
        return self.row.address.id

    @property
    def name(self) -> str:
        """The path it is read at, without the version."""
        return self.row.address.name
