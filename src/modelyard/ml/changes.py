"""What is told of two versions of a table. Nothing heavy is loaded for it."""

from __future__ import annotations

from msgspec import Struct

from modelyard.ml.figures import Value

Key = dict[str, Value]


class Retyped(Struct, frozen=True, kw_only=True, rename="camel"):
    """A column with another type (as polars names it)."""

    column: str
    old: str
    new: str


class Schemas(Struct, frozen=True, kw_only=True, rename="camel"):
    """Columns that are new, gone, or of another type."""

    added: list[str]
    removed: list[str]
    retyped: list[Retyped]


class Diff(Struct, frozen=True, kw_only=True, rename="camel"):
    """Rows that only the new version has, only the old one, or both with other values.

    By ``key``, or without one by all columns that are in both with the same type: then nothing is
    ``changed``, and of equal rows the surplus is added or removed. ``cells`` counts, for each such
    column, the changed rows in which it differs; retyped columns are not compared. The samples are
    the keys of some rows (without a key: their values).
    """

    key: list[str]
    old_rows: int
    new_rows: int
    added: int
    removed: int
    changed: int
    same: int
    cells: dict[str, int]
    schema: Schemas
    added_samples: list[Key]
    removed_samples: list[Key]
    changed_samples: list[Key]


class Shift(Struct, frozen=True, kw_only=True, rename="camel"):
    """A figure of a column in both versions."""

    column: str
    figure: str
    old: Value
    new: Value
