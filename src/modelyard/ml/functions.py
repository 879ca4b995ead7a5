"""The functions that an expression may call: nothing else of polars is within reach.

None reads or writes anything but the cells it is given, and none makes a text longer than its
arguments together. Regular expressions are those of Rust's ``regex``, which take linear time.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl
from polars import Expr

from modelyard.ml.tokens import BadExpression


class Typed(NamedTuple):
    """Cells and their kind (of ``reading.KINDS``, or ``null``); a literal's value, if it is one."""

    expr: Expr
    kind: str
    value: object = None


NUMBERS = frozenset({"integer", "number", "null"})
TEXTS = frozenset({"string", "null"})
TRUTHS = frozenset({"boolean", "null"})
MOMENTS = frozenset({"date", "datetime", "null"})
ANY = NUMBERS | TEXTS | TRUTHS | MOMENTS


class Function(NamedTuple):
    """``takes`` are the kinds of each argument; the last stands for any more up to ``most``."""

    takes: tuple[frozenset[str], ...]
    most: int
    made: Callable[[Sequence[Typed]], Typed]


def common(values: Sequence[Typed], what: str) -> str:
    """The one kind that all have; raises ``BadExpression`` where there is none."""
    found = {one.kind for one in values} - {"null"}
    if found == {"integer", "number"}:
        return "number"
    if found == {"date", "datetime"}:
        return "datetime"
    if len(found) > 1:
        raise BadExpression(f"{what} mixes {' and '.join(sorted(found))}")
    return found.pop() if found else "null"


def literal(value: Typed, what: str) -> str:
    """The text of a literal; raises ``BadExpression`` for anything that is worked out."""
    if not isinstance(value.value, str):
        raise BadExpression(f"{what} is a text in quotes")
    return value.value


def pattern(text: str) -> str:
    """The regular expression. Raises ``BadExpression`` where it is none."""
    try:
        pl.Series([""]).str.contains(text)
    except pl.exceptions.ComputeError:
        raise BadExpression(f"{text!r} is no regular expression (as of Rust's regex)") from None
    return text


def moment(text: str) -> Typed:
    """A date, or date and time, in ISO 8601. Raises ``BadExpression``."""
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return Typed(pl.lit(day), "date", day)
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise BadExpression(f"{text!r} is no date as 2024-12-31 or 2024-12-31T23:59:59Z") from None
    at = at.replace(tzinfo=datetime.UTC) if at.tzinfo is None else at.astimezone(datetime.UTC)
    return Typed(pl.lit(at), "datetime", at)


def _number(work: Callable[[Expr], Expr], kind: str = "number") -> Function:
    return Function((NUMBERS,), 1, lambda found: Typed(work(found[0].expr), kind))


def _text(work: Callable[[Expr], Expr], kind: str = "string") -> Function:
    return Function((TEXTS,), 1, lambda found: Typed(work(_string(found[0])), kind))


def _moment(work: Callable[[Expr], Expr]) -> Function:
    return Function(
        (MOMENTS,), 1, lambda found: Typed(work(found[0].expr).cast(pl.Int64), "integer")
    )


def _string(of: Typed) -> Expr:
    return of.expr.cast(pl.String) if of.kind == "null" else of.expr


def _part(work: Callable[[Expr, str], Expr]) -> Function:
    def made(found: Sequence[Typed]) -> Typed:
        return Typed(work(_string(found[0]), literal(found[1], "the second argument")), "boolean")

    return Function((TEXTS, TEXTS), 2, made)


def _horizontal(work: Callable[[list[Expr]], Expr], what: str) -> Function:
    def made(found: Sequence[Typed]) -> Typed:
        return Typed(work([one.expr for one in found]), common(found, what))

    return Function((ANY,), 20, made)


def _round(found: Sequence[Typed]) -> Typed:
    places = found[1].value if len(found) > 1 else 0
    if type(places) is not int or not 0 <= places <= 15:
        raise BadExpression("round's second argument is a number of digits, 0 to 15")
    return Typed(found[0].expr.cast(pl.Float64).round(places), "number")


