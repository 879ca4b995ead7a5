"""Callers, permissions and resources as Cedar's entities."""

import json
from functools import lru_cache
from typing import Any, NamedTuple

from modelyard.auth.statements import Step
from modelyard.kernel.ports import Row
from modelyard.kernel.principal import Principal, granting
from modelyard.protocol.filtering import Field, Fields

TYPES = {"key": "Key", "user": "User", "service_account": "ServiceAccount"}
# What a policy may ask of a caller beside id, workspace and roles. A caller may lack any of them.
ATTRIBUTES = {"department": str, "project": str, "clearance_level": int, "cost_center": str}
OWN = ("id", "kind", "workspace", "created_by")  # texts that every resource has
# What a policy may ask of a resource's fields, and the type that Cedar's schemas have for it.
SORTS = {"string": "String", "integer": "Long", "boolean": "Boolean", "strings": "Set"}
_LONG = 2**63  # a Cedar integer is below it

Known = str | int | tuple[str, ...] | None  # None: the resource lacks it


class Caller(NamedTuple):
    """All of a principal that decides: equal callers may do the same."""

    type: str
    id: str
    workspace: str
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    attributes: tuple[tuple[str, str | int], ...]


def caller_of(principal: Principal) -> Caller:
    """The part of ``principal`` that policies can see."""
    return Caller(
        TYPES[principal.kind],
        principal.id,
        principal.workspace,
        principal.scopes,
        principal.roles,
        tuple(principal.attributes.items()),
    )


@lru_cache(maxsize=4096)
def grants(permission: str) -> frozenset[str]:
    """Every scope that grants ``permission``, and every action it is part of."""
    return frozenset(granting(permission))


def granted(caller: Caller, permission: str) -> bool:
    """Whether one of the caller's scopes grants ``permission``: ``context.granted``."""
    return not grants(permission).isdisjoint(caller.scopes)


def seen(caller: Caller) -> dict[str, Any]:
    """What policies read of a caller: its attributes, each of its declared type."""
    found: dict[str, Any] = {
        "id": caller.id,
        "workspace": caller.workspace,
        "roles": list(caller.roles),
    }
    for name, value in caller.attributes:
        wanted = ATTRIBUTES.get(name)
        if wanted is str and isinstance(value, str):
            found[name] = value
        elif wanted is int and fits(value):
            found[name] = int(value)
    return found


def fits(value: Any) -> bool:
    """Whether Cedar can hold an integer."""
    return isinstance(value, int) and -_LONG <= value < _LONG


def entities(caller: Caller, permission: str, resource: dict[str, Any]) -> str:
    """The entities of one decision, as Cedar's JSON."""
    above = sorted(grants(permission) - {permission})
    parents = [{"type": "Action", "id": name} for name in above]
    return json.dumps(
        [
            {"uid": {"type": caller.type, "id": caller.id}, "attrs": seen(caller), "parents": []},
            {"uid": {"type": "Action", "id": permission}, "attrs": {}, "parents": parents},
            {"uid": RESOURCE, "attrs": resource, "parents": []},
        ]
    )


# One name for every resource: policies tell them apart by their attributes alone.
RESOURCE = {"type": "Resource", "id": "resource"}


def field_of(fields: Fields, step: Step) -> Field | None:
    """The declared field at a path, None where there is none that a policy can read."""
    field = fields.get(".".join(step))
    return field if field is not None and field.kind in SORTS else None


def holds_fields(fields: Fields, step: Step) -> bool:
    """Whether declared fields lie below a path (``spec`` of ``spec.head``)."""
    below = ".".join(step) + "."
    return any(name.startswith(below) and field.kind in SORTS for name, field in fields.items())


def read(row: Row, fields: Fields, step: Step) -> Known:
    """What a row has at a path, None where it lacks it or holds another type."""
    if step[0] == "labels":
        return row.labels.get(step[1]) if len(step) == 2 else None
    if len(step) == 1 and step[0] in OWN:
        return str(row.created_by if step[0] == "created_by" else getattr(row.address, step[0]))
    field = field_of(fields, step)
    return None if field is None else _typed(field, _raw(row, field))


def _raw(row: Row, field: Field) -> Any:
    if field.column:
        return getattr(row, field.column, None)
    value: Any = row.spec
    for name in field.path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _typed(field: Field, value: Any) -> Known:
    if field.kind == "strings":
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return tuple(value) or None if texts else None  # an empty list is an absent one
    if field.kind == "integer":
        return int(value) if fits(value) and not isinstance(value, bool) else None
    wanted = bool if field.kind == "boolean" else str
    return value if isinstance(value, wanted) else None


def attributes(
    steps: tuple[Step, ...], values: tuple[Known, ...], fields: Fields
) -> dict[str, Any]:
    """A resource's attributes, of what was read of it at ``steps``."""
    found: dict[str, Any] = {"labels": {}}
    for step, value in zip(steps, values, strict=True):
        node: Any = found
        for depth, name in enumerate(step[:-1], start=1):
            if name not in node and holds_fields(fields, step[:depth]):
                node[name] = {}
            node = node.get(name)
            if not isinstance(node, dict):
                break
        else:
            if value is not None:
                node[step[-1]] = list(value) if isinstance(value, tuple) else value
            elif holds_fields(fields, step):
                node.setdefault(step[-1], {})
    return found
