"""Policies as Cedar parsed them, and what in them is about the resource."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

Expression = dict[str, Any]  # Cedar's JSON form: one operator and what it is applied to
Step = tuple[str, ...]  # a path from the resource: ("labels", "team"), ("spec", "head")


class Statement(Struct, frozen=True):
    """One permit or forbid. ``source`` is the id of the policy that holds it."""

    id: str
    source: str
    form: Mapping[str, Any]  # Cedar's JSON form of the whole statement
    about: frozenset[Step]  # the paths of the resource that it looks at
    conditional: bool  # it has to see the resource to decide

    @property
    def forbids(self) -> bool:
        """Whether it is a forbid."""
        return bool(self.form["effect"] == "forbid")


LONGEST = 20_000  # characters of a policy
_DEEPEST = 50  # brackets within brackets: Cedar's parser overflows the stack at some hundreds
_LEVELS = 100  # of an expression; a chain of n times && has n
_TOKENS = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n\r]*|[()\[\]{};]', re.DOTALL)


def parse(source: str, text: str) -> tuple[Statement, ...]:
    """The statements of a policy's text. Raises ValueError where it is no Cedar, or too much."""
    import cedarpy

    refuse_depth(text)
    try:
        document = json.loads(cedarpy.policies_to_json_str(text))
    except RecursionError:
        raise ValueError(f"it nests deeper than {_LEVELS} levels; make several policies") from None
    if document["templates"]:
        raise ValueError("?principal and ?resource are for templates; name the caller instead")
    forms = document["staticPolicies"]
    return tuple(_statement(source, n, forms[f"policy{n}"]) for n in range(len(forms)))


def refuse_depth(text: str) -> None:
    """Raise ValueError for a text that is too long, or too deep for Cedar's parser."""
    if len(text) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST:,} characters; make several policies")
    depth = 0
    for part in _TOKENS.findall(text):
        depth += 1 if part in "([{" else -1 if part in ")]}" else 0
        if depth > _DEEPEST:
            raise ValueError(f"it nests deeper than {_DEEPEST} brackets; make several policies")


def starts(text: str) -> list[int]:
    """The line that each statement begins at, counted from 1."""
    found: list[int] = []
    at = 0
    for part in _TOKENS.finditer(text):
        if part[0] == ";":
            rest = re.sub(r"//[^\n\r]*", "", text[at : part.end()])
            before = len(rest) - len(rest.lstrip())
            found.append(1 + text.count("\n", 0, at) + rest.count("\n", 0, before))
            at = part.end()
    return found


def _statement(source: str, number: int, form: Mapping[str, Any]) -> Statement:
    bodies = [condition["body"] for condition in form["conditions"]]
    _refuse_levels(bodies)
    paths = frozenset(path for body in bodies for path in paths_of(body))
    scoped = form["resource"]["op"] in ("==", "in") or "in" in form["resource"]
    name = form.get("annotations", {}).get("id") if source == BUILTIN else f"{source}#{number}"
    return Statement(str(name), source, form, paths, scoped or bool(paths))


def _refuse_levels(expressions: list[Expression]) -> None:
    """Raise ValueError where an expression has more levels than a walk through it may take."""
    for _ in range(_LEVELS):
        expressions = [part for one in expressions for part in inside(one)]
    if expressions:
        raise ValueError(f"it nests deeper than {_LEVELS} levels; make several policies")


def paths_of(expression: Expression) -> Iterator[Step]:
    """Every path from the resource that an expression reads; () is the resource itself."""
    path = path_of(expression)
    if path is not None:
        yield path
        return
    for inner in inside(expression):
        yield from paths_of(inner)


def path_of(expression: Expression) -> Step | None:
    """The path from the resource that an expression is, ``has`` included."""
    ((operator, body),) = expression.items()
    if operator == "Var":
        return () if body == "resource" else None
    if operator not in (".", "has"):
        return None
    above = path_of(body["left"])
    return None if above is None else (*above, body["attr"])


def inside(expression: Expression) -> Iterator[Expression]:
    """The expressions that one is made of."""
    ((operator, body),) = expression.items()
    if operator in ("Value", "Var", "Slot"):
        return
    for part in body.values() if isinstance(body, dict) else body:
        if isinstance(part, dict):
            yield part


def document(statements: Iterable[Statement]) -> str:
    """Statements as the JSON document of a Cedar policy set, under their own ids."""
    forms = {statement.id: statement.form for statement in statements}
    return json.dumps({"templates": {}, "staticPolicies": forms, "templateLinks": []})


BUILTIN = ""  # the source of the statements below


@cache
def builtin() -> tuple[Statement, ...]:
    """The roles, and the scopes of a credential."""
    text = Path(__file__).with_name("roles.cedar").read_text(encoding="utf-8")
    return parse(BUILTIN, text)


@cache
def roles() -> dict[str, tuple[str, ...]]:
    """The built-in roles and the permissions that each of them has, as ``roles.cedar`` says."""
    return {one.id: actions(one) for one in builtin() if one.form["action"]["op"] == "in"}


def actions(statement: Statement) -> tuple[str, ...]:
    """The ids of the actions that a statement's head names; none where it takes any."""
    head = statement.form["action"]
    named = head.get("entities", [head["entity"]] if "entity" in head else [])
    return tuple(entity["id"] for entity in named)
