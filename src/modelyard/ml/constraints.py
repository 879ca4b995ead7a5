"""What a table's rows have to be (``checks``), and the rows that are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl
from polars import Expr, LazyFrame

from modelyard.ml import unique
from modelyard.ml.checks import (
    SAMPLES,
    Allowed,
    Broken,
    Constraint,
    Expression,
    NotNull,
    Pattern,
    Range,
    TypeOf,
    Unique,
    Validation,
    Verdict,
)
from modelyard.ml.expressions import condition
from modelyard.ml.functions import moment, pattern
from modelyard.ml.profile import plain
from modelyard.ml.reading import Source, column, height, kinds, opened, streamed
from modelyard.ml.tokens import BadExpression

__all__ = [
    "Allowed",
    "Broken",
    "Constraint",
    "Expression",
    "NotNull",
    "Pattern",
    "Range",
    "TypeOf",
    "Unique",
    "Unusable",
    "Validation",
    "Verdict",
    "compiled",
    "reads_as",
    "rule",
    "validate",
]
_ROW = "\0row"


class Unusable(ValueError):
    """A constraint that cannot be applied; the message says which and why.

    ``at`` is its place, from 0, and ``field`` what of it is wrong.
    """

    def __init__(self, at: int, one: Constraint, reason: str) -> None:
        super().__init__(f"constraint {at + 1} ({one.__struct_config__.tag}): {reason}")
        self.at, self.reason = at, reason
        fields = ("column", "columns", "expression")
        self.field = next(name for name in fields if name in one.__struct_fields__)


class Rule(NamedTuple):
    """A constraint's cells that are looked at, those that are wrong, and its columns."""

    checked: Expr
    broken: Expr
    columns: list[str]


def validate(
    source: Source, constraints: Sequence[Constraint], samples: int = SAMPLES
) -> Validation:
    """Apply the constraints to every row: one pass for all, one for the samples of each broken one.

    Raises ``Unusable``.
    """
    frame = opened(source)
    rules = compiled(frame, constraints)
    rows = height(frame)
    counted = _counts(frame, rules)
    verdicts = []
    for at, one in enumerate(constraints):
        rule = rules[at]
        if rule is None:
            names = one.columns if isinstance(one, Unique) else []
            checked, broken, numbers = unique.repeated(frame, names, rows, samples)
            shown = _at(frame, numbers, names)
        else:
            checked, broken = counted[f"checked:{at}"], counted[f"broken:{at}"]
            shown = _first(frame, rule, samples) if broken and samples else []
        share = (checked - broken) / checked if checked else 1.0
        verdicts.append(
            Verdict(
                constraint=one,
                checked=checked,
                broken=broken,
                share=share,
                passed=share >= one.threshold,
                samples=shown,
            )
        )
    return Validation(rows=rows, passed=all(one.passed for one in verdicts), verdicts=verdicts)


def compiled(frame: LazyFrame, constraints: Sequence[Constraint]) -> list[Rule | None]:
    """Each as a rule, ``unique`` as None: that one is of no single row. Raises ``Unusable``."""
    types = kinds(frame)
    made = []
    for at, one in enumerate(constraints):
        try:
            _known(one, types)
            made.append(rule(one, types))
        except BadExpression as error:
            raise Unusable(at, one, str(error)) from None
    return made


def rule(one: Constraint, types: dict[str, str]) -> Rule | None:
    """The constraint over columns of these kinds. Raises ``BadExpression``."""
    if isinstance(one, Unique):
        return None
    if isinstance(one, Expression):
        made = condition(one.expression, types)
        if not made.columns:
            raise BadExpression("the expression reads no column")
        return Rule(made.expr.is_not_null(), ~made.expr, made.columns)
    cells = column(one.column)
    if isinstance(one, NotNull):
        return Rule(cells.is_null().is_not_null(), cells.is_null(), [one.column])
    kind = types[one.column]
    if kind == "datetime":
        cells = cells.dt.convert_time_zone("UTC")  # one without a zone is in UTC
    if isinstance(one, TypeOf):
        broken = _mistyped(cells, kind, one.type)
    elif isinstance(one, Range):
        broken = _outside(cells, kind, one)
    elif isinstance(one, Pattern):
        if kind != "string":
            raise BadExpression(f"{one.column!r} is no column of texts, it is {kind}")
        broken = ~cells.str.contains(f"^(?:{pattern(one.pattern)})$")
    else:
        broken = _other(cells, kind, one)
    return Rule(cells.is_not_null(), broken, [one.column])


def _known(one: Constraint, types: dict[str, str]) -> None:
    if not 0 <= one.threshold <= 1:
        raise BadExpression(f"threshold is between 0 and 1, not {one.threshold:g}")
    if isinstance(one, Expression):
        return
    names = one.columns if isinstance(one, Unique) else [one.column]
    if not names:
        raise BadExpression("columns names at least one")
    for name in names:
        if name not in types:
            raise BadExpression(f"there is no column {name!r}; there are {', '.join(types)}")


