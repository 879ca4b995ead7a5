"""What is kept ready for each declared kind: indexes of its own, and its terms and words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from modelyard.kernel.ports import Indexed, Row
from modelyard.protocol.filtering import Field, value_at
from modelyard.storage import audit, homes
from modelyard.storage.dialect import Dialect, value
from modelyard.storage.driver import Rows, Statement, Work
from modelyard.storage.paging import AT, COLUMNS
from modelyard.storage.rows import read
from modelyard.storage.words import document, texts

_CREATED = Field("createdAt", "time", column="created_at")
_BATCH = 1000  # rows whose terms and words are made anew at a time
_PREFIX = "declared_"
_STORED = (
    "SELECT kind, fingerprint FROM declaration "
    f"UNION ALL SELECT DISTINCT kind, '' FROM {homes.SHARED}"
)
# Whoever makes it first may take longer than anybody waits for a row.
_LOCK = (
    "SET LOCAL lock_timeout = 0",
    "SELECT pg_advisory_xact_lock(hashtext('modelyard declarations'))",
    "SET LOCAL lock_timeout TO DEFAULT",
)
_SYSTEM = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'declared%'",
    "postgresql": "SELECT indexname FROM pg_indexes "
    "WHERE schemaname = current_schema() AND indexname LIKE 'declared%'",
}


class Ready:
    """What the store must know of a kind to write its rows; it does not change.

    Members, labels and words have rows of their own; ``unique`` gives a field by its index.
    ``table`` has its rows, ``below`` those of what lies below them, as far as this process knows:
    ``known`` are all tables whose kinds it knows. ``refers``: whether a row may refer to others.
    ``newest`` is the kind below whose newest is read with a row; "" for none. ``nested``: whether
    its resources lie below others.
    """

    def __init__(
        self,
        table: str = homes.SHARED,
        below: tuple[str, ...] = (homes.SHARED,),
        known: frozenset[str] = frozenset(),
        refers: bool = True,
        fields: tuple[Field, ...] = (),
        searchable: tuple[tuple[str, ...], ...] = (),
        unique: dict[str, str] | None = None,
        newest: str = "",
        nested: bool = True,
    ) -> None:
        self.table, self.below, self.known = table, below, known
        self.fields, self.searchable = fields, searchable
        self.refers, self.unique, self.newest = refers, unique or {}, newest
        self.nested = nested
        self._said: dict[str, str] = {}
        self.joined = ""  # the statement that reads a row with its newest, once it is made

    def sql(self, template: str) -> str:
        """A statement on its table: one text for all times, whose hash is known."""
        said = self._said.get(template)
        if said is None:
            said = self._said[template] = template.format(self.table)
        return said

    def told(self, row: Row) -> list[Any]:
        """What the words of a row are made of."""
        return [value_at(row.spec, path) for path in self.searchable]

    def terms(self, row: Row) -> list[tuple[str, str, str]]:
        """Field, key and value of each term of a row, each once."""
        found: dict[tuple[str, str, str], None] = {}
        for field in self.fields:
            held: Any = row.labels if field.column == "labels" else value_at(row.spec, field.path)
            pairs = held.items() if isinstance(held, dict) else (("", one) for one in held or ())
            for key, one in pairs:
                if isinstance(one, str):
                    found[field.name, key, one] = None
        return list(found)

    def words(self, row: Row) -> str:
        """The words of a row's searchable texts."""
        return self.document(row.spec, row.address.kind, row.address.workspace)

    def document(self, spec: Any, kind: str, workspace: str) -> str:
        """As ``words``, of a document."""
        found = [text for path in self.searchable for text in texts(value_at(spec, path))]
        return document(found, kind, workspace)


