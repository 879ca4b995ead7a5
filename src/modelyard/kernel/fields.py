"""What a field of a resource is to a client (AIP-203), and the types that follow from it."""

from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, inspect, structs

from modelyard.protocol import shape
from modelyard.protocol.filtering import Field, Kind
from modelyard.protocol.shape import stored as stored

OUTPUT_ONLY = Meta(extra={"behavior": "output_only"})  # the server's; ignored in a request
IMMUTABLE = Meta(extra={"behavior": "immutable"})  # set when the resource is created
INPUT_ONLY = Meta(extra={"behavior": "input_only"})  # sent, never stored nor shown
HIDDEN = Meta(extra={"behavior": "hidden"})  # stored, never shown nor sent: digests
UNTOLD = Meta(extra={"untold": True})  # not in the audit trail, which is for ever: what may go
Behavior = Literal["", "output_only", "immutable", "input_only", "hidden"]

LabelKey = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._/-]{0,62}\Z")]
LabelValue = Annotated[str, Meta(max_length=256)]
Labels = Annotated[
    dict[LabelKey, LabelValue], Meta(max_length=64, description="The user's own key-value pairs.")
]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Etag = Annotated[str, Meta(description="Changes with every change; send it as If-Match.")]

# name -> (type, column of the resource table, kind of its filter)
STANDARD: dict[str, tuple[Any, str, Kind]] = {
    "id": (str, "id", "string"),
    "labels": (Labels, "labels", "labels"),
    "workspace": (str, "workspace", "string"),
    "created_at": (Time, "created_at", "time"),
    "created_by": (str, "created_by", "string"),
    "updated_at": (Time, "updated_at", "time"),
    "updated_by": (str, "updated_by", "string"),
    "deleted_at": (Time | None, "deleted_at", "time"),
}


def refers(kind: str) -> Meta:
    """The field holds the id of a resource of ``kind``, or its name where that has a parent."""
    return Meta(extra={"refers": kind})


class About(Struct, frozen=True):
    """One field of a resource's type."""

    name: str  # the attribute
    wire: str
    type: Any
    behavior: Behavior
    refers: str
    untold: bool
    many: bool  # a list
    given: Any  # as ``defstruct`` takes it: name, type and default
    default: Any  # as a document holds it; UNSET where it is required


@lru_cache(maxsize=512)
def describe(type_: Any) -> tuple[About, ...]:
    """The fields of a Struct type."""
    info = shape.told(type_)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{type_} is no Struct")
    return tuple(
        _about(one, declared)
        for one, declared in zip(info.fields, structs.fields(type_), strict=True)
    )


def _about(field: inspect.Field, declared: structs.FieldInfo) -> About:
    plain, extra, _ = _plain(field.type)
    many = isinstance(plain, inspect.CollectionType)
    if isinstance(plain, inspect.CollectionType):
        extra = _plain(plain.item_type)[1] | extra
    given: Any = (field.name, declared.type)
    default: Any = UNSET
    if declared.default_factory is not msgspec.NODEFAULT:
        default = declared.default_factory()
        given = (*given, msgspec.field(default_factory=declared.default_factory))
    elif declared.default is not msgspec.NODEFAULT:
        default = declared.default
        given = (*given, default)
    return About(
        name=field.name,
        wire=field.encode_name,
        type=declared.type,
        behavior=extra.get("behavior", ""),
        refers=extra.get("refers", ""),
        untold=extra.get("untold", False),
        many=many,
        given=given,
        default=default if default is UNSET else stored(default),
    )


class Types(Struct, frozen=True):
    """What clients send and read of a resource: its type without what is not theirs."""

    view: Any
    create: Any
    put: Any
    patch: Any
    listing: Any
    ignored: frozenset[str]  # what a request may repeat, to no effect; wire names


def derive(type_: Any, plural: str, *, camel: bool, soft: bool, own_ids: str) -> Types:
    """The types of a resource's requests and answers.

    ``own_ids`` is the pattern of the ids that clients may choose, "" where they may not.
    """
    name, about = type_.__name__, describe(type_)
    options: dict[str, Any] = {"kw_only": True, "module": type_.__module__}
    options["rename"] = "camel" if camel else None
    view = _view(name, about, options, soft=soft)
    page: Any = list.__class_getitem__(view)
    listed: Any = [(plural, page), ("next_page_token", _NEXT)]
    spell = shape.camel if camel else shape.snake
    ignored = {field.wire for field in about if field.behavior == "output_only"}
    ignored |= {spell(key) for key in (*STANDARD, "etag") if key != "labels"}
    return Types(
        view,
        *_requests(name, about, own_ids, options | {"forbid_unknown_fields": True}),
        msgspec.defstruct(name + "List", listed, **options),
        frozenset(ignored),
    )