def _mistyped(cells: Expr, kind: str, wanted: str) -> Expr:
    fits = {("integer", "number"), ("date", "datetime")}
    if kind == wanted or wanted == "string" or (kind, wanted) in fits:
        return cells.is_null().is_null()  # never, said of each row
    if kind == "number" and wanted == "integer":
        return cells != cells.floor()
    if kind != "string":
        return cells.is_not_null()
    return reads_as(cells, wanted).not_()


def reads_as(cells: Expr, wanted: str) -> Expr:
    """Whether a text reads as such a value; of an absent one null."""
    if wanted == "boolean":
        return cells.str.to_lowercase().is_in(["true", "false"])
    if wanted == "date":
        good = cells.str.to_date("%Y-%m-%d", strict=False).is_not_null()
    elif wanted == "datetime":
        text = cells.str.slice(0, 19).str.replace(" ", "T", literal=True)
        good = text.str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False).is_not_null()
        good = good & cells.str.contains(r"^.{19}(\.\d{1,9})?(Z|[+-]\d{2}:?\d{2})?$")
    else:
        type_ = pl.Int64 if wanted == "integer" else pl.Float64
        good = cells.str.strip_chars().cast(type_, strict=False).is_not_null()
    return pl.when(cells.is_not_null()).then(good)


def _outside(cells: Expr, kind: str, one: Range) -> Expr:
    if one.minimum is None and one.maximum is None:
        raise BadExpression("range has a minimum, a maximum or both")
    broken = pl.lit(False)
    if one.minimum is not None:
        broken = broken | (cells < _bound(one.minimum, kind))
    if one.maximum is not None:
        broken = broken | (cells > _bound(one.maximum, kind))
    return broken


def _bound(value: int | float | str, kind: str) -> Expr:
    if kind in ("integer", "number") and not isinstance(value, str):
        return pl.lit(value)
    if kind in ("date", "datetime") and isinstance(value, str):
        found = moment(value)
        return found.expr.cast(pl.Date) if kind == "date" else found.expr.cast(_ZONED)
    wanted = "a number" if kind in ("integer", "number") else "a moment as 2024-12-31"
    if kind not in ("integer", "number", "date", "datetime"):
        raise BadExpression(f"a column of the type {kind} has no range")
    raise BadExpression(f"{value!r} is not {wanted}, as the column's type {kind} wants")


_ZONED = pl.Datetime("us", "UTC")


def _other(cells: Expr, kind: str, one: Allowed) -> Expr:
    takes: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int, float),
        "number": (int, float),
        "boolean": (bool,),
    }
    good = takes.get(kind, (str,))
    for value in one.values:
        if not isinstance(value, good) or (isinstance(value, bool) and kind != "boolean"):
            raise BadExpression(f"{value!r} is no value of the type {kind}")
    if kind in ("date", "datetime"):
        found = [cells == _bound(str(value), kind) for value in one.values]
        return ~pl.any_horizontal(found) if found else cells.is_not_null()
    return ~cells.is_in(pl.lit(pl.Series(one.values)).implode()) if one.values else pl.lit(True)


def _counts(frame: LazyFrame, rules: Sequence[Rule | None]) -> dict[str, int]:
    wanted: list[Expr] = []
    for at, one in enumerate(rules):
        if one is not None:
            wanted.append(one.checked.sum().alias(f"checked:{at}"))
            wrong = one.checked & one.broken
            wanted.append(wrong.sum().alias(f"broken:{at}"))
    return streamed(frame.select(wanted)).row(0, named=True) if wanted else {}


def _first(frame: LazyFrame, one: Rule, samples: int) -> list[Broken]:
    numbered = frame.with_row_index(_ROW).filter(one.checked & one.broken)
    return _shown(numbered.head(samples), one.columns)


def _at(frame: LazyFrame, numbers: list[int], names: list[str]) -> list[Broken]:
    if not numbers:
        return []
    wanted = pl.LazyFrame({_ROW: numbers}, schema={_ROW: pl.UInt32})
    return _shown(frame.with_row_index(_ROW).join(wanted, on=_ROW, how="semi"), names)


def _shown(numbered: LazyFrame, names: list[str]) -> list[Broken]:
    chosen = [pl.col(_ROW), *(column(name) for name in dict.fromkeys(names))]
    table = streamed(numbered.select(chosen).sort(_ROW))
    return [
        Broken(
            row=found[_ROW] + 1,
            values={name: plain(value) for name, value in found.items() if name != _ROW},
        )
        for found in table.iter_rows(named=True)
    ]
