"""What a filter means for one resource, in plain Python: for live changes, and for tests."""

import re
from collections.abc import Callable
from datetime import datetime
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from modelyard.protocol.filtering import And, Compare, Field, Filter, Has, Not, Or, Text

SEARCHED = Field("", "string")  # stands for the searchable texts of a resource, joined by spaces

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge,
}  # fmt: skip
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """The words of a text: runs of letters and digits, without regard to case."""
    return _WORD.findall(text.casefold())


def matches(tree: Filter, value_of: Callable[[Field], Any]) -> bool:
    """Whether a resource matches.

    ``value_of`` gives a field as the store holds it or a client reads it (a list for ``strings``,
    a dict for ``labels``, None where it is absent) and for ``SEARCHED`` the text that ``Text``
    looks at: all of its words must be whole words there. A value of another type than the field's
    own matches nothing. Texts compare by code point, with regard to case.
    """
    if isinstance(tree, And):
        return all(matches(part, value_of) for part in tree.parts)
    if isinstance(tree, Or):
        return any(matches(part, value_of) for part in tree.parts)
    if isinstance(tree, Not):
        return not matches(tree.inner, value_of)
    if isinstance(tree, Text):
        return set(words(tree.words)) <= set(words(value_of(SEARCHED) or ""))
    value = value_of(tree.field)
    return _compares(tree, value) if isinstance(tree, Compare) else _has(tree, value)


def _compares(tree: Compare, value: Any) -> bool:
    wanted = tree.value
    if tree.field.kind == "time" and isinstance(wanted, int | float) and isinstance(value, str):
        value = datetime.fromisoformat(value).timestamp()
    if wanted is None:
        return (value is None) == (tree.operator == "=")
    if _family(value) != _family(wanted):
        return False
    if tree.wild:
        return _fits(value, str(wanted), wild=True) == (tree.operator == "=")
    return _COMPARE[tree.operator](value, wanted)


def _family(value: Any) -> type:
    return float if type(value) is int else type(value)


def _has(tree: Has, value: Any) -> bool:
    found = list(value or ())
    if tree.key:
        found = [value[tree.key]] if tree.key in found else []
    if tree.value == "*":
        return bool(found)
    return any(_fits(one, tree.value, wild=tree.wild) for one in found)


def _fits(text: str, pattern: str, *, wild: bool) -> bool:
    if not wild:
        return text == pattern
    if len(pattern) > 1 and pattern[0] == pattern[-1] == "*":
        return pattern[1:-1] in text
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    return text.startswith(pattern[:-1])