def _if(found: Sequence[Typed]) -> Typed:
    kind = common(found[1:], "if")
    return Typed(pl.when(found[0].expr).then(found[1].expr).otherwise(found[2].expr), kind)


def _replace(found: Sequence[Typed]) -> Typed:
    old, new = literal(found[1], "what is replaced"), literal(found[2], "the replacement")
    if not old or len(new) > 100:
        raise BadExpression("replace takes a text that is not empty, and at most 100 characters")
    return Typed(_string(found[0]).str.replace_all(old, new, literal=True), "string")


def _substring(found: Sequence[Typed]) -> Typed:
    begin, size = (one.value for one in found[1:])
    if type(begin) is not int or type(size) is not int or begin < 1 or size < 0:
        raise BadExpression("substring takes where to begin (1 is the first) and how many")
    return Typed(_string(found[0]).str.slice(begin - 1, size), "string")


def _days(found: Sequence[Typed]) -> Typed:
    later, earlier = (one.expr.cast(pl.Date) for one in found)
    return Typed((later - earlier).dt.total_days(), "integer")


def _parsed(found: Sequence[Typed]) -> Typed:
    if found[0].kind in TRUTHS | MOMENTS:
        raise BadExpression("number takes a text or a number")
    number = found[0].expr.cast(pl.Float64, strict=False)
    return Typed(pl.when(number.is_finite()).then(number), "number")


FUNCTIONS: dict[str, Function] = {
    "abs": Function((NUMBERS,), 1, lambda found: Typed(found[0].expr.abs(), found[0].kind)),
    "round": Function((NUMBERS, NUMBERS), 2, _round),
    "floor": _number(lambda one: one.cast(pl.Float64).floor()),
    "ceil": _number(lambda one: one.cast(pl.Float64).ceil()),
    "sqrt": _number(lambda one: one.cast(pl.Float64).sqrt()),
    "log": _number(lambda one: one.cast(pl.Float64).log()),
    "exp": _number(lambda one: one.cast(pl.Float64).exp()),
    "number": Function((ANY,), 1, _parsed),
    "text": Function((ANY,), 1, lambda found: Typed(found[0].expr.cast(pl.String), "string")),
    "lower": _text(lambda one: one.str.to_lowercase()),
    "upper": _text(lambda one: one.str.to_uppercase()),
    "trim": _text(lambda one: one.str.strip_chars()),
    "length": _text(lambda one: one.str.len_chars().cast(pl.Int64), "integer"),
    "contains": _part(lambda one, part: one.str.contains(part, literal=True)),
    "starts_with": _part(lambda one, part: one.str.starts_with(part)),
    "ends_with": _part(lambda one, part: one.str.ends_with(part)),
    "matches": _part(lambda one, part: one.str.contains(pattern(part))),
    "replace": Function((TEXTS, TEXTS, TEXTS), 3, _replace),
    "substring": Function((TEXTS, NUMBERS, NUMBERS), 3, _substring),
    "concat": Function(
        (TEXTS,), 20, lambda found: Typed(pl.concat_str([_string(one) for one in found]), "string")
    ),
    "coalesce": _horizontal(lambda every: pl.coalesce(every), "coalesce"),
    "least": _horizontal(lambda every: pl.min_horizontal(every), "least"),
    "greatest": _horizontal(lambda every: pl.max_horizontal(every), "greatest"),
    "if": Function((TRUTHS, ANY, ANY), 3, _if),
    "date": Function((TEXTS,), 1, lambda found: moment(literal(found[0], "date's argument"))),
    "year": _moment(lambda one: one.dt.year()),
    "month": _moment(lambda one: one.dt.month()),
    "day": _moment(lambda one: one.dt.day()),
    "weekday": _moment(lambda one: one.dt.weekday()),
    "hour": Function(
        (frozenset({"datetime", "null"}),),
        1,
        lambda found: Typed(found[0].expr.dt.hour().cast(pl.Int64), "integer"),
    ),
    "days": Function((MOMENTS, MOMENTS), 2, _days),
}
LEAST = {"round": 1, "concat": 1, "coalesce": 1, "least": 1, "greatest": 1}
