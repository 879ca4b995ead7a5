"""What a policy may ask of a resource, so that a list's filter can stand for it.

Each expression is ``known`` (it hangs on caller, permission and kind alone), a ``path`` of the
resource, or a ``truth`` about it. ``auth.residual`` evaluates exactly what passes here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from modelyard.auth.parts import wild
from modelyard.auth.statements import Expression, inside, path_of

Shape = Literal["known", "path", "truth"]


class Beyond(Exception):
    """A construct that a policy may not have. ``mark`` is a text of the policy near to it."""

    def __init__(self, rule: str, message: str, mark: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.mark = mark


# What is written instead of what cannot be a filter.
INSTEAD = {
    "isEmpty": "an empty list is absent: write 'resource has …'",
    "+": "write the number that comes out",
    "-": "write the number that comes out",
    "*": "write the number that comes out",
    "neg": "write the number that comes out",
    "Record": "compare the attributes one by one",
    "hasTag": "resources have labels: write 'resource.labels has …'",
    "getTag": "resources have labels: write 'resource.labels[\"…\"]'",
}


def check_body(expression: Expression) -> None:
    """Raise ``Beyond`` unless a condition is something that a filter can stand for."""
    _shape(expression)


def _shape(expression: Expression) -> Shape:
    ((operator, body),) = expression.items()
    if operator in _SHAPES:
        return _SHAPES[operator](body)
    if operator in _COMPARED:
        return _COMPARED[operator](operator, body)
    instead = INSTEAD.get(operator, "compare texts, integers and booleans")
    raise Beyond(
        "construct",
        f"'{operator}' is no part of a policy about resources; {instead}",
        operator,
    )


def _known(_body: Any) -> Shape:
    return "known"


def _variable(body: str) -> Shape:
    return "path" if body == "resource" else "known"


def _attribute(body: Mapping[str, Any]) -> Shape:
    if path_of({".": body}) == ("kind",):
        return "known"
    return _shape(body["left"])


def _has(body: Mapping[str, Any]) -> Shape:
    return "truth" if _shape(body["left"]) == "path" else "known"


def _set(body: list[Expression]) -> Shape:
    if any(_shape(one) != "known" for one in body):
        raise Beyond(
            "construct",
            "a set cannot hold an attribute of the resource; compare it by itself, with ||",
            "[",
        )
    return "known"


def _joined(body: Mapping[str, Any]) -> Shape:
    shapes = {_shape(part) for part in body.values()}
    return "known" if shapes == {"known"} else "truth"


def _if(body: Mapping[str, Any]) -> Shape:
    if _shape(body["if"]) != "known":
        raise Beyond(
            "construct",
            "the condition of 'if' cannot hang on the resource; write (a && b) || (!a && c)",
            "if",
        )
    shapes = {_shape(body["then"]), _shape(body["else"])}
    return "known" if shapes == {"known"} else "truth"


def _is(body: Mapping[str, Any]) -> Shape:
    if "in" in body:
        raise Beyond("construct", "'is … in' is no part of a policy; write 'is' alone", "is")
    return "known" if _shape(body["left"]) == "known" else "truth"


def _like(body: Mapping[str, Any]) -> Shape:
    shape = _shape(body["left"])
    if shape == "known":
        return "known"
    if shape == "truth" or wild(body["pattern"]) is None:
        message = "'like' takes * at the ends of the pattern only, and no \\*; split the pattern"
        raise Beyond("construct", message, "like")
    return "truth"


def _scalar(operator: str, body: Mapping[str, Any]) -> Shape:
    """``==`` and the like: the resource on one side at most."""
    sides = [body["left"], body["right"]]
    shapes = [_shape(side) for side in sides]
    if shapes == ["known", "known"]:
        return "known"
    if "truth" in shapes or () in [path_of(side) for side in sides]:
        message = f"'{operator}' compares attributes; write conditions with && || !"
        raise Beyond("construct", message, operator)
    if shapes == ["path", "path"]:
        message = f"'{operator}' cannot compare two attributes of the resource"
        raise Beyond("construct", message + "; compare one with a value", operator)
    value = next(side for side, shape in zip(sides, shapes, strict=True) if shape == "known")
    _refuse_star(value)
    return "truth"


def _refuse_star(value: Expression) -> None:
    if value.get("Value") == "*":
        raise Beyond("construct", "\"*\" cannot be compared with; write 'has' for any value", '"*"')


def _equality(operator: str, body: Mapping[str, Any]) -> Shape:
    for side in (body["left"], body["right"]):
        if "Set" in side or ("." in side and side["."]["attr"] == "roles"):
            message = f"'{operator}' cannot compare lists; write '.contains(…)'"
            raise Beyond("construct", message, operator)
    return _scalar(operator, body)


def _within(operator: str, body: Mapping[str, Any]) -> Shape:
    if {_shape(body["left"]), _shape(body["right"])} != {"known"}:
        message = '\'in\' is for actions; write ["…", "…"].contains(resource.…)'
        raise Beyond("construct", message, operator)
    return "known"


def _contains(operator: str, body: Mapping[str, Any]) -> Shape:
    left, right = _shape(body["left"]), _shape(body["right"])
    if (left, right) == ("known", "known"):
        return "known"
    _refuse_star(body["right"])
    for one in body["left"].get("Set", ()):
        _refuse_star(one)
    if (left, right) in (("known", "path"), ("path", "known")):
        return "truth"
    message = f"'{operator}' cannot compare two attributes of the resource; name the values"
    raise Beyond("construct", message, operator)


def _contains_many(operator: str, body: Mapping[str, Any]) -> Shape:
    if _shape(body["right"]) != "known":
        message = f"'{operator}' takes values in its brackets: write resource.tags.{operator}([…])"
        raise Beyond("construct", message, operator)
    for one in body["right"].get("Set", ()):
        _refuse_star(one)
    return "known" if _shape(body["left"]) == "known" else "truth"


_SHAPES: Mapping[str, Callable[[Any], Shape]] = {
    "Value": _known,
    "Var": _variable,
    ".": _attribute,
    "has": _has,
    "Set": _set,
    "&&": _joined,
    "||": _joined,
    "!": _joined,
    "if-then-else": _if,
    "is": _is,
    "like": _like,
}
_COMPARED: Mapping[str, Callable[[str, Any], Shape]] = {
    "==": _equality,
    "!=": _equality,
    "<": _scalar,
    "<=": _scalar,
    ">": _scalar,
    ">=": _scalar,
    "in": _within,
    "contains": _contains,
    "containsAny": _contains_many,
    "containsAll": _contains_many,
}


def compared_kinds(expression: Expression) -> Iterator[str]:
    """The kinds that ``resource.kind`` is compared with."""
    ((operator, body),) = expression.items()
    if operator in ("==", "!=", "contains"):
        sides = [body["left"], body["right"]]
        if any(path_of(side) == ("kind",) for side in sides):
            for side in sides:
                values = [side, *side.get("Set", ())]
                yield from (one["Value"] for one in values if isinstance(one.get("Value"), str))
    for part in inside(expression):
        yield from compared_kinds(part)


def named_entities(form: Any) -> Iterator[tuple[str, str]]:
    """Type and id of every entity that a statement names."""
    if isinstance(form, Mapping):
        if form.keys() == {"type", "id"} and isinstance(form["type"], str):
            yield form["type"], form["id"]
        for part in form.values():
            yield from named_entities(part)
    elif isinstance(form, list):
        for part in form:
            yield from named_entities(part)
