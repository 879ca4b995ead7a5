"""Where the SQL of the two databases differs. Everything else is written once.

Statements are written with ``?`` for each parameter. Names in them (kinds, paths, columns) come
from declarations and are checked here; nothing of a client is ever part of a statement's text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from modelyard.protocol.filtering import Field

COLUMNS = frozenset(
    (
        "workspace", "parent", "id", "uid", "revision", "created_at", "updated_at", "created_by",
        "updated_by", "deleted_at", "purge_at",
    )
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KIND = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")


class Dialect(Struct, frozen=True, kw_only=True):
    """The words of one database.

    ``path`` gives the value at a path in the document with the type of a field. ``nulls`` orders
    absent values lowest, ascending and descending. ``lowest`` and ``highest`` bound the open
    side of a comparison: PostgreSQL has no figures of what is in documents, and takes a third of
    all rows to be above a value, but few to be between two. ``share`` and ``update`` lock rows.
    """

    name: str
    path: Callable[[Field], str]
    ends: str  # text {0} ends with the parameter, of as many characters as the parameter after it
    contains: str
    among: str  # "{0} is one of the parameter, a list of texts"
    texts: Callable[[Sequence[str]], Any]  # that parameter
    matching: str  # a subquery's source and condition for the words of ``tsquery``
    ascending: str
    descending: str
    lowest: dict[str, str] = {}  # by the kind of a field
    highest: dict[str, str] = {}
    share: str = ""
    update: str = ""
    figures: bool = False  # it knows how often values are in documents
    at_once: bool = False  # a commit is one statement where it can be: each costs a way there
    passing: str = ""  # leaves out rows that another transaction has locked


def literal(kind: str) -> str:
    """A kind as an SQL literal. Raises ValueError for what no declaration may have."""
    if not _KIND.fullmatch(kind):
        raise ValueError(f"{kind!r} is no name of a kind")
    return f"'{kind}'"


def value(dialect: Dialect, field: Field, table: str = "") -> str:
    """The SQL for a field's value; ``table`` is written before a column."""
    if field.column:
        if field.column not in COLUMNS:
            raise ValueError(f"{field.column!r} is no column to filter or order by")
        return f"{table}{field.column}"
    return dialect.path(field)


def _checked(path: tuple[str, ...]) -> tuple[str, ...]:
    for part in path:
        if not _NAME.fullmatch(part):
            raise ValueError(f"{part!r} is no name of a field")
    return path


def _sqlite_path(field: Field) -> str:
    steps = "".join(f'."{part}"' for part in _checked(field.path))
    return f"json_extract(spec, '${steps}')"


def _postgres_path(field: Field) -> str:
    steps = "'{" + ",".join(_checked(field.path)) + "}'"
    text = f"(spec #>> {steps})"
    match field.kind:
        case "integer" | "number":
            wire, typed = "number", "numeric" if field.kind == "integer" else "double precision"
        case "boolean":
            wire, typed = "boolean", "boolean"
        case _:
            return f'({text} COLLATE "C")'
    kind = f"json_typeof(spec #> {steps})"
    return f"(CASE WHEN {kind} = '{wire}' THEN {text}::{typed} END)"


SQLITE = Dialect(
    name="sqlite",
    path=_sqlite_path,
    ends="substr({0}, -length(?)) = ?",
    contains="instr({0}, ?) > 0",
    among="{0} IN (SELECT value FROM json_each(?))",
    texts=lambda texts: msgspec.json.encode(texts).decode(),
    matching="search_words CROSS JOIN search ON search.number = search_words.rowid "
    "WHERE search_words MATCH ?",
    ascending="ASC",
    descending="DESC",
)
POSTGRES = Dialect(
    name="postgresql",
    path=_postgres_path,
    ends="right({0}, length(?::text)) = ?",
    contains="strpos({0}, ?) > 0",
    among="{0} = ANY(?::text[])",
    texts=list,
    matching="search WHERE search.vector @@ (?::text)::tsquery",
    ascending="ASC NULLS FIRST",
    descending="DESC NULLS LAST",
    lowest={"string": "''", "time": "''", "integer": "'-Infinity'", "number": "'-Infinity'"},
    highest={
        "string": "repeat(chr(1114111), 9)",
        "time": "repeat(chr(1114111), 9)",
        "integer": "'Infinity'",
        "number": "'Infinity'",
    },
    figures=True,
    at_once=True,
    share=" FOR SHARE",
    update=" FOR UPDATE",
    passing=" FOR UPDATE SKIP LOCKED",
)
