"""Values of declared types: each number gives another one."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import inspect

# One of them fits most patterns.
_TEXTS = ("w{}", "w{}:read", "W-{}", "{}", "a{}@example.com", "{:064x}", "1.0.{}")
_SOON = datetime(2040, 1, 1, tzinfo=UTC)


def value(node: inspect.Type, number: int) -> Any:
    """A JSON value of a type. Raises LookupError for a pattern that needs a sample."""
    extra = node.extra_json_schema if isinstance(node, inspect.Metadata) else None
    if extra and extra.get("format") == "date-time":
        return time(number)
    if isinstance(node, inspect.Metadata):
        return value(node.type, number)
    if isinstance(node, inspect.UnionType):
        some = [one for one in node.types if not isinstance(one, inspect.NoneType)]
        return value(some[0], number)
    return _plain(node, number)


def time(number: int) -> str:
    """A time in the future, as the server writes it."""
    at = _SOON + timedelta(seconds=number)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(node: inspect.Type, number: int) -> Any:
    if isinstance(node, inspect.StructType):
        tag = {node.tag_field: node.tag} if node.tag_field else {}
        return tag | {one.encode_name: value(one.type, number) for one in node.fields}
    if isinstance(node, inspect.CollectionType):
        return [value(node.item_type, number), value(node.item_type, number + 1)]
    if isinstance(node, inspect.DictType):
        return {f"k{number}": value(node.value_type, number)}
    if isinstance(node, inspect.LiteralType):
        return sorted(node.values)[number % len(node.values)]
    if isinstance(node, inspect.IntType):
        return _whole(node, number)
    if isinstance(node, inspect.FloatType):
        return _fraction(node, number)
    simple: dict[type, Any] = {
        inspect.BoolType: number % 2 == 0,
        inspect.DateTimeType: time(number),
        inspect.AnyType: {"any": number},
    }
    return simple[type(node)] if type(node) in simple else _text(node, number)


def _whole(node: inspect.IntType, number: int) -> int:
    lowest = node.ge if node.ge is not None else 0
    most = node.le if node.le is not None else lowest + 1_000_000
    return lowest + number % (most - lowest + 1)


def _fraction(node: inspect.FloatType, number: int) -> float:
    """Between the bounds, where there are two."""
    lowest = node.ge if node.ge is not None else node.gt or 0.0
    most = node.le if node.le is not None else node.lt
    if most is None:
        return lowest + number + 0.5
    return lowest + (most - lowest) / (number % 100 + 2)


def _text(node: inspect.Type, number: int) -> str:
    assert isinstance(node, inspect.StrType), node
    for form in _TEXTS:
        text = form.format(number).rjust(node.min_length or 0, "w")
        short = node.max_length is None or len(text) <= node.max_length
        if short and re.search(node.pattern or "", text):
            return text
    raise LookupError(f"no text fits {node}: give a sample in samples.py")
