"""Questions about a wire type: which names and values are allowed at a place in it.

A place is written as msgspec writes it in its errors: ``.limits.requests_per_minute``,
``.scopes[2]``, ``.labels[...]``.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec
from msgspec import inspect

from modelyard.protocol.errors import timestamp

_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


class Twice(Exception):
    """A field was sent in both spellings; the arguments are the foreign and the declared one."""


def names(type_: Any, place: str) -> list[str]:
    """The field names an object may have at ``place``; empty where any may be used."""
    return [field.encode_name for node in _at(type_, place) for field in _fields(node)]


@lru_cache(maxsize=1024)
def attributes(type_: Any) -> dict[str, str]:
    """The attributes of a Struct type by the names that the wire has for them."""
    nodes = _options(told(type_))
    return {field.encode_name: field.name for node in nodes for field in _fields(node)}


def values(type_: Any, place: str) -> list[Any]:
    """The values allowed at ``place`` when they can be listed: literals, enums, tags."""
    found: list[Any] = []
    for node in _at(type_, place):
        if isinstance(node, inspect.LiteralType):
            found += node.values
        elif isinstance(node, inspect.EnumType):
            found += [member.value for member in node.cls]
    parent, _, name = place.rpartition(".")
    for node in _at(type_, parent):
        if isinstance(node, inspect.StructType) and node.tag_field == name:
            found.append(node.tag)
    return found


def stored(value: Any) -> Any:
    """A value as a document holds it: JSON, with times as ``timestamp`` writes them: they sort."""
    type_: Any = type(value)
    made = msgspec.to_builtins(value, builtin_types=(datetime,), str_keys=True)
    return made if _is_plain(type_) else _timed(made)


def _timed(value: Any) -> Any:
    if isinstance(value, datetime):
        return timestamp(value.timestamp())
    if isinstance(value, dict):
        return {key: _timed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_timed(item) for item in value]
    return value


@lru_cache(maxsize=1024)
def _is_plain(type_: Any) -> bool:
    """Whether msgspec's builtins of a type's values are JSON as they are: no times, no tuples."""
    return _holds_json(told(type_), frozenset())


_SCALARS = (
    inspect.StrType
    | inspect.IntType
    | inspect.FloatType
    | inspect.BoolType
    | inspect.NoneType
    | inspect.LiteralType
)


def _holds_json(node: inspect.Type, within: frozenset[Any]) -> bool:
    """``within``: the Struct types that are being looked at already."""
    if isinstance(node, _SCALARS):
        return True
    if isinstance(node, inspect.UnionType | inspect.Metadata):
        return all(_holds_json(option, within) for option in _options(node))
    if isinstance(node, inspect.DictType):
        return _holds_json(node.key_type, within) and _holds_json(node.value_type, within)
    if isinstance(node, inspect.ListType):
        return _holds_json(node.item_type, within)
    if not isinstance(node, inspect.StructType) or node.array_like:
        return False
    inner = within | {node.cls}
    return node.cls in within or all(_holds_json(one.type, inner) for one in node.fields)


def takes_list(type_: Any, place: str) -> bool:
    """Whether a list may stand at ``place``."""
    return any(isinstance(node, inspect.CollectionType) for node in _at(type_, place))


def values_place(type_: Any, place: str) -> str | None:
    """The place of the values of a map (or of anything) at ``place``; None where none may be."""
    nodes = _at(type_, place)
    if any(isinstance(node, inspect.DictType) for node in nodes):
        return place + "[...]"
    return place if any(isinstance(node, inspect.AnyType) for node in nodes) else None


def respell(value: Any, type_: Any) -> Any:
    """``value`` with field names in the case that ``type_`` declares.

    ``pageSize`` and ``page_size`` mean the same declared field. Keys of maps are users' data and
    stay as they are. A whole number such as 3.0 becomes an integer where only that may stand.
    Raises ``Twice``.
    """
    return _respell(value, list(_options(told(type_))))


def snake(name: str) -> str:
    """``pageSize`` -> ``page_size``."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def camel(name: str) -> str:
    """``page_size`` -> ``pageSize``."""
    return re.sub(r"_([a-z0-9])", lambda match: match.group(1).upper(), name)


