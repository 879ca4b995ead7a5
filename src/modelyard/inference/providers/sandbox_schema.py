"""An instance of a JSON Schema: what the sandbox answers where a structure is asked for.

Follows JSON Schema 2020-12 as far as providers' structured output and tools use it: types, enum,
const, objects, arrays, numbers and strings with their bounds, formats and patterns, anyOf, oneOf
and allOf, $ref within the schema (a recursion ends where it may), ``nullable``. ``not``,
``if``, ``dependentRequired`` and ``contains`` are not looked at.
"""

from math import ceil, floor
from typing import Any

import msgspec

from modelyard.inference.providers.sandbox_pattern import PatternTooLong, example

Schema = dict[str, Any]

_SCHEMA = 131_072  # bytes
_NODES = 5_000  # values in one instance
_TEXT = 10_000  # characters of one string
_DEPTH = 100
_PARTS = 100  # of an allOf
_FORMATS = {
    "date-time": "2026-01-15T10:30:00Z",
    "date": "2026-01-15",
    "time": "10:30:00Z",
    "duration": "PT1H",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "sandbox@example.com",
    "idn-email": "sandbox@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/sandbox",
    "uri-reference": "/sandbox",
    "iri": "https://example.com/sandbox",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "json-pointer": "/sandbox",
    "regex": "^sandbox$",
    "byte": "c2FuZGJveA==",
}
# What tells the type of a schema that does not name one.
_HINTS = (
    ("object", ("properties", "required", "additionalProperties", "minProperties")),
    ("array", ("items", "prefixItems", "minItems", "maxItems", "uniqueItems")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)


class NoInstance(ValueError):
    """The schema allows nothing, or nothing that the sandbox can make."""


class _EndlessError(NoInstance):
    """A recursion that this branch does not end."""


def instance(schema: Any) -> Any:
    """A value that ``schema`` allows; the same one each time.

    Raises NoInstance when there is none, when it would be very large, when a reference leads
    nowhere, or when the schema is none.
    """
    if len(msgspec.json.encode(schema)) > _SCHEMA:
        raise NoInstance(f"it has more than {_SCHEMA} bytes")
    try:
        return _Maker(schema).make(schema, "value")
    except (AttributeError, KeyError, OverflowError, TypeError, ZeroDivisionError) as error:
        raise NoInstance("a keyword has a value that JSON Schema does not give it") from error


class _Maker:
    """Makes one instance."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.nodes = 0
        self.depth = 0
        self.open: list[str] = []  # references being followed

    def make(self, schema: Any, name: str, number: int = 0) -> Any:
        """A value for the property or item ``name``; ``number`` tells unique items apart."""
        self.nodes += 1
        if self.nodes > _NODES:
            raise NoInstance(f"its instance would hold more than {_NODES} values")
        if schema is False:
            raise NoInstance(f"nothing is allowed for {name!r}")
        if not isinstance(schema, dict):
            return "sandbox"
        if self.depth >= _DEPTH:
            raise _EndlessError("it is nested too deeply")
        self.depth += 1
        try:
            return self.resolve(schema, name, number)
        finally:
            self.depth -= 1

    def resolve(self, schema: Schema, name: str, number: int) -> Any:
        """Follow what stands for another schema, then make the value."""
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            if not schema["enum"]:
                raise NoInstance(f"the enum of {name!r} is empty")
            return schema["enum"][number % len(schema["enum"])]
        if (reference := schema.get("$ref")) is not None:
            return self.refer(reference, schema, name, number)
        if "allOf" in schema:
            return self.all_of(schema, name, number)
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                return self.either(key, schema, name, number)
        return self.value(schema, name, number)

    def refer(self, reference: str, schema: Schema, name: str, number: int) -> Any:
        """Follow a reference, but not into itself."""
        if reference in self.open:
            raise _EndlessError(f"{reference!r} has no end")
        self.open.append(reference)
        try:
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            return self.make(_merge(self.target(reference), rest), name, number)
        finally:
            self.open.pop()

    def target(self, reference: str) -> Schema:
        """The schema a reference points to (RFC 6901, within the document)."""
        found = self.root
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise NoInstance(f"the reference {reference!r} leads out of the schema")
        for step in reference[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                raise NoInstance(f"the reference {reference!r} leads nowhere")
        return found if isinstance(found, dict) else {"const": "sandbox"} if found else {"enum": []}

    def all_of(self, schema: Schema, name: str, number: int) -> Any:
        """A value for all parts at once, where they can be said in one schema."""
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        before = len(self.open)
        if len(schema["allOf"]) > _PARTS:
            raise NoInstance(f"an allOf has more than {_PARTS} parts")
        try:
            for part in schema["allOf"]:
                found = part if isinstance(part, dict) else {} if part else {"enum": []}
                if (reference := found.get("$ref")) is not None:
                    if reference in self.open:
                        raise _EndlessError(f"{reference!r} has no end")
                    self.open.append(reference)
                    rest = {key: value for key, value in found.items() if key != "$ref"}
                    found = _merge(self.target(reference), rest)
                merged = _merge(merged, found)
            return self.make(merged, name, number)
        finally:
            del self.open[before:]

    def either(self, key: str, schema: Schema, name: str, number: int) -> Any:
        """The first alternative that has an instance."""
        rest = {other: value for other, value in schema.items() if other != key}
        failure = NoInstance(f"no alternative of {name!r} can be made")
        for part in schema[key]:
            try:
                if isinstance(part, dict):
                    return self.make(_merge(rest, part), name, number)
                return self.make(rest if part else False, name, number)
            except _EndlessError as error:
                failure = error
            except NoInstance:
                if self.nodes > _NODES:
                    raise
        raise failure

    def value(self, schema: Schema, name: str, number: int) -> Any:
        """A value of the schema's type."""
        match _type(schema):
            case "object":
                return self.object(schema, number)
            case "array":
                return self.array(schema, name)
            case "integer":
                return _integer(schema, number)
            case "number":
                return _number(schema, number)
            case "boolean":
                return number % 2 == 0
            case "null":
                return None
            case _:
                return _string(schema, name, number)

    def object(self, schema: Schema, number: int) -> dict[str, Any]:
        """The required properties; all of them where none is required."""
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        found: dict[str, Any] = {}
        for name in required:
            found[name] = self.make(properties.get(name, _others(schema)), name, number)
        for name, part in {} if required else properties.items():
            try:
                found[name] = self.make(part, name, number)
            except _EndlessError:
                continue
        for more in range(min(schema.get("minProperties", 0), _NODES) - len(found)):
            spare = next((name for name in properties if name not in found), f"item_{more + 1}")
            found[spare] = self.make(properties.get(spare, _others(schema)), spare, number)
        return found

    def array(self, schema: Schema, name: str) -> list[Any]:
        """As few items as may be, but one where one may be."""
        prefix = schema.get("prefixItems") or []
        items = schema.get("items", {})
        least = schema.get("minItems", 0)
        if least > _NODES:
            raise NoInstance(f"{name!r} would have more than {_NODES} items")
        most = schema.get("maxItems", max(least, len(prefix), 1))
        if items is False:
            most = min(most, len(prefix))
        unique = schema.get("uniqueItems", False)
        found: list[Any] = []
        for number in range(max(least, min(most, max(1, len(prefix))))):
            part = prefix[number] if number < len(prefix) else items
            try:
                found.append(self.make(part, name, number if unique else 0))
            except _EndlessError:
                if number < least:
                    raise
                break
        return found


def _others(schema: Schema) -> Any:
    return schema.get("additionalProperties", True)


def _merge(one: Schema, two: Schema) -> Schema:
    """Both schemas at once, where that can be said in one."""
    merged = one | two
    for key in ("properties", "$defs", "definitions"):
        if key in one and key in two:
            merged[key] = one[key] | two[key]
    if "required" in one and "required" in two:
        merged["required"] = list(dict.fromkeys([*one["required"], *two["required"]]))
    for key, choose in (("minimum", max), ("maximum", min), ("minLength", max), ("maxLength", min)):
        if key in one and key in two:
            merged[key] = choose(one[key], two[key])
    return merged


def _type(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if isinstance(kind, str):
        return kind
    for hinted, keys in _HINTS:
        if any(key in schema for key in keys):
            return hinted
    return "string"


def _limits(schema: Schema, step: float) -> tuple[float | None, float | None]:
    """The closed range, exclusive ends moved inwards by ``step``."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is True or below is True:  # as JSON Schema draft 4 and OpenAPI 3.0 have them
        above, below = (low if above is True else None), (high if below is True else None)
    if isinstance(above, int | float) and not isinstance(above, bool):
        low = above + step if low is None else max(low, above + step)
    if isinstance(below, int | float) and not isinstance(below, bool):
        high = below - step if high is None else min(high, below - step)
    return low, high


def _integer(schema: Schema, number: int) -> int:
    step = max(1, ceil(schema.get("multipleOf", 1)))
    low, high = _limits(schema, 1)
    if low is not None:
        value = ceil(low / step) * step + number * step
    else:
        highest = step if high is None else floor(min(high, step) / step) * step
        value = highest + number * (step if high is None else -step)
    if high is not None and value > high:
        raise NoInstance(f"no integer lies between {low} and {high}")
    return int(value)


def _number(schema: Schema, number: int) -> float:
    step = schema.get("multipleOf")
    low, high = _limits(schema, step * 1e-6 if step else 0.0)
    if step:
        least = low if low is not None else min(step, high if high is not None else step)
        steps = ceil(least / step) if low is not None else floor(least / step)
        return float((steps + number) * step)
    if low is not None and high is not None:
        if low > high:
            raise NoInstance(f"no number lies between {low} and {high}")
        return float(low + (high - low) / (2 + number))
    if low is not None:
        return float(low + 0.5 + number)
    return float(high - 0.5 - number) if high is not None else 1.5 + number


def _string(schema: Schema, name: str, number: int) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength", _TEXT)
    if least > _TEXT:
        raise NoInstance(f"{name!r} would have more than {_TEXT} characters")
    if least > most:
        raise NoInstance(f"{name!r} can have no length")
    if isinstance(pattern := schema.get("pattern"), str):
        try:
            return example(pattern, least)
        except PatternTooLong as error:
            raise NoInstance(str(error)) from error
    if (text := _FORMATS.get(schema.get("format", ""))) is not None:
        return text
    text = f"sample {name}" if number == 0 else f"{number + 1} sample {name}"
    while len(text) < least:
        text += f" {text}"
    return text[:most]