def ready(indexed: Indexed, kinds: Iterable[str] = ()) -> Ready:
    """What must be known of a declared kind, beside these others."""
    kind, kinds = indexed.kind, list(kinds)
    return Ready(
        table=homes.table(kind),
        below=(homes.SHARED, *(homes.table(one) for one in kinds if one.startswith(f"{kind}/"))),
        known=frozenset(map(homes.table, kinds)),
        fields=tuple(one for one in indexed.fields if one.kind in ("strings", "labels")),
        searchable=indexed.searchable,
        refers=indexed.refers,
        unique={unique(kind, path): ".".join(path) for path in indexed.unique},
        newest=indexed.newest,
        nested=indexed.nested,
    )


def unique(kind: str, path: tuple[str, ...]) -> str:
    """The name of the index that keeps a path unique."""
    return _name(kind, ".".join(path), "unique")


def prepare(indexed: list[Indexed], dialect: Dialect) -> Work[None]:
    """Make the database fit the declarations; one question when it does already."""
    fit = {one.kind: fingerprint(one, dialect) for one in indexed}
    stored, fits = yield from _stored(fit)
    if dialect.name == "postgresql" and not fits:  # on SQLite nobody else has a transaction now
        for statement in _LOCK:
            yield Statement(statement)
        stored, fits = yield from _stored(fit)  # whoever was first may have made it
    if fits:
        return
    yield from _indexes(indexed, dialect)
    for one in indexed:
        if _terms_of(stored.get(one.kind, "")) != _terms_of(fit[one.kind]):
            yield from _find_anew(one, dialect)
    yield Statement("DELETE FROM declaration")
    for kind, print_ in fit.items():
        yield Statement("INSERT INTO declaration (kind, fingerprint) VALUES (?, ?)", (kind, print_))


def _stored(fit: dict[str, str]) -> Work[tuple[dict[str, str], bool]]:
    """The stored fingerprints; and whether they are these, and no rows wait to be moved."""
    rows = yield Statement(_STORED)
    stored = {str(kind): str(kept) for kind, kept in rows if kept}
    return stored, stored == fit and fit.keys().isdisjoint(kind for kind, kept in rows if not kept)


def _indexes(indexed: list[Indexed], dialect: Dialect) -> Work[None]:
    wanted = dict(one for each in indexed for one in _of(each, dialect))
    rows = yield Statement(_SYSTEM[dialect.name])
    existing = {str(name) for (name,) in rows}
    for name in sorted(existing - wanted.keys()):
        yield Statement(f"DROP INDEX {name}")
    yield from homes.make([one.kind for one in indexed], dialect)
    for name, definition in wanted.items():
        if name not in existing:
            yield Statement(definition)


