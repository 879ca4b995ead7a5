"""Filters as SQL. Every value is a parameter; a condition is never null where it is negated."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from modelyard.protocol.filtering import And, Compare, Field, Filter, Has, Not, Or, Text
from modelyard.storage.dialect import Dialect, literal, value
from modelyard.storage.words import query, stored

Clause = tuple[str, list[Any]]
ALL: Clause = ("TRUE", [])
NONE: Clause = ("FALSE", [])

_ANY = ("*", "**")
LAST = chr(0x10FFFF)
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
}


class Scope(Struct, frozen=True):
    """Where a filter looks: one kind, in a workspace, below one parent or any.

    With ``each`` what other tables hold is looked up for each row that is read, as most will not
    be read; else all of it is gathered first.
    """

    dialect: Dialect
    kind: str
    workspace: str
    parent: str | None
    each: bool = False

    def rows(self, table: str) -> Clause:
        """The condition on a table's rows; ``resource`` has those of the kind alone."""
        sql = f"{table}.workspace = ?"
        if table != "resource":
            sql = f"{table}.kind = {literal(self.kind)} AND {sql}"
        if self.parent is None:
            # Terms across parents have an index of their own, of those alone that have a parent.
            return f"{sql} AND term.parent <> ''" if table == "term" else sql, [self.workspace]
        return f"{sql} AND {table}.parent = ?", [self.workspace, self.parent]


def compiled(asked: Filter, scope: Scope) -> Clause:
    """The condition on ``resource`` that a filter means."""
    match asked:
        case And(parts):
            return joined(" AND ", [compiled(one, scope) for one in parts], ALL)
        case Or(parts):
            return joined(" OR ", [compiled(one, scope) for one in parts], NONE)
        case Not(inner):
            sql, values = compiled(inner, scope)
            return f"({sql}) IS NOT TRUE", values
        case Text(words):
            return _text(words, scope)
        case Has():
            return _has(asked, scope)
        case Compare():
            return _compare(asked, scope)


def joined(word: str, clauses: list[Clause], empty: Clause) -> Clause:
    """Conditions put together by AND or OR."""
    if not clauses:
        return empty
    if len(clauses) == 1:
        return clauses[0]
    return word.join(f"({sql})" for sql, _ in clauses), [one for _, v in clauses for one in v]


def _compare(asked: Compare, scope: Scope) -> Clause:
    field, wanted = asked.field, asked.value
    if field.kind in ("strings", "labels"):
        any_of = _has(Has(field, "*"), scope)
        if wanted is not None or asked.operator not in ("=", "!="):
            return NONE
        return any_of if asked.operator == "!=" else (f"NOT ({any_of[0]})", any_of[1])
    return compare(asked, value(scope.dialect, field, "resource."), scope.dialect)


def compare(asked: Compare, sql: str, dialect: Dialect) -> Clause:
    """The condition that a comparison puts on what the expression ``sql`` gives."""
    field, wanted = asked.field, asked.value
    if wanted is None:
        absent = {"=": "IS NULL", "!=": "IS NOT NULL"}.get(asked.operator)
        return (f"{sql} {absent}", []) if absent else NONE
    if not _comparable(field, wanted):
        return NONE
    if asked.wild:
        if wanted in _ANY:
            return (f"{sql} IS NOT NULL", []) if asked.operator == "=" else NONE
        found, values = _pattern(sql, str(wanted), dialect)
        return (found if asked.operator == "=" else f"NOT ({found})"), values
    condition = f"{sql} {asked.operator.replace('!=', '<>')} ?"
    if field.path and (bound := _other_bound(asked, dialect)):
        condition += f" AND {sql} {bound}"
    return condition, [wanted]


def _other_bound(asked: Compare, dialect: Dialect) -> str:
    kind = asked.field.kind
    if asked.operator in (">", ">=") and kind in dialect.highest:
        return f"<= {dialect.highest[kind]}"
    if asked.operator in ("<", "<=") and kind in dialect.lowest:
        return f">= {dialect.lowest[kind]}"
    return ""


