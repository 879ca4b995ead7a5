"""Resources to store."""

import itertools
from typing import Any

from modelyard.kernel.events import Event
from modelyard.kernel.ports import Address, Commit, Indexed, Query, Reference, Row, Write
from modelyard.protocol.filtering import Field

COLOUR = Field("spec.colour", "string", path=("colour",))
SIZE = Field("spec.size", "integer", path=("size",))
WEIGHT = Field("spec.weight", "number", path=("weight",))
DONE = Field("spec.done", "boolean", path=("done",))
DUE = Field("spec.due", "time", path=("due",))
DEEP = Field("spec.inner.deep", "string", path=("inner", "deep"))
TAGS = Field("spec.tags", "strings", path=("tags",))
LABELS = Field("labels", "labels", column="labels")
UPDATED = Field("updatedAt", "time", column="updated_at")
CREATED = Field("createdAt", "time", column="created_at")
ID = Field("id", "string", column="id")
FIELDS = (COLOUR, SIZE, WEIGHT, DONE, DUE, DEEP, TAGS, LABELS, UPDATED, CREATED)

THINGS = Indexed(
    kind="test/things",
    fields=FIELDS,
    unique=(("login",),),
    searchable=(("title",), ("notes",)),
    newest="test/things/parts",
)
PARTS = Indexed(kind="test/things/parts", fields=(COLOUR, TAGS), nested=True)
OTHERS = Indexed(kind="test/others", fields=(COLOUR,))
ALL = (THINGS, PARTS, OTHERS)

_clock = itertools.count(1)


def thing(
    name: str, spec: dict[str, Any] | None = None, *, kind: str = "test/things", **more: Any
) -> Row:
    """A row; its time of creation is later than all before it."""
    at = more.pop("at", None) or float(next(_clock))
    address = Address(kind, more.pop("workspace", "w"), more.pop("parent", ""), name)
    row: dict[str, Any] = {
        "uid": f"uid-{kind}-{address.workspace}-{address.parent}-{name}",
        "created_at": at,
        "updated_at": at,
        "created_by": "key_1",
        "updated_by": "key_1",
    }
    return Row(address=address, spec=spec or {}, **(row | more))


def put(row: Row, *references: Reference, expected: int | None = None) -> Commit:
    """A commit of one row."""
    return Commit(writes=[Write(row=row, references=references, expected=expected)])


def gone(row: Row, *, remove: bool = True, guard: bool = True) -> Commit:
    """A commit that deletes a row as it is."""
    return Commit(writes=[Write(row=row, expected=row.revision, remove=remove, guard=guard)])


def event(verb: str = "thing.create", **more: Any) -> Event:
    """An event."""
    values = {"workspace": "w", "actor": "key_1", "resource": "test/things/a", "request_id": "r"}
    return Event(verb=verb, **(values | {"kind": "test/things"} | more))


def asked(**more: Any) -> Query:
    """A list of things."""
    return Query(**({"kind": "test/things", "workspace": "w"} | more))