def _of(one: Indexed, dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Names and definitions of the indexes of a kind.

    Each begins with the workspace and the parent, and once more without the parent for kinds
    that lie below others: their lists may cross parents.
    """
    columns = [one for one in one.fields if one.kind not in ("strings", "labels")]
    fields = [_CREATED, *(field for field in columns if field.column != _CREATED.column)]
    for place in ("workspace, parent", "workspace")[: 1 + one.nested]:
        for field in fields:
            if field.column == "id" and place != "workspace":
                continue  # the key of the table is its index
            over = f"{place}, {_sorted(field, dialect)}created_at, id"
            if place == "workspace":
                over += ", parent"
            name = index_of(one, field.name, across=place == "workspace")
            yield name, _definition(one.kind, name, over)
    for path in one.unique:
        over = value(dialect, Field("", "string", path))
        name = unique(one.kind, path)
        definition = _definition(one.kind, name, over).replace("INDEX", "UNIQUE INDEX", 1)
        yield name, f"{definition} WHERE deleted_at IS NULL"


def _sorted(field: Field, dialect: Dialect) -> str:
    if field.column == _CREATED.column:
        return ""
    nulls = " NULLS FIRST" if dialect.name == "postgresql" and field.path else ""
    return f"{value(dialect, field)}{nulls}, "


def index_of(indexed: Indexed, name: str, *, across: bool = False) -> str:
    """The name of the index of a field; of the list's own for ``createdAt``."""
    field = next((one for one in indexed.fields if one.name == name), _CREATED)
    what = f"{field.name} {field.kind} {field.path} {field.column} {across}"
    return _name(indexed.kind, what, "list")


def _definition(kind: str, name: str, over: str) -> str:
    return f"CREATE INDEX {name} ON {homes.table(kind)} ({over})"


def _name(kind: str, over: str, purpose: str) -> str:
    digest = hashlib.sha256(f"{homes.table(kind)}\n{over}".encode()).hexdigest()[:12]
    return f"{_PREFIX}{purpose}_{re.sub('[^a-z0-9]', '_', kind.lower())[-28:]}_{digest}"


def fingerprint(one: Indexed, dialect: Dialect) -> str:
    """Two digests: of what rows of a kind are found by, and of its indexes."""
    names = " ".join(sorted(name for name, _ in _of(one, dialect)))
    return f"{_found_by(ready(one))} {_digest(names.encode())}"


def _found_by(made: Ready) -> str:
    return _digest(msgspec.json.encode((made.fields, made.searchable)))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _terms_of(fingerprint: str) -> str:
    """The first digest; that of a kind without any where nothing is stored."""
    return fingerprint.partition(" ")[0] or _found_by(Ready())


def _find_anew(one: Indexed, dialect: Dialect) -> Work[None]:
    """Make the terms and words of all rows of a kind."""
    kind, made = one.kind, ready(one)
    for table in ("term", "search"):
        yield Statement(f"DELETE FROM {table} WHERE kind = ?", (kind,))
    last = ("", "", "")
    while True:
        sql = (
            f"SELECT {COLUMNS} FROM {made.table} WHERE (workspace, parent, id) > (?, ?, ?)"
            " ORDER BY workspace, parent, id LIMIT ?"
        )
        found = yield Statement(sql, (*last, _BATCH))
        rows = [read(kind, values) for values in found]
        yield from add(rows, made)
        if len(rows) < _BATCH:
            return
        last = rows[-1].address.workspace, rows[-1].address.parent, rows[-1].address.id


def add(rows: list[Row], made: Ready) -> Work[None]:
    """Write the terms and words of rows that have none."""
    if made.fields:
        values = [one for row in rows for one in terms(row, made)]
        if values:
            yield Statement(_ADD_TERM, values, many=True)
    if made.searchable and rows:
        words = [(*_place(row), made.words(row)) for row in rows]
        yield Statement(_ADD_WORDS, words, many=True)


def change(before: Row | None, after: Row | None, made: Ready) -> Work[None]:
    """Make the terms of a row fit; its words follow by ``words_due``, together with others'."""
    row = after or before
    if row is None:
        return
    if made.fields and not (before and after and found_alike(before, after, made)):
        old = set() if before is None else set(terms(before, made))
        new = [] if after is None else terms(after, made)
        if gone := old.difference(new):
            yield Statement(_DROP_TERM, sorted(gone), many=True)
        if fresh := [one for one in new if one not in old]:
            yield Statement(_ADD_TERM, fresh, many=True)
    told = made.told(row)
    if not told or (before is not None and after is not None and told == made.told(before)):
        return
    yield Statement(DUE, _place(row))


def catch_up(
    ready_for: Callable[[str], Ready], dialect: Dialect, kinds: Sequence[str], *, told: bool = True
) -> Work[bool]:
    """Make some of the words that are due; whether there were any. ``told``: of events, too.

    Of two processes on PostgreSQL the second waits for the first, and begins with what is stored
    then. ``kinds`` are those that this process knows: the words of others are left to who does.
    """
    if dialect.at_once:
        yield Statement(_WORDS_LOCK)
    among, known = _among(dialect, kinds, told)
    due = yield Statement(_WAITING.format(among), (*known, _WORDS_BATCH))
    gone, fresh, events = [], [], 0
    for number, row in enumerate(due):
        if row[1] == audit.EVENTS:  # a range of them
            first, last = int(row[3]), int(row[4])
            yield from audit.tell(first, last)
            events += last + 1 - first
            if events >= _WORDS_BATCH:
                due = due[: number + 1]
                break
    for place, kept in {row[1:5]: row[5] for row in due if row[1] != audit.EVENTS}.items():
        kind, workspace, _, _ = place
        made, found = ready_for(kind), None
        specs = yield Statement(f"SELECT spec FROM {made.table} WHERE {AT}", place)
        if specs and made.searchable:
            found = made.document(msgspec.json.decode(specs[0][0]), kind, workspace)
        if kept not in (None, found):
            gone.append(place)
        if found not in (None, kept):
            fresh.append((*place, found))
    if gone:
        yield Statement(f"DELETE FROM search WHERE {AT}", gone, many=True)
    if fresh:
        yield Statement(SET_WORDS, fresh, many=True)
    if due:
        yield _made(due, dialect, among)
    return bool(due)


def _made(due: Rows, dialect: Dialect, among: str) -> Statement:
    if not dialect.at_once:
        return Statement(f"DELETE FROM words_due AS d WHERE number <= ? AND {among}", (due[-1][0],))
    # Not all up to the last: one of a lower number may have been committed since they were read.
    return Statement("DELETE FROM words_due WHERE number = ANY(?)", ([row[0] for row in due],))


def some_due(dialect: Dialect, kinds: Sequence[str], *, told: bool) -> Statement:
    """Whether words are due, of events, too, where they are to be ``told``."""
    among, known = _among(dialect, kinds, told)
    return Statement(f"SELECT 1 FROM words_due AS d WHERE {among} ORDER BY number LIMIT 1", known)


def _among(dialect: Dialect, kinds: Sequence[str], told: bool) -> tuple[str, tuple[Any, ...]]:
    """Of whom words are due, as a condition with its values."""
    if dialect.at_once:
        return "d.kind = ANY(?::text[])", ([*kinds, audit.EVENTS] if told else list(kinds),)
    return ("true" if told else f"d.kind <> '{audit.EVENTS}'"), ()


_ADD_TERM = (
    "INSERT INTO term (kind, workspace, parent, id, field, key, value, created_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_DROP_TERM = (
    "DELETE FROM term WHERE kind = ? AND workspace = ? AND parent = ? AND id = ? AND field = ? "
    "AND key = ? AND value = ? AND created_at = ?"
)
_ADD_WORDS = "INSERT INTO search (kind, workspace, parent, id, words) VALUES (?, ?, ?, ?, ?)"
SET_WORDS = (
    f"{_ADD_WORDS} ON CONFLICT (kind, workspace, parent, id) DO UPDATE SET words = excluded.words"
)
DUE = "INSERT INTO words_due (kind, workspace, parent, id) VALUES (?, ?, ?, ?)"
_WORDS_LOCK = "SELECT pg_advisory_xact_lock(hashtext('modelyard words'))"
_WORDS_BATCH = 64  # changes whose words are made at once: others wait for as long
_WAITING = (
    "SELECT d.number, d.kind, d.workspace, d.parent, d.id, s.words FROM words_due d "
    "LEFT JOIN search s ON s.kind = d.kind AND s.workspace = d.workspace "
    "AND s.parent = d.parent AND s.id = d.id WHERE {} ORDER BY d.number LIMIT ?"
)


def terms(row: Row, made: Ready) -> list[tuple[Any, ...]]:
    """The rows of ``term`` that a resource has."""
    place = _place(row)
    return [(*place, *one, row.created_at) for one in made.terms(row)]


def found_alike(one: Row, other: Row, made: Ready) -> bool:
    """Whether what the terms of two rows are made of is the same."""
    if one.created_at != other.created_at:
        return False
    for field in made.fields:
        if field.column == "labels":
            if one.labels != other.labels:
                return False
        elif value_at(one.spec, field.path) != value_at(other.spec, field.path):
            return False
    return True


def _place(row: Row) -> tuple[str, str, str, str]:
    address = row.address
    return address.kind, address.workspace, address.parent, address.id
