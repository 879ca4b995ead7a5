"""What a schema of an OpenAPI document takes away from the clients of an earlier one.

A client sends what the old schema allows, so the new one must allow it too; it reads what the
old schema promises, so the new one must still promise it.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

Schema = dict[str, Any]
Way = Literal["request", "response"]

_UPPER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
_LOWER = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_OTHER = ("pattern", "multipleOf", "uniqueItems")
_NAMES = {bool: "boolean", str: "string", int: "integer", float: "number", type(None): "null"}
ANYTHING = "anything"


class Change(NamedTuple):
    """What was taken away at a place: a component's name, or the operation's part."""

    place: str
    what: str


class Schemas:
    """Compares schemas of two documents."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self.documents = (old, new)
        self.known: dict[tuple[str, str, Way], list[Change]] = {}

    def changes(self, old: Schema, new: Schema, way: Way, place: str) -> list[Change]:
        """What ``new`` takes away from ``old``; a component is compared with another once."""
        name = old.get("$ref", "")
        if not name:
            return list(self._changes(old, new, way, place))
        key = (name, new.get("$ref", place), way)
        if key not in self.known:
            self.known[key] = []  # it may hold itself
            self.known[key] = list(self._changes(old, new, way, name.rpartition("/")[2]))
        return self.known[key]

    def resolve(self, side: int, node: Schema) -> Schema:
        """What a reference leads to, in the old (0) or the new (1) document."""
        while "$ref" in node:
            found: Any = self.documents[side]
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            node = found
        return node

    def _changes(self, old: Schema, new: Schema, way: Way, place: str) -> Iterator[Change]:
        olds, news = list(self._options(0, old)), list(self._options(1, new))
        old_kinds = [self._kind(0, one) for one in olds]
        new_kinds = [self._kind(1, one) for one in news]
        for option, kind in zip(olds, old_kinds, strict=True):
            near = [
                other
                for other, theirs in zip(news, new_kinds, strict=True)
                if theirs == kind or (theirs, kind) in _wider(way)
            ]
            if near:
                yield from self._nearest(option, near, way, place)
            elif way == "request" and ANYTHING not in new_kinds:
                yield Change(place, f"no longer takes {kind}")
        for kind in dict.fromkeys(new_kinds):
            fits = [mine for mine in old_kinds if mine == kind or (kind, mine) in _wider(way)]
            if way == "response" and not fits and ANYTHING not in old_kinds:
                yield Change(place, f"may be {kind} now")

    def _nearest(self, old: Schema, near: list[Schema], way: Way, place: str) -> list[Change]:
        """The changes to the option that is nearest: the one of the same name, or the likest."""
        named = [other for other in near if "$ref" in old and other.get("$ref") == old["$ref"]]
        found = [self._option(old, other, way, place) for other in named or near]
        return min(found, key=len)

    def _option(self, old: Schema, new: Schema, way: Way, place: str) -> list[Change]:
        if "$ref" in old:
            return self.changes(old, new, way, place)
        return list(self._one(old, self.resolve(1, new), way, place))

    def _options(self, side: int, schema: Schema) -> Iterator[Schema]:
        plain = self.resolve(side, schema)
        for union in ("anyOf", "oneOf"):
            if union in plain:
                for option in plain[union]:
                    yield from self._named(side, option)
                return
        if isinstance(plain.get("type"), list):
            yield from (plain | {"type": one} for one in plain["type"])
        else:
            yield plain

    def _named(self, side: int, option: Schema) -> Iterator[Schema]:
        plain = self.resolve(side, option)
        if "$ref" in option and not {"anyOf", "oneOf"} & plain.keys():
            yield option
        else:
            yield from self._options(side, option)

    def _kind(self, side: int, option: Schema) -> str:
        plain = self.resolve(side, option)
        if "type" in plain:
            return str(plain["type"])
        if values := _values(plain):
            return " or ".join(sorted({_NAMES.get(type(one), ANYTHING) for one in values}))
        return "object" if "properties" in plain else ANYTHING

    def _one(self, old: Schema, new: Schema, way: Way, place: str) -> Iterator[Change]:
        if old.get("format") != new.get("format"):
            what = f"has {_or_none('format', new.get('format'))}"
            yield Change(place, f"{what}, not {_or_none('format', old.get('format'))}")
        yield from _enum(old, new, way, place)
        if way == "request":
            yield from _bounds(old, new, place)
        yield from self._properties(old, new, way, place)
        for word in sorted({"items", "additionalProperties"} & (old.keys() | new.keys())):
            before, after = _inner(old, word), _inner(new, word)
            if after is False and before is not False and way == "request":
                yield Change(place, f"allows no {word}")
            elif isinstance(before, dict) and isinstance(after, dict):
                yield from self.changes(before, after, way, place + "[]")

    def _properties(self, old: Schema, new: Schema, way: Way, place: str) -> Iterator[Change]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for name, schema in before.items():
            if name in after:
                yield from self.changes(schema, after[name], way, f"{place}.{name}")
            else:
                yield Change(f"{place}.{name}", f"is gone from the {way}")
        if way == "request":
            for name in sorted(needs - needed):
                yield Change(f"{place}.{name}", "is required now")
        for name in sorted((needed - needs) & after.keys()) if way == "response" else ():
            yield Change(f"{place}.{name}", "may be absent now")


def _wider(way: Way) -> tuple[tuple[str, str], ...]:
    """The kinds that may take another's place, as (new, old)."""
    return (("number", "integer"),) if way == "request" else (("integer", "number"),)


def _values(schema: Schema) -> list[Any]:
    values: list[Any] = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return values


def _inner(schema: Schema, word: str) -> Any:
    """A schema inside; true, which allows all, is an empty one."""
    inner = schema.get(word, {})
    return {} if inner is True else inner


def _or_none(word: str, value: Any) -> str:
    return f"no {word}" if value is None else f"{word} {value}"


def _enum(old: Schema, new: Schema, way: Way, place: str) -> Iterator[Change]:
    before, after = _values(old), _values(new)
    if after and not before and way == "request":
        yield Change(place, "takes listed values only")
    for value in before:
        if after and value not in after:
            yield Change(place, f"has no value {value!r} any more")


def _bounds(old: Schema, new: Schema, place: str) -> Iterator[Change]:
    for word in sorted((_UPPER | _LOWER) & new.keys()):
        before, after = old.get(word), new[word]
        sign = 1 if word in _UPPER else -1
        if before is None or sign * after < sign * before:
            yield Change(place, f"has {word} {after}, not {_or_none(word, before)}")
    for word in _OTHER:
        if word in new and new[word] != old.get(word):
            yield Change(place, f"has {word} {new[word]}, not {_or_none(word, old.get(word))}")