def _comparable(field: Field, wanted: Any) -> bool:
    if field.kind == "time":
        return isinstance(wanted, (int, float) if field.column else str)
    if isinstance(wanted, bool):
        return field.kind == "boolean"
    return isinstance(wanted, _TYPES[field.kind])


def _pattern(sql: str, pattern: str, dialect: Dialect) -> Clause:
    """A text that begins or ends with, or contains, what stands beside the wild cards."""
    if pattern[0] == pattern[-1] == "*":
        return dialect.contains.format(sql), [pattern[1:-1]]
    if pattern[0] == "*":
        return dialect.ends.format(sql), [pattern[1:], pattern[1:]]
    first = pattern[:-1]
    after = _after(first)
    if after is None:
        return f"{sql} >= ?", [first]
    return f"{sql} >= ? AND {sql} < ?", [first, after]


def _after(prefix: str) -> str | None:
    """The lowest text above all that begin with ``prefix``; None where there is none."""
    while prefix and prefix[-1] == LAST:
        prefix = prefix[:-1]
    if not prefix:
        return None
    following = ord(prefix[-1]) + 1
    if following == 0xD800:  # what follows is half of a pair, and no character
        following = 0xE000
    return prefix[:-1] + chr(following)


def _has(asked: Has, scope: Scope) -> Clause:
    condition, values = term(asked, scope)
    return _within("term", f"term WHERE {condition}", values, scope)


def term(asked: Has, scope: Scope) -> Clause:
    """The condition on ``term`` that a filter means."""
    sql, values = scope.rows("term")
    sql += " AND term.field = ?"
    values.append(asked.field.name)
    sought = "term.value"
    if asked.field.kind != "labels":
        sql += " AND term.key = ''"
    elif asked.key:
        sql += " AND term.key = ?"
        values.append(asked.key)
    else:
        sought = "term.key"
    if asked.value == "*" or (asked.wild and asked.value in _ANY):
        return sql, values
    if asked.wild:
        found, more = _pattern(sought, asked.value, scope.dialect)
        return f"{sql} AND {found}", values + more
    return f"{sql} AND {sought} = ?", [*values, asked.value]


def spoken(words: str, scope: Scope) -> Clause | None:
    """The condition on SQLite's ``search_words`` and ``search``; None where no words are asked."""
    asked = query(words, scope.kind, scope.workspace, scope.dialect.name)
    if asked is None:
        return None
    condition, values = scope.rows("search")
    return f"search_words MATCH ? AND {condition}", [asked, *values]


def _text(words: str, scope: Scope) -> Clause:
    asked = query(words, scope.kind, scope.workspace, scope.dialect.name)
    if asked is None:
        return ALL
    condition, values = scope.rows("search")
    if scope.each and not scope.dialect.figures:  # the index of words would be opened each time
        sought = stored(words, scope.kind, scope.workspace)
        for _ in sought:
            condition += " AND instr(' ' || search.words || ' ', ?) > 0"
        return _within("search", f"search WHERE {condition}", [*values, *sought], scope)
    source = f"{scope.dialect.matching} AND {condition}"
    return _within("search", source, [asked, *values], scope)


def _within(table: str, source: str, values: list[Any], scope: Scope) -> Clause:
    """The resources that rows of another table name."""
    if scope.each:
        same = f"{table}.parent = resource.parent AND {table}.id = resource.id"
        if table == "term":  # its key has the time before the id
            same += " AND term.created_at = resource.created_at"
        own = " OFFSET 0" if scope.dialect.figures else ""  # PostgreSQL would gather all of them
        return f"EXISTS (SELECT 1 FROM {source} AND {same}{own})", values
    if scope.parent is not None:
        return f"resource.id IN (SELECT {table}.id FROM {source})", values
    both = f"SELECT {table}.parent, {table}.id FROM {source}"
    return f"(resource.parent, resource.id) IN ({both})", values
