"""Which columns of a recipe's result have the personal data of what it was made of.

A column is followed by its name from step to step. What is derived of it is taken for personal data
where it still is a text or a moment: a length or a yes is nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import structs

from modelyard.catalog.datasets.privacy.schema import Finding, VersionPrivacy
from modelyard.catalog.datasets.schema import TableSchema
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.kernel.context import Item
from modelyard.ml.steps import (
    Derive,
    Drop,
    Encode,
    Fill,
    Join,
    Rename,
    Scale,
    Select,
    Step,
)
from modelyard.ml.tokens import tokens

_WHOLE = ("integer", "number", "boolean")  # of which what is derived says too little
Held = dict[str, list[Finding]]  # by column


def held(version: Item[Version]) -> Held:
    """What was found in the columns of a version."""
    found: Held = {}
    for one in version.spec.privacy.findings if version.spec.privacy else ():
        found.setdefault(one.column, []).append(one)
    return found


def traced(
    steps: Sequence[Step], source: Held, tables: Mapping[str, Held], schema: TableSchema
) -> Held:
    """What is in the columns of the result, ``schema``, by the columns that it came of."""
    return _followed(steps, source, tables, schema)[0]


def untold(
    steps: Sequence[Step], source: Held, tables: Mapping[str, Held], learnt: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What the steps learnt, but for what they learnt of personal data."""
    hidden = _followed(steps, source, tables, TableSchema())[1]
    return [{} if at in hidden else one for at, one in enumerate(learnt)]


def in_names(
    steps: Sequence[Step], source: Held, tables: Mapping[str, Held], *, declared: bool
) -> int | None:
    """The place of a step that makes personal data the names of columns; None where none does.

    ``declared``: of columns that nobody found, so all that it reads of the rows may be.
    """
    hidden = _followed(steps, source, tables, TableSchema())[1]
    for at, step in enumerate(steps):
        if not (isinstance(step, Encode) and step.by == "one_hot"):
            continue
        if at in hidden or (declared and step.values is None):
            return at
    return None


def _followed(
    steps: Sequence[Step], source: Held, tables: Mapping[str, Held], schema: TableSchema
) -> tuple[Held, set[int]]:
    """What is in the columns of the result, and which steps learnt of such columns."""
    now, derived, hidden = dict(source), set[str](), set[int]()
    for at, step in enumerate(steps):
        if isinstance(step, Fill | Encode) and step.column in now:
            hidden.add(at)
        if isinstance(step, Scale) and not now.keys().isdisjoint(step.columns):
            hidden.add(at)
        if isinstance(step, Select):
            now = {name: found for name, found in now.items() if name in step.columns}
        elif isinstance(step, Drop):
            now = {name: found for name, found in now.items() if name not in step.columns}
        elif isinstance(step, Rename):
            now = {step.columns.get(name, name): found for name, found in now.items()}
            derived = {step.columns.get(name, name) for name in derived}
        elif isinstance(step, Encode):
            now.pop(step.column, None)
        elif isinstance(step, Join):
            now = _joined(step, now, tables.get(step.table, {}))
        elif isinstance(step, Derive):
            _derive(step, now, derived)
    types = {one.name: one.type for one in schema.fields}
    left = {
        name: found
        for name, found in now.items()
        if name in types and not (name in derived and types[name] in _WHOLE)
    }
    return left, hidden


def _joined(step: Join, now: Held, other: Held) -> Held:
    """With the other table's columns; which of them are renamed, is not looked up."""
    made = dict(now)
    for name, found in other.items():
        for one in (name,) if name in step.on else (name, f"{name}_right"):
            made.setdefault(one, found)
    return made


def _derive(step: Derive, now: Held, derived: set[str]) -> None:
    parts = [one for one in tokens(step.expression) if one.kind != "end"]
    read = [one.text for one in parts if one.kind in ("column", "name")]
    found = [each for name in dict.fromkeys(read) for each in now.get(name, ())]
    same = len(parts) == 1 and parts[0].text not in derived
    now.pop(step.column, None)
    derived.discard(step.column)
    if found:
        now[step.column] = found
        if not same:
            derived.add(step.column)


def passed_on(made: VersionPrivacy, found: Held, *, declared: bool) -> VersionPrivacy:
    """The scan of a result, with what it came of; ``declared``: of what nobody found."""
    known = {one.column for one in made.findings}
    more = [
        structs.replace(
            one, column=name, rows=round(one.share * made.scanned_rows), by="source", examples=[]
        )
        for name, findings in found.items()
        if name not in known
        for one in {each.kind: each for each in findings}.values()
    ]
    findings = [*made.findings, *more]
    contains = bool(findings) or declared
    return structs.replace(made, contains_pii=contains, findings=findings)
