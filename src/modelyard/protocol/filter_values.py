"""Restrictions of a filter: a declared field, a comparator and a literal, checked by its kind."""

import math
import re
from datetime import datetime
from typing import Any, NamedTuple

from modelyard.protocol import errors
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import And, Compare, Field, Filter, Has, Not, Value, refused

STAR = "\0"  # a * that was not escaped, so that an escaped one can be told from it
EQUALITY = [":", "=", "!="]
COMPARATORS = [*EQUALITY, "<", "<=", ">", ">="]

_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(s?)", re.ASCII)
_WHOLE = re.compile(r"-?\d+", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_FORMS = {
    "integer": "a whole number, or seconds such as 20s",
    "number": "a number, or seconds such as 1.5s",
    "boolean": "true or false",
    "time": "a time as RFC 3339 writes it, such as 2026-01-15T10:30:00Z",
}


class Literal(NamedTuple):
    """A value as the client wrote it, unescaped; ``function`` is the one that it was given to."""

    text: str
    quoted: bool
    at: int  # its first character's position in the filter
    function: str = ""

    @property
    def null(self) -> bool:
        """Whether it is the word null."""
        return self.text == "null" and not self.quoted and not self.function


class About(NamedTuple):
    """What a literal is compared with: the field, the key of a map, and how."""

    field: Field
    key: str
    operator: str
    at: int


def wrong(rule: str, message: str, at: int, **details: Any) -> Failure:
    """``INVALID_REQUEST`` at a position of the filter."""
    return refused("filter", rule, f"{message}, at character {at}", position=at, **details)


def restrict(about: About, literal: Literal) -> Filter:
    """The node of one restriction.

    ``:`` is ``=`` for what is neither a list nor a map; ``*`` alone asks whether there is a value.
    An absent field matches no comparison, ``!=`` neither. Times become what is stored: Unix
    seconds for a column, else RFC 3339 in UTC with milliseconds.
    """
    field, key, operator, at = about
    allowed = _allowed(about, literal)
    if operator not in allowed:
        message = f"cannot use '{operator}' like this on '{field.name}'; use {' or '.join(allowed)}"
        raise wrong("operator", message, at, allowed=allowed)
    if field.kind in ("strings", "labels"):
        held = Has(field, "*", key)
        return _presence(about, literal, held, Not(held)) or _restrict_terms(about, literal)
    some, none = Compare(field, "!=", None), Compare(field, "=", None)
    return _presence(about, literal, some, none) or _compare(about, literal)


def _allowed(about: About, literal: Literal) -> list[str]:
    kind = about.field.kind
    if kind == "strings" or (kind == "labels" and not about.key):
        return EQUALITY if literal.null else [":"]
    return EQUALITY if literal.null or kind in ("labels", "boolean") else COMPARATORS


def _presence(about: About, literal: Literal, some: Filter, none: Filter) -> Filter | None:
    """What a null or a lone ``*`` asks for; None where the literal is neither."""
    if literal.null or (literal.text == STAR and about.operator in EQUALITY):
        return some if literal.null == (about.operator == "!=") else none
    return None


def _restrict_terms(about: About, literal: Literal) -> Filter:
    text, wild = _pattern(about, literal)
    if text == "*":
        raise wrong("wildcard", "cannot look for a * itself", literal.at)
    found = Has(about.field, text, about.key, wild)
    if about.operator == "!=":
        return And((Has(about.field, "*", about.key), Not(found)))
    return found


def _compare(about: About, literal: Literal) -> Filter:
    field, _, sign, _ = about
    operator: Any = "=" if sign == ":" else sign
    if field.kind == "string" and sign in EQUALITY:
        return Compare(field, operator, *_pattern(about, literal))
    value = _value(field, literal)
    if value is None:
        raise _type(about, literal)
    return Compare(field, operator, value)


def _pattern(about: About, literal: Literal) -> tuple[str, bool]:
    if literal.function:
        raise _type(about, literal)
    text = literal.text
    if STAR not in text:
        return text, False
    begins, ends = text.startswith(STAR), text.endswith(STAR)
    inner = text.removeprefix(STAR).removesuffix(STAR)
    unclear = (inner[:1] == "*" and not begins) or (inner[-1:] == "*" and not ends)
    if STAR in inner or unclear or not inner:
        message = r"has a * elsewhere than at the beginning or end of a text; \* is the character"
        raise wrong("wildcard", message, literal.at)
    return text.replace(STAR, "*"), True


def _value(field: Field, literal: Literal) -> Value:
    """The literal as the field's kind has it; None where it cannot be that."""
    if field.kind == "string":
        return None if literal.function else literal.text.replace(STAR, "*")
    if field.kind == "time":
        return _time(field, literal)
    if field.kind == "boolean":
        return None if literal.quoted else {"true": True, "false": False}.get(literal.text)
    value = _number(literal)
    if field.kind == "number" or value is None:
        return value
    if not value.is_integer() or not -(2.0**63) < value < 2.0**63:
        return None
    return int(literal.text) if _WHOLE.fullmatch(literal.text) else int(value)


def _number(literal: Literal) -> float | None:
    found = _NUMBER.fullmatch(literal.text)
    if not found or literal.function not in ("", "duration"):
        return None
    if literal.quoted and not (literal.function and found.group(2)):
        return None
    value = float(found.group(1))
    return value if math.isfinite(value) else None


def _time(field: Field, literal: Literal) -> float | str | None:
    if literal.function not in ("", "timestamp") or not _TIME.fullmatch(literal.text):
        return None
    try:
        at = datetime.fromisoformat(literal.text.upper()).timestamp()
        return at if field.column else errors.timestamp(at)
    except (ValueError, OverflowError):  # the 30th of February, the year 0 in UTC
        return None


def _type(about: About, literal: Literal) -> Failure:
    form = _FORMS.get(about.field.kind, "a text")
    message = f"compares '{about.field.name}' with something else than {form}"
    return wrong("type", message, literal.at, allowed=form)
