"""Parts of filters: what a policy asks of a resource, and how such parts combine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from modelyard.auth.callers import OWN, field_of, holds_fields
from modelyard.auth.statements import Step
from modelyard.protocol.filtering import (
    NOTHING,
    And,
    Compare,
    Field,
    Fields,
    Filter,
    Has,
    Not,
    Operator,
    Or,
)

Truth = bool | Filter


class Unresolved(Exception):
    """An expression that fails, or that no filter can stand for."""


def negate(truth: Truth) -> Truth:
    """What does not match."""
    return not truth if isinstance(truth, bool) else Not(truth)


def every(truths: Iterable[Truth]) -> Truth:
    """What matches all."""
    parts: list[Filter] = []
    for truth in truths:
        if truth is False:
            return False
        if truth is not True:
            parts += truth.parts if isinstance(truth, And) else (truth,)
    asked = [part for part in parts if isinstance(part, Compare | Has)]
    parts = [
        part
        for part in dict.fromkeys(parts)
        if not (isinstance(part, Compare | Has) and any(_implies(one, part) for one in asked))
    ]
    if len(parts) < 2:
        return parts[0] if parts else True
    return And(tuple(parts))


def _implies(one: Compare | Has, guard: Compare | Has) -> bool:
    """Whether a comparison holds only where there is what the other asks for."""
    if isinstance(one, Compare) and isinstance(guard, Compare):
        present = guard.operator == "!=" and guard.value is None
        return present and one.field == guard.field and one.value is not None
    if not (isinstance(one, Has) and isinstance(guard, Has)):
        return False
    if one.field != guard.field or guard.key:
        return False
    return one.key == guard.value if one.key else guard.value == "*" != one.value


def either(truths: Iterable[Truth]) -> Truth:
    """What matches any."""
    parts = []
    for truth in truths:
        if truth is True:
            return True
        if truth is not False:
            parts.append(truth)
    parts = list(dict.fromkeys(parts))
    if len(parts) < 2:
        return parts[0] if parts else False
    return Or(tuple(parts))


def as_filter(truth: Truth) -> Filter | None:
    """A filter of a list: None shows all."""
    if truth is True:
        return None
    return NOTHING if truth is False else truth


def wild(pattern: Sequence[Any]) -> str | None:
    """A pattern of ``like`` as filters spell it; None where they cannot."""
    text = "".join("*" if one == "Wildcard" else one["Literal"] for one in pattern)
    literal = "".join("\0" if one == "Wildcard" else one["Literal"] for one in pattern)
    inner = literal.removeprefix("\0").removesuffix("\0")
    if "*" in literal or "\0" in inner:
        return None
    return "*" if set(text) == {"*"} else text


def _own(name: str, fields: Fields) -> Field:
    """A column that every resource has, as its kind declares it if it does."""
    declared = (field for field in fields.values() if field.column == name)
    return next(declared, Field(name, "string", (), name))


def _labels(fields: Fields) -> Field:
    field = fields.get("labels")
    if field is None or field.kind != "labels":
        raise Unresolved  # the store keeps no labels of this kind to look for
    return field


def field_at(step: Step, fields: Fields) -> Field | None:
    """The field at ``step`` that filters can compare, labels left out."""
    if len(step) == 1 and step[0] in OWN:
        return _own(step[0], fields)
    return None if step[:1] == ("labels",) else field_of(fields, step)


def present(step: Step, fields: Fields) -> Truth:
    """The resources that have anything at ``step``."""
    if step == ("labels",) or (len(step) == 1 and step[0] in OWN):
        return True
    if step[0] == "labels":
        return Has(_labels(fields), step[1]) if len(step) == 2 else False
    field = field_of(fields, step)
    if field is None:
        return holds_fields(fields, step)
    if field.kind == "strings":
        return Has(field, "*")
    return Compare(field, "!=", None)


def equal(step: Step, value: Any, fields: Fields) -> Truth:
    """The resources that have ``value`` at ``step``."""
    if isinstance(value, str):
        return texts(step, value, fields)
    field = field_at(step, fields)
    wanted = "boolean" if isinstance(value, bool) else "integer"
    if field is None or field.kind != wanted or not isinstance(value, int):
        raise Unresolved
    return Compare(field, "=", value)


def texts(step: Step, value: str, fields: Fields, *, wild: bool = False) -> Truth:
    """The resources whose text at ``step`` is ``value``, which may have ``*`` at its ends."""
    if len(step) == 2 and step[0] == "labels":
        if value == "*" and not wild:
            raise Unresolved  # a filter would take it for any value
        return Has(_labels(fields), value, step[1], wild)
    field = field_at(step, fields)
    if field is None or field.kind != "string":
        raise Unresolved
    return Compare(field, "=", value, wild)


def ordered(step: Step, operator: Operator, value: int, fields: Fields) -> Truth:
    """The resources whose integer at ``step`` is less, or more, than ``value``."""
    field = field_at(step, fields)
    if field is None or field.kind != "integer":
        raise Unresolved
    return Compare(field, operator, value)


def holding(step: Step, value: str, fields: Fields) -> Truth:
    """The resources whose list at ``step`` holds ``value``."""
    field = field_at(step, fields)
    if field is None or field.kind != "strings" or value == "*":
        raise Unresolved  # a filter would take * for any value
    return Has(field, value)