def title(name: str) -> str:
    """``service_accounts`` -> ``ServiceAccounts``."""
    return "".join(part[:1].upper() + part[1:] for part in name.replace("-", "_").split("_"))


def words(name: str) -> str:
    """``ServiceAccounts`` -> ``service accounts``."""
    return snake(name).replace("_", " ")


def one(name: str) -> str:
    """``Upload`` -> ``an upload``."""
    return article(words(name))


def spelled(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that ``name`` is in either case; None for none.

    ``contains_pii`` is ``containsPII``: the known name is turned, as ``name`` cannot be.
    """
    names = tuple(known)
    turned = (one for one in names if name in (snake(one), camel(one)))
    return name if name in names else next(turned, None)


def pattern(python: str) -> str:
    r"""A pattern as it is told: ``\Z`` ends a text in Python alone, whose ``$`` takes a newline."""
    return python.replace(r"\Z", "$")


@lru_cache(maxsize=1024)
def told(type_: Any) -> inspect.Type:
    """What msgspec tells of a type: worked out once for each, as that takes a millisecond."""
    return inspect.type_info(type_)


def _options(node: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(node, inspect.UnionType):
        for option in node.types:
            yield from _options(option)
    elif isinstance(node, inspect.Metadata):
        yield from _options(node.type)
    else:
        yield node


def _at(type_: Any, place: str) -> list[inspect.Type]:
    nodes = list(_options(told(type_)))
    for name, index in _STEP.findall(place):
        inner = chain.from_iterable(_inside(node, name, index) for node in nodes)
        nodes = [option for node in inner for option in _options(node)]
    return nodes


def _fields(node: inspect.Type) -> tuple[inspect.Field, ...]:
    kinds = inspect.StructType | inspect.TypedDictType | inspect.DataclassType
    return node.fields if isinstance(node, kinds) else ()


def _inside(node: inspect.Type, name: str, index: str) -> Iterator[inspect.Type]:
    if name:
        yield from (field.type for field in _fields(node) if field.encode_name == name)
    elif isinstance(node, inspect.DictType):
        yield node.value_type
    elif isinstance(node, inspect.TupleType) and index.isdigit():
        yield from node.item_types[int(index) : int(index) + 1]
    elif isinstance(node, inspect.CollectionType):
        yield node.item_type


def _respell(value: Any, nodes: list[inspect.Type]) -> Any:
    if isinstance(value, float):
        return _whole(value, nodes)
    if isinstance(value, list):
        inner = _items(nodes)
        return [_respell(item, inner) for item in value] if inner else value
    if not isinstance(value, dict):
        return value
    fields = {field.encode_name: field.type for node in nodes for field in _fields(node)}
    if fields:
        return _respell_fields(value, fields)
    inner = _items(nodes)
    return {key: _respell(item, inner) for key, item in value.items()} if inner else value


def _whole(value: float, nodes: list[inspect.Type]) -> float | int:
    wanted = {type(node) for node in nodes}
    exact = inspect.IntType in wanted and inspect.FloatType not in wanted
    return int(value) if exact and value.is_integer() else value


def _items(nodes: list[inspect.Type]) -> list[inspect.Type]:
    inner = chain.from_iterable(_inside(node, "", "...") for node in nodes)
    return [option for node in inner for option in _options(node)]


def _respell_fields(value: dict[Any, Any], fields: dict[str, inspect.Type]) -> dict[Any, Any]:
    spelled = {spelling(name): name for name in fields for spelling in (camel, snake)}
    result = {}
    for key, item in value.items():
        name = key if key in fields else spelled.get(key, key)
        if name != key and (name in value or name in result):
            raise Twice(key, name)
        node = fields.get(name)
        result[name] = _respell(item, list(_options(node))) if node is not None else item
    return result


def article(words: str) -> str:
    """The words with "a" or "an": ``an artifact``, ``a user``."""
    return f"{'an' if words[:1] in 'aeio' or words[:2] == 'up' else 'a'} {words}"
