"""Constraints as data, and what is told of them. Nothing heavy is loaded for them.

A constraint looks at cells that are there: an absent one breaks ``not_null`` alone (as SQL's CHECK
passes what is unknown). Rows count from 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.ml.figures import Value
from modelyard.ml.tokens import LONGEST

SAMPLES = 100  # broken rows of a constraint that are told of


Column = Annotated[str, Meta(min_length=1, max_length=1000)]
Columns = Annotated[list[Column], Meta(min_length=1, max_length=1000)]
Values = Annotated[list[int | float | str | bool], Meta(max_length=10_000)]


class _Constraint(
    Struct,
    frozen=True,
    kw_only=True,
    tag_field="check",
    rename="camel",
    forbid_unknown_fields=True,
):
    """``threshold``: the share of the cells looked at, 0 to 1, that has to keep it."""

    threshold: Annotated[
        float, Meta(ge=0, le=1, description="The share of the cells that has to keep it.")
    ] = 1.0


class TypeOf(_Constraint, frozen=True, kw_only=True, tag="type"):
    """Each cell is such a value; texts that read as one are, too."""

    column: Column
    type: Literal["integer", "number", "boolean", "date", "datetime", "string"]


class Range(_Constraint, frozen=True, kw_only=True, tag="range"):
    """At least ``minimum`` and at most ``maximum``; moments in ISO 8601."""

    column: Column
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None


class Pattern(_Constraint, frozen=True, kw_only=True, tag="pattern"):
    """The whole text matches the regular expression (Rust's ``regex``)."""

    column: Column
    pattern: Annotated[str, Meta(max_length=1000)]


class Allowed(_Constraint, frozen=True, kw_only=True, tag="allowed"):
    """One of the values."""

    column: Column
    values: Values


class Unique(_Constraint, frozen=True, kw_only=True, tag="unique"):
    """No two rows have the same values in these columns; rows that lack one are not compared."""

    columns: Columns


class NotNull(_Constraint, frozen=True, kw_only=True, tag="not_null"):
    """There is a value."""

    column: Column


class Expression(_Constraint, frozen=True, kw_only=True, tag="expression"):
    """True of the row, over any columns, in the language of expressions."""

    expression: Annotated[str, Meta(max_length=LONGEST)]


Constraint = TypeOf | Range | Pattern | Allowed | Unique | NotNull | Expression


class Broken(Struct, frozen=True, kw_only=True, rename="camel"):
    """A row that breaks a constraint, with the cells it looks at."""

    row: int
    values: dict[str, Value]


class Verdict(Struct, frozen=True, kw_only=True, rename="camel"):
    """``checked`` cells (rows for several columns) were looked at, ``broken`` of them are wrong.

    ``share`` is (checked - broken) / checked, 1 where nothing was looked at; ``passed`` where that
    is at least the constraint's threshold.
    """

    constraint: Constraint
    checked: int
    broken: int
    share: float
    passed: bool
    samples: list[Broken]


class Validation(Struct, frozen=True, kw_only=True, rename="camel"):
    """``passed`` where each constraint is; ``verdicts`` in the order of the constraints."""

    rows: int
    passed: bool
    verdicts: list[Verdict]
