"""What is left of a policy once the caller, the permission and the kind are known: a filter.

A statement's conditions are evaluated in Cedar's JSON form. What does not hang on the resource
becomes true or false; what does becomes a part of a ``kernel.filtering.Filter``. A read of the
resource is guarded by ``has`` (validation sees to it), so what a filter takes an absent field for
does not matter: it does not match.
"""

from __future__ import annotations

import operator as operators
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from modelyard.auth.callers import Caller, grants
from modelyard.auth.parts import (
    Truth,
    Unresolved,
    either,
    equal,
    every,
    holding,
    negate,
    ordered,
    present,
    texts,
    wild,
)
from modelyard.auth.statements import Expression, Statement, Step
from modelyard.protocol.filtering import Fields, Filter, Operator

_FLIPPED: Mapping[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Scene(NamedTuple):
    """All that is known when a list is asked for."""

    caller: Caller
    permission: str
    kind: str
    fields: Fields
    known: Mapping[str, Any]  # the caller's attributes
    granted: bool


class Entity(NamedTuple):
    """The caller or the permission, or an entity that a policy names."""

    type: str
    id: str


class Path(NamedTuple):
    """Something of the resource."""

    step: Step


def residual(statement: Statement, scene: Scene) -> Truth:
    """When the statement applies to a resource.

    Where that cannot be told, a forbid applies to all and a permit to none.
    """
    form = statement.form
    try:
        if not _heads(form, scene):
            return False
        parts: list[Truth] = []
        for condition in form["conditions"]:
            part = _truth(condition["body"], scene)
            parts.append(part if condition["kind"] == "when" else negate(part))
            if parts[-1] is False:
                return False
        return every(parts)
    except Unresolved:
        return statement.forbids


def _heads(form: Mapping[str, Any], scene: Scene) -> bool:
    """Whether the statement's head takes the caller, the permission and a resource at all."""
    caller = Entity(scene.caller.type, scene.caller.id)
    return (
        _takes(form["principal"], caller, scene)
        and _takes(form["action"], Entity("Action", scene.permission), scene)
        and _takes(form["resource"], Entity("Resource", ""), scene)
    )


def _takes(head: Mapping[str, Any], entity: Entity, scene: Scene) -> bool:
    if head["op"] == "All":
        return True
    if head["op"] == "is" and "in" not in head:
        return bool(head["entity_type"] == entity.type)
    if entity.type == "Resource":
        raise Unresolved
    if head["op"] == "is":
        inner = head["in"]["entity"]
        return head["entity_type"] == entity.type and _within(entity, _entity(inner), scene)
    named = [_entity(one) for one in head.get("entities", [head.get("entity")])]
    if head["op"] == "==":
        return entity in named
    return any(_within(entity, one, scene) for one in named)


def _entity(form: Mapping[str, str]) -> Entity:
    return Entity(form["type"], form["id"])


def _within(entity: Entity, other: Entity, scene: Scene) -> bool:
    if entity == Entity("Action", scene.permission) and other.type == "Action":
        return other.id in grants(scene.permission)
    return entity == other


def _truth(expression: Expression, scene: Scene) -> Truth:
    value = evaluate(expression, scene)
    if isinstance(value, Path):
        return equal(value.step, True, scene.fields)
    if isinstance(value, bool | Filter):
        return value
    raise Unresolved


def evaluate(expression: Expression, scene: Scene) -> Any:
    """The value of an expression, a ``Path`` of the resource, or a filter.

    Raises ``Unresolved`` for what ``Limits`` of validation does not admit.
    """
    ((operator, body),) = expression.items()
    if operator in _LAZY:
        return _LAZY[operator](body, scene)
    if operator not in _STRICT:
        raise Unresolved
    return _STRICT[operator](evaluate(body["left"], scene), evaluate(body["right"], scene), scene)


def _value(body: Any, _scene: Scene) -> Any:
    if isinstance(body, dict):
        if "__entity" not in body:
            raise Unresolved
        return _entity(body["__entity"])
    return body


def _variable(body: str, scene: Scene) -> Any:
    if body == "principal":
        return Entity(scene.caller.type, scene.caller.id)
    if body == "action":
        return Entity("Action", scene.permission)
    if body == "context":
        return {"granted": scene.granted}
    return Path(())


def _attribute(body: Mapping[str, Any], scene: Scene) -> Any:
    left = evaluate(body["left"], scene)
    if isinstance(left, Path):
        path = Path((*left.step, body["attr"]))
        return scene.kind if path.step == ("kind",) else path
    attributes = _attributes(left, scene)
    if body["attr"] not in attributes:
        raise Unresolved
    return attributes[body["attr"]]


def _attributes(value: Any, scene: Scene) -> Mapping[str, Any]:
    if value == Entity(scene.caller.type, scene.caller.id):
        return scene.known
    if isinstance(value, dict):
        return value
    raise Unresolved


def _has(body: Mapping[str, Any], scene: Scene) -> Truth:
    left = evaluate(body["left"], scene)
    if not isinstance(left, Path):
        return body["attr"] in _attributes(left, scene)
    return present((*left.step, body["attr"]), scene.fields)


def _set(body: Sequence[Expression], scene: Scene) -> list[Any]:
    return [evaluate(one, scene) for one in body]


def _and(body: Mapping[str, Any], scene: Scene) -> Truth:
    left = _truth(body["left"], scene)
    return left if left is False else every([left, _truth(body["right"], scene)])


def _or(body: Mapping[str, Any], scene: Scene) -> Truth:
    left = _truth(body["left"], scene)
    return left if left is True else either([left, _truth(body["right"], scene)])


def _not(body: Mapping[str, Any], scene: Scene) -> Truth:
    return negate(_truth(body["arg"], scene))


def _if(body: Mapping[str, Any], scene: Scene) -> Any:
    condition = _truth(body["if"], scene)
    if not isinstance(condition, bool):
        raise Unresolved
    return evaluate(body["then" if condition else "else"], scene)


def _is(body: Mapping[str, Any], scene: Scene) -> bool:
    left = evaluate(body["left"], scene)
    if "in" in body or not (isinstance(left, Entity) or left == Path(())):
        raise Unresolved
    kind = left.type if isinstance(left, Entity) else "Resource"
    return bool(kind == body["entity_type"])


def _like(body: Mapping[str, Any], scene: Scene) -> Truth:
    left, pattern = evaluate(body["left"], scene), body["pattern"]
    if isinstance(left, str):
        parts = [".*" if one == "Wildcard" else re.escape(one["Literal"]) for one in pattern]
        return re.fullmatch("".join(parts), left, re.DOTALL) is not None
    if not isinstance(left, Path):
        raise Unresolved
    text = wild(pattern)
    if text is None:
        raise Unresolved
    if text == "*":
        return present(left.step, scene.fields)
    return texts(left.step, text, scene.fields, wild="*" in text)


def _equals(left: Any, right: Any, scene: Scene) -> Truth:
    if isinstance(right, Path):
        left, right = right, left
    if not isinstance(left, Path):
        if isinstance(left, list | dict) or isinstance(right, list | dict):
            raise Unresolved
        return type(left) is type(right) and bool(left == right)
    return equal(left.step, right, scene.fields)


def _differs(left: Any, right: Any, scene: Scene) -> Truth:
    return negate(_equals(left, right, scene))


def _ordered(operator: Operator) -> Callable[[Any, Any, Scene], Truth]:
    def compare(left: Any, right: Any, scene: Scene) -> Truth:
        if isinstance(right, Path) and type(left) is int:
            return ordered(right.step, _FLIPPED[operator], left, scene.fields)
        if isinstance(left, Path) and type(right) is int:
            return ordered(left.step, operator, right, scene.fields)
        if type(left) is not int or type(right) is not int:
            raise Unresolved
        return _ORDERS[operator](left, right)

    return compare


def _in(left: Any, right: Any, scene: Scene) -> bool:
    others = right if isinstance(right, list) else [right]
    if not all(isinstance(one, Entity) for one in [left, *others]):
        raise Unresolved
    return any(_within(left, one, scene) for one in others)


def _contains(left: Any, right: Any, scene: Scene) -> Truth:
    if isinstance(left, list) and not any(isinstance(one, Path) for one in left):
        return either([_equals(one, right, scene) for one in left])
    if not isinstance(left, Path) or not isinstance(right, str):
        raise Unresolved
    return holding(left.step, right, scene.fields)


def _contains_any(left: Any, right: Any, scene: Scene) -> Truth:
    if not isinstance(right, list):
        raise Unresolved
    return either([_contains(left, one, scene) for one in right])


def _contains_all(left: Any, right: Any, scene: Scene) -> Truth:
    if not isinstance(right, list):
        raise Unresolved
    return every([_contains(left, one, scene) for one in right])


_ORDERS: Mapping[Operator, Callable[[int, int], bool]] = {
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
_LAZY: Mapping[str, Any] = {
    "Value": _value,
    "Var": _variable,
    ".": _attribute,
    "has": _has,
    "Set": _set,
    "&&": _and,
    "||": _or,
    "!": _not,
    "if-then-else": _if,
    "is": _is,
    "like": _like,
}
_STRICT: Mapping[str, Any] = {
    "==": _equals,
    "!=": _differs,
    "<": _ordered("<"),
    "<=": _ordered("<="),
    ">": _ordered(">"),
    ">=": _ordered(">="),
    "in": _in,
    "contains": _contains,
    "containsAny": _contains_any,
    "containsAll": _contains_all,
}
