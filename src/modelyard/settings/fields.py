"""What each setting is called, what it may be, and how it is shown; all derived from the types."""

import re
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec import NODEFAULT, inspect

from modelyard.settings.types import Settings

VALUE = "value"  # one value: [cache] l1_ttl
TABLE = "table"  # a struct: [cache]
TABLES = "tables"  # structs by name: [providers.NAME]
LIST = "list"  # structs in order: [[models]]

Key = tuple[str | int, ...]  # ("providers", "main", "api_key"), ("models", 0, "name")


class Field(NamedTuple):
    """One field of a settings type.

    ``kind`` is the type without its annotations and without ``None``; ``struct`` the type of the
    fields below it, for every shape but ``VALUE``; ``default`` is ``NODEFAULT`` where required.
    """

    name: str
    annotation: Any
    kind: inspect.Type
    shape: str
    struct: type[msgspec.Struct] | None
    default: Any
    description: str
    examples: list[Any]
    extra: dict[str, Any]

    @property
    def secret(self) -> bool:
        """Whether the value is masked wherever it is shown."""
        return bool(self.extra.get("secret"))

    @property
    def path(self) -> bool:
        """Whether the value names a file that must exist."""
        return bool(self.extra.get("path"))

    @property
    def rule(self) -> str:
        """What a value has to be, to follow "must be"."""
        return self.extra.get("rule") or _rule(self.kind)


@cache
def fields_of(struct: type[msgspec.Struct]) -> dict[str, Field]:
    """The fields of a settings type by name, in their order."""
    return {info.name: _field(info) for info in msgspec.structs.fields(struct)}


def field_at(key: Key) -> Field | None:
    """The field a key names, whatever the provider's name or the model's index."""
    struct: type[msgspec.Struct] | None = Settings
    field = None
    parts = list(key)
    while parts and struct is not None:
        field = fields_of(struct).get(str(parts.pop(0)))
        if field is None:
            return None
        if field.shape in (TABLES, LIST) and parts:
            parts.pop(0)
        struct = field.struct
    return None if parts else field


def dotted(key: Key) -> str:
    """A key as it is written in messages: ``models[0].name``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def variable(key: Key) -> str:
    """The environment variable of a key: ``MODELYARD_CACHE_L1_TTL``."""
    return "MODELYARD_" + "_".join(environment_name(str(part)) for part in key)


def environment_name(name: str) -> str:
    """A name as a part of an environment variable's name."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def shown(value: object, field: Field | None = None) -> str:
    """A value for messages and tables: secrets and passwords in URLs are masked."""
    if value is None:
        return "(not set)"
    if field is not None and field.secret and value != "" and value != {}:
        if isinstance(value, dict):
            return ", ".join(f"{name}: {masked(str(text))}" for name, text in value.items())
        return masked(str(value))
    plain = msgspec.to_builtins(value, enc_hook=str)
    if isinstance(plain, str):
        return re.sub(r"(?<=://)[^/@\s]*@", "***@", _clipped(plain))
    return _clipped(msgspec.json.encode(plain).decode())


def printable(text: str) -> str:
    """A text on one line: what steers a terminal is written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def masked(secret: str) -> str:
    """A secret's last four characters at most, and those only of a long one."""
    return "***" + (secret[-4:] if len(secret) >= 20 else "")


def _clipped(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "…"


def _field(info: msgspec.structs.FieldInfo) -> Field:
    found = inspect.type_info(info.type)
    notes: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    if isinstance(found, inspect.Metadata):
        notes, extra = found.extra_json_schema or {}, found.extra or {}
        found = found.type
    kind = _without_none(found)
    shape, struct = _shape(kind)
    default = info.default
    if info.default_factory is not NODEFAULT:
        default = info.default_factory()
    description = notes.get("description", "")
    return Field(
        info.name,
        info.type,
        kind,
        shape,
        struct,
        default,
        description,
        notes.get("examples", []),
        extra,
    )


def _without_none(kind: inspect.Type) -> inspect.Type:
    if isinstance(kind, inspect.UnionType):
        rest = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
        if len(rest) == 1:
            kind = rest[0]
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _shape(kind: inspect.Type) -> tuple[str, type[msgspec.Struct] | None]:
    if isinstance(kind, inspect.StructType):
        return TABLE, kind.cls
    if isinstance(kind, inspect.DictType) and isinstance(kind.value_type, inspect.StructType):
        return TABLES, kind.value_type.cls
    if isinstance(kind, inspect.ListType) and isinstance(kind.item_type, inspect.StructType):
        return LIST, kind.item_type.cls
    return VALUE, None


def _rule(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return _number(kind)
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(str(value) for value in kind.values)
    if isinstance(kind, inspect.DictType | inspect.StructType):
        return "a table" + (" of strings" if isinstance(kind, inspect.DictType) else "")
    if isinstance(kind, inspect.ListType):
        strings = isinstance(kind.item_type, inspect.StrType)
        return "a list of " + ("strings" if strings else "tables")
    if isinstance(kind, inspect.CustomType):
        return "a path"
    return "a string" + (" that is not empty" if getattr(kind, "min_length", None) else "")


def _shown(value: float | None) -> str:
    return f"{value:,}".removesuffix(".0")


def _number(kind: inspect.IntType | inspect.FloatType) -> str:
    noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
    if kind.gt is not None:
        return f"{noun} above {kind.gt:,} and at most {_shown(kind.le)}"
    if kind.ge is not None:
        return f"{noun} from {kind.ge:,} to {_shown(kind.le)}"
    return noun