def _view(name: str, about: tuple[About, ...], options: dict[str, Any], *, soft: bool) -> Any:
    """What is read: the id, what is neither hidden nor only sent, and what every resource has."""
    standard = {key: kind for key, (kind, _, _) in STANDARD.items() if key != "deleted_at" or soft}
    shown = [field for field in about if field.behavior not in ("hidden", "input_only")]
    fields = [
        ("id", standard.pop("id")),
        *((field.name, field.type) for field in shown),
        *standard.items(),
        ("etag", Etag),
    ]
    return msgspec.defstruct(name, fields, **options)


def _requests(
    name: str, about: tuple[About, ...], own_ids: str, options: dict[str, Any]
) -> tuple[Any, Any, Any]:
    """What is sent by POST, PUT and PATCH."""
    settable = [field for field in about if field.behavior not in ("hidden", "output_only")]
    given = [field.given for field in settable]
    kept = [
        (one.name, one.type | UnsetType, UNSET) if one.behavior == "immutable" else one.given
        for one in settable
    ]
    labels: Any = ("labels", Labels, msgspec.field(default_factory=dict))
    chosen: list[Any] = []
    if own_ids:
        told = "Chosen by the client; generated when left out."
        chosen = [("id", Annotated[str, Meta(pattern=own_ids, description=told)] | None, None)]
    changes = [
        *((one.name, one.type | UnsetType, UNSET) for one in settable),
        ("labels", Labels | UnsetType, UNSET),
        ("etag", str | UnsetType, UNSET),
    ]
    return (
        msgspec.defstruct(name + "Input", [*chosen, *given, labels], **options),
        msgspec.defstruct(name + "Replacement", [*kept, labels, ("etag", Etag, "")], **options),
        msgspec.defstruct(name + "Patch", changes, **options),
    )


def part(type_: Any, name: str, fields: tuple[str, ...], *, camel: bool) -> tuple[Any, Any, Any]:
    """What is sent by PUT and PATCH, and read, of some fields by themselves."""
    chosen = [one for one in describe(type_) if one.name in fields]
    options: dict[str, Any] = {"kw_only": True, "module": type_.__module__}
    options["rename"] = "camel" if camel else None
    given: list[Any] = [*(one.given for one in chosen), ("etag", Etag, "")]
    shown = [*((one.name, one.type) for one in chosen), ("etag", Etag)]
    some = [(key, kind | UnsetType, UNSET) for key, kind in shown]
    put = msgspec.defstruct("Set" + name, given, forbid_unknown_fields=True, **options)
    patch = msgspec.defstruct(name + "Patch", some, forbid_unknown_fields=True, **options)
    return put, patch, msgspec.defstruct(name, shown, **options)


_NEXT = Annotated[str | None, Meta(description="Null on the last page.")]


_KINDS: dict[type[inspect.Type], Kind] = {
    inspect.StrType: "string",
    inspect.LiteralType: "string",
    inspect.EnumType: "string",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.BoolType: "boolean",
    inspect.DateTimeType: "time",
    inspect.DictType: "labels",
}


def indexed(type_: Any, name: str, *, camel: bool) -> Field:
    """The field that a declaration names (``type``, ``spec.head``, ``created_at``), for filters.

    Raises ValueError for one that is none, or that no index can be made of.
    """
    spell = shape.camel if camel else shape.snake
    if name in STANDARD:
        _, column, kind = STANDARD[name]
        return Field(spell(name), kind, column=column)
    path: list[str] = []
    node: Any = shape.told(type_)
    for step in name.split("."):
        field = next((one for one in getattr(node, "fields", ()) if one.name == step), None)
        if field is None:
            raise ValueError(f"{type_.__name__} has no field {name}")
        path.append(field.encode_name)
        node, _, formatted = _plain(field.type)
    if isinstance(node, inspect.CollectionType):
        return Field(".".join(path), "strings", tuple(path))
    if type(node) not in _KINDS:
        raise ValueError(f"{type_.__name__}.{name} is nothing to filter by")
    return Field(".".join(path), "time" if formatted else _KINDS[type(node)], tuple(path))


def _plain(node: inspect.Type) -> tuple[inspect.Type, dict[str, Any], bool]:
    """A type without its constraints and null; what is noted of it; whether it is a time."""
    extra: dict[str, Any] = {}
    formatted = False
    while isinstance(node, inspect.Metadata | inspect.UnionType):
        if isinstance(node, inspect.Metadata):
            formatted |= (node.extra_json_schema or {}).get("format") == "date-time"
            extra |= node.extra or {}
            node = node.type
        else:
            node = next(one for one in node.types if not isinstance(one, inspect.NoneType))
    return node, extra, formatted
