"""The steps of a recipe, as data. Nothing heavy is loaded for them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.ml.tokens import LONGEST

Cell = int | float | str | bool | None
Name = Annotated[str, Meta(min_length=1, max_length=1000)]
Names = Annotated[list[Name], Meta(min_length=1, max_length=1000)]
Formula = Annotated[str, Meta(max_length=LONGEST)]
MOST_VALUES = 1000  # of a column that is encoded


class _Step(
    Struct,
    frozen=True,
    kw_only=True,
    tag_field="step",
    rename="camel",
    forbid_unknown_fields=True,
):
    pass


class Select(_Step, frozen=True, kw_only=True, tag="select"):
    """Only these columns, in this order."""

    columns: Names


class Drop(_Step, frozen=True, kw_only=True, tag="drop"):
    """All but these columns."""

    columns: Names


class Filter(_Step, frozen=True, kw_only=True, tag="filter"):
    """Only rows of which the expression is true (neither false nor null)."""

    expression: Formula


class Rename(_Step, frozen=True, kw_only=True, tag="rename"):
    """Old names to new ones."""

    columns: Annotated[dict[str, Name], Meta(min_length=1, max_length=1000)]


class Cast(_Step, frozen=True, kw_only=True, tag="cast"):
    """Another type. What does not read as it stops the recipe, or becomes null (``lenient``)."""

    column: Name
    type: Literal["integer", "number", "boolean", "date", "datetime", "string"]
    lenient: bool = False


class Fill(_Step, frozen=True, kw_only=True, tag="fill"):
    """Absent cells: a ``value``, or the column's mean, median or most frequent value."""

    column: Name
    value: Cell = None
    by: Literal["value", "mean", "median", "mode"] = "value"


class Encode(_Step, frozen=True, kw_only=True, tag="encode"):
    """Values as numbers: ``one_hot`` has a column of 0 and 1 for each, ``ordinal`` their place
    (0 …) in ``values``. Those found are recorded, by frequency; another value is all 0, or null.
    """

    column: Name
    by: Literal["one_hot", "ordinal"] = "one_hot"
    values: (
        Annotated[list[int | float | str | bool], Meta(min_length=1, max_length=MOST_VALUES)] | None
    ) = None


class Scale(_Step, frozen=True, kw_only=True, tag="scale"):
    """``standard``: (x - mean) / deviation (n); ``min_max``: (x - min) / (max - min).

    A constant column becomes 0. What is found is recorded.
    """

    columns: Names
    by: Literal["standard", "min_max"] = "standard"


class Deduplicate(_Step, frozen=True, kw_only=True, tag="deduplicate"):
    """The first of the rows that are equal in ``columns`` (without: in all)."""

    columns: Names | None = None


class Draw(_Step, frozen=True, kw_only=True, tag="sample"):
    """Each row with the chance ``share``; the seed decides, alike on any machine."""

    share: Annotated[float, Meta(gt=0, le=1)]
    seed: Annotated[int, Meta(ge=0, le=(1 << 53) - 1)] = 0


class Join(_Step, frozen=True, kw_only=True, tag="join"):
    """Columns of another table of the given ones; a name that both have gets ``_right``."""

    table: Name
    on: Names
    how: Literal["inner", "left"] = "inner"


class Derive(_Step, frozen=True, kw_only=True, tag="derive"):
    """A column by an expression over the others; one of that name is replaced."""

    column: Name
    expression: Formula


Step = (
    Select
    | Drop
    | Filter
    | Rename
    | Cast
    | Fill
    | Encode
    | Scale
    | Deduplicate
    | Draw
    | Join
    | Derive
)
