"""Whether a policy may be added: Cedar's own validation, and what a filter can stand for.

A policy that passes cannot fail for the kinds that it names: what a caller or a resource may lack
is guarded by ``has``, and every comparison is of one type. Should it fail for another kind, which
has a field of that name and another type, a forbid forbids and a permit permits nothing.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Collection
from typing import Any

from modelyard.auth.callers import ATTRIBUTES, OWN, SORTS, TYPES, grants
from modelyard.auth.limits import Beyond, check_body, compared_kinds, named_entities
from modelyard.auth.permissions import unasked
from modelyard.auth.statements import Statement, Step, actions, parse, starts
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import Fields

FieldsOf = Callable[[str], Fields]  # of a kind; none where there is no such kind

_PERMISSION = re.compile(r"([a-z][a-z0-9_-]*|\*):([a-z][a-z0-9_-]*|\*)")
_CEDAR = {str: "String", int: "Long"}
_UNGUARDED = re.compile(r"unable to guarantee safety of access to optional attribute `(.+?)`")
_UNKNOWN = re.compile(r"attribute `(.+?)` on entity type `(User|Key|ServiceAccount)` not found")


def validate(text: str, fields_of: FieldsOf, known: Collection[str] = ()) -> None:
    """Raise ``INVALID_REQUEST`` unless the text is a policy that can be added.

    Its details name the field ``policy``, the ``rule`` and the ``line`` (from 1). ``fields_of``
    gives the fields that a kind declares; ``known`` are all actions, or none: then any may be
    named.
    """
    try:
        statements = parse("policy", text)
    except ValueError as error:
        raise _refused("cedar", f"{error}", _line_of_error(text, str(error))) from None
    if not statements:
        raise _refused("cedar", "there is no permit and no forbid in it", 1)
    for statement, line in zip(statements, starts(text), strict=True):
        try:
            check_statement(statement, fields_of)
            _check_actions(statement, known)
        except Beyond as beyond:
            found = _find(text, line, beyond.mark)
            raise _refused(beyond.rule, beyond.message, found) from None


def check_statement(statement: Statement, fields_of: FieldsOf) -> None:
    """Raise ``Beyond`` unless a statement can be added."""
    import cedarpy

    _check_heads(statement)
    if statement.conditional:
        for condition in statement.form["conditions"]:
            check_body(condition["body"])
    declared = _declared(statement, fields_of)
    schema = _schema(statement, declared)
    text = cedarpy.policies_from_json_str(_alone(statement))
    errors = [error.error for error in cedarpy.validate_policies(text, schema).errors]
    if errors:
        raise _explained(max(errors, key=lambda error: (len(error), error)))  # the most precise


def _alone(statement: Statement) -> str:
    form = {"templates": {}, "staticPolicies": {"policy": statement.form}, "templateLinks": []}
    return json.dumps(form)


# Heads


def _check_heads(statement: Statement) -> None:
    form = statement.form
    if form["resource"]["op"] in ("==", "in") or "in" in form["resource"]:
        message = "a resource has no name in a policy's head"
        message += '; write when { resource.kind == "…" && resource.id == "…" }'
        raise Beyond("construct", message, "resource ")
    for type_, name in named_entities(form):
        if type_ == "Action" and not _PERMISSION.fullmatch(name):
            message = f"'{name}' is no permission; write Action::\"area:action\""
            raise Beyond("permission", message, name)
        if type_ not in (*TYPES.values(), "Action"):
            message = f"there is no entity type '{type_}'; there are User, Key, ServiceAccount"
            raise Beyond("entity", message, type_)
    for name in actions(statement):
        if form["action"]["op"] == "==" and "*" in name:
            raise Beyond("permission", f"'{name}' is a pattern; write 'action in' before it", name)
        if statement.forbids and form["action"]["op"] == "in" and name.endswith(":write"):
            area = name.partition(":")[0]
            message = f"'action in' with '{name}' forbids reading, too, as write implies all; name "
            message += f'each: Action::"{area}:create", …, or all of them: Action::"{area}:*"'
            raise Beyond("permission", message, name)


def _check_actions(statement: Statement, known: Collection[str]) -> None:
    alone = statement.form["action"]["op"] == "=="
    named = [name for type_, name in named_entities(statement.form) if type_ == "Action"]
    for name in named if known else ():
        if why := unasked(name, known, alone=alone and name in actions(statement)):
            raise Beyond("action", why, name)


# What a statement reads


def _declared(statement: Statement, fields_of: FieldsOf) -> dict[Step, str]:
    """The type of each declared field that a statement reads, by its path."""
    bodies = [condition["body"] for condition in statement.form["conditions"]]
    kinds = sorted({kind for body in bodies for kind in compared_kinds(body)})
    fields = {kind: _fields(kind, fields_of) for kind in kinds}
    for step in statement.about:
        if step[:1] == ("labels",) and len(step) > 2:
            message = f"a label is a text, without '{step[2]}'"
            raise Beyond("field", message + '; write labels["a.b"] for a key with a dot', step[2])
    read = [step for step in statement.about if step and step[0] not in (*OWN, "labels")]
    found: dict[Step, str] = {}
    for step in sorted(read):
        name = ".".join(step)
        if any(other[: len(step)] == step and other != step for other in read):
            continue  # what its fields are below
        types: set[str] = {one[name].kind for one in fields.values() if name in one}
        found[step] = _sort(name, types, fields)
    return found


def _fields(kind: str, fields_of: FieldsOf) -> Fields:
    found = fields_of(kind)
    if not found:
        message = f"there is no kind '{kind}'; write its path, such as 'auth/users'"
        raise Beyond("kind", message, kind)
    return found


def _sort(name: str, types: set[str], fields: dict[str, Fields]) -> str:
    mark = name.rpartition(".")[2]
    if not fields:
        message = f"which kind has '{name}'? Write resource.kind == \"…\" && before it"
        raise Beyond("kind", message, mark)
    if not types:
        known = {field for one in fields.values() for field in one if one[field].kind in SORTS}
        there = ", ".join(sorted({*OWN, "labels", *known}))
        raise Beyond(
            "field", f"'{name}' cannot be asked of {' or '.join(fields)}; there are {there}", mark
        )
    if len(types) > 1 or not types <= SORTS.keys():
        message = f"'{name}' is {' or '.join(sorted(types))}; policies compare "
        raise Beyond("field", message + "texts, integers, booleans and lists of texts", mark)
    return types.pop()


# Cedar's schema for one statement: exactly what it may read


def _schema(statement: Statement, declared: dict[Step, str]) -> dict[str, Any]:
    caller = {"id": _type("String"), "workspace": _type("String"), "roles": _TEXTS}
    optional = {name: _type(_CEDAR[type_], False) for name, type_ in ATTRIBUTES.items()}
    shape = _record(caller | optional)
    entities = {name: {"shape": shape} for name in TYPES.values()}
    entities["Resource"] = {"shape": _record(_resource(statement, declared))}
    return {"": {"entityTypes": entities, "actions": _actions(statement)}}


def _type(name: str, required: bool = True) -> dict[str, Any]:
    return {"type": name, "required": required}


_TEXTS = {"type": "Set", "element": {"type": "String"}, "required": True}


def _record(attributes: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Record", "attributes": attributes}


def _resource(statement: Statement, declared: dict[Step, str]) -> dict[str, Any]:
    labels = {step[1] for step in statement.about if step[:1] == ("labels",) and len(step) > 1}
    found: dict[str, Any] = {name: _type("String") for name in OWN}
    found["labels"] = _record({label: _type("String", False) for label in labels})
    for step, sort in declared.items():
        node = found
        for name in step[:-1]:
            node = node.setdefault(name, _record({}) | {"required": False})["attributes"]
        node[step[-1]] = (
            dict(_TEXTS, required=False) if sort == "strings" else _type(SORTS[sort], False)
        )
    return found


def _actions(statement: Statement) -> dict[str, Any]:
    """The actions that a statement names, and for each pattern one that fits it."""
    named = {name for type_, name in named_entities(statement.form) if type_ == "Action"}
    single = {name.replace("*", "anything") for name in named} | {"anything:anything"}
    applies = {
        "principalTypes": list(TYPES.values()),
        "resourceTypes": ["Resource"],
        "context": _record({"granted": _type("Boolean")}),
    }
    groups = named.union(*(grants(one) for one in single)) - single
    actions: dict[str, Any] = {name: {"memberOf": []} for name in groups}
    for one in single:
        above = [{"id": name} for name in sorted(grants(one) - {one})]
        actions[one] = {"appliesTo": applies, "memberOf": above}
    return actions


# What a client is told


def _explained(error: str) -> Beyond:
    text = error.removeprefix("for policy `policy0`, ")
    if found := _UNGUARDED.search(text):
        name = found[1].removeprefix("labels")
        below = f"resource.labels has {name.strip('[].')}" if name != found[1] else ""
        who = "resource" if "`Resource`" in text else "principal"
        guard = below or f"{who} has {found[1]}"
        message = f"'{found[1]}' may be missing; write '{guard} &&' before it"
        return Beyond("guard", message, re.split(r"[.\[\]\"]+", found[1].rstrip(']"'))[-1])
    if found := _UNKNOWN.search(text):
        there = ", ".join(("id", "workspace", "roles", *ATTRIBUTES))
        return Beyond("field", f"a caller has no '{found[1]}'; there are {there}", found[1])
    marks = re.findall(r"`(.+?)`", text)
    return Beyond("cedar", text, marks[0] if marks else "")


def _line_of_error(text: str, error: str) -> int:
    """The first line that no other end of the text could mend, or one above with what is named."""
    lines = text.splitlines()

    def fails(count: int) -> bool:
        try:
            parse("policy", "\n".join(lines[:count]))
        except ValueError as error:
            return str(error) not in ("unexpected end of input", "invalid token")
        return False

    last = 1 + bisect_left(range(1, len(lines)), True, key=fails)
    named = re.findall(r"`(.+?)`", error)
    above = (n for n in range(last, 0, -1) if named and named[0] in lines[n - 1])
    return next(above, last)


def _find(text: str, line: int, mark: str) -> int:
    """The line of ``mark`` at or after a line; that line itself where it is not found."""
    lines = text.splitlines()
    pattern = re.compile(
        rf"(?<!\w){re.escape(mark)}(?!\w)" if mark.isidentifier() else re.escape(mark)
    )
    for number, content in enumerate(lines[line - 1 :], start=line):
        if mark and pattern.search(content):
            return number
    return line


def _refused(rule: str, message: str, line: int) -> Failure:
    return Failure(
        "INVALID_REQUEST",
        f"The policy cannot be taken (line {line}): {message}.",
        details={"field": "policy", "rule": rule, "line": line},
    )
