"""Filters (AIP-160): what a client may ask of a list, as a tree that a store can compile.

The parser is in ``kernel.filter_grammar``, the meaning of a filter over one resource in
``kernel.matching``; a permission's own filter is made of the same nodes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from modelyard.protocol.errors import Failure

LONGEST_NAME = 100  # characters of a client's own name that are repeated to it

Kind = Literal["string", "integer", "number", "boolean", "time", "strings", "labels"]
Operator = Literal["=", "!=", "<", "<=", ">", ">="]
Value = str | int | float | bool | None


class Field(Struct, frozen=True):
    """A field that a list can be filtered or ordered by.

    ``name`` is as the wire spells it (``createdAt``, ``spec.head``). ``column`` names a column of
    the resource table; without one the value is at ``path`` in the stored document. ``strings``
    is a list of strings, ``labels`` a map of them: both are looked up as terms.
    """

    name: str
    kind: Kind
    path: tuple[str, ...] = ()
    column: str = ""


def value_at(document: Any, path: Iterable[str]) -> Any:
    """What a JSON document has at a path of keys; None where it has nothing there."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


class Compare(Struct, frozen=True, tag="compare"):
    """``field operator value``. Times are Unix seconds for columns, RFC 3339 texts in documents.

    A string of ``=`` or ``!=`` may begin or end with ``*`` where ``wild`` is set. A null value
    asks whether the field is absent.
    """

    field: Field
    operator: Operator
    value: Value
    wild: bool = False


class Has(Struct, frozen=True, tag="has"):
    """``field:value``: a list holds it, a map has the key (``key`` set: under that key).

    A value of ``*`` asks whether there is any.
    """

    field: Field
    value: str
    key: str = ""
    wild: bool = False


class Text(Struct, frozen=True, tag="text"):
    """Words that the searchable fields must all contain (a bare literal of AIP-160)."""

    words: str


class Not(Struct, frozen=True, tag="not"):
    """What does not match ``inner``; an absent field does not match, so it is found here."""

    inner: Filter


class And(Struct, frozen=True, tag="and"):
    """What matches all parts; all, when there are none."""

    parts: tuple[Filter, ...]


class Or(Struct, frozen=True, tag="or"):
    """What matches any part; nothing, when there are none."""

    parts: tuple[Filter, ...]


Filter = Compare | Has | Text | Not | And | Or
Fields = Mapping[str, Field]  # by the wire's name
NOTHING = Or(())


class Order(Struct, frozen=True):
    """One part of a list's order."""

    field: Field
    descending: bool = False


def both(*filters: Filter | None) -> Filter | None:
    """What all of the filters let through; None lets everything through."""
    parts = tuple(one for one in filters if one is not None)
    if len(parts) > 1:
        return And(parts)
    return parts[0] if parts else None


def canonical(tree: Filter | None) -> str:
    """One text for one tree, for what is bound to a filter (page tokens). "" for no filter."""
    return "" if tree is None else msgspec.json.encode(tree).decode()


def refused(parameter: str, rule: str, message: str, **details: Any) -> Failure:
    """``INVALID_REQUEST`` for a parameter; ``message`` goes on after its name."""
    details = {"field": parameter, "rule": rule, **details}
    return Failure("INVALID_REQUEST", f"'{parameter}' {message}.", details=details)


def unknown(parameter: str, name: str, known: Iterable[str], **details: Any) -> Failure:
    """``INVALID_REQUEST`` for a name that is not declared, with the one that may be meant."""
    allowed = sorted(known)
    near = difflib.get_close_matches(name[:LONGEST_NAME], allowed, n=1)
    hint = f"did you mean '{near[0]}'" if near else "allowed: " + (", ".join(allowed) or "none")
    message = f"names '{name[:LONGEST_NAME]}', which is not known here; {hint}"
    return refused(parameter, "unknown_field", message, allowed=allowed, **details)
