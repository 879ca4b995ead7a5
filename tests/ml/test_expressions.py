"""Expressions: what Python works out, polars does, too; nothing else is within reach."""

import datetime
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.ml.expressions import compiled, condition
from modelyard.ml.functions import FUNCTIONS
from modelyard.ml.reading import kinds
from modelyard.ml.tokens import BadExpression

TABLE = pl.LazyFrame(
    {
        "a": [1, 2, None],
        "b": [0.0, 1.5, 2.0],
        "s": ["x", "it's", None],
        "two words": [1, 1, 1],
        "*": [7, 8, 9],
        "d": [datetime.date(2024, 2, 29), None, datetime.date(2025, 1, 1)],
        "t": [datetime.datetime(2024, 1, 1, 12), None, None],
        "l": [[1], [2], None],
    }
)


def worked(text: str) -> list[Any]:
    made = compiled(text, kinds(TABLE))
    return TABLE.select(made.expr.alias("x")).collect(engine="streaming")["x"].to_list()


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("a / b", [None, 4 / 3, None]),
        ("1 / b > 0", [None, True, True]),
        ("-a - -3 * 2", [5, 4, None]),
        ("2 - 1 - 1 + a", [1, 2, None]),
        ("a % 2 = 1 and not (b > 1)", [True, False, False]),
        ("a is null or b is not null and false", [False, False, True]),
        ("`two words` + \"*\"", [8, 9, 10]),
        ("s = 'it''s'", [False, True, None]),
        ("s in ('x', 'y')", [True, False, None]),
        ("a not in (1, -2)", [False, True, None]),
        ("if(a > 1, 'many', s)", ["x", "many", None]),
        ("concat(upper(s), '-', text(a))", ["X-1", "IT'S-2", None]),
        ("coalesce(a, length('abc'))", [1, 2, 3]),
        ("d >= '2024-06-01'", [False, None, True]),
        ("t < '2024-01-01T12:30:00+01:00'", [False, None, None]),
        ("days(d, date('2024-02-28'))", [1, None, 308]),
        ("year(d) * 100 + month(d)", [202402, None, 202501]),
        ("matches(s, '^[a-z]$')", [True, False, None]),
        ("contains(s, '.')", [False, False, None]),
        ("substring(s, 2, 2)", ["", "t'", None]),
        ("replace(s, 't', '')", ["x", "i's", None]),
        ("number('12.5') + number(s)", [None, None, None]),
        ("round(b / 7, 2)", [0.0, 0.21, 0.29]),
        ("log(b - 1.5)", [None, None, pytest.approx(-0.6931471805599453)]),
        ("greatest(a, b)", [1.0, 2.0, 2.0]),
        ("weekday(d)", [4, None, 3]),
        ("hour(t)", [12, None, None]),
    ],
)  # fmt: skip
def test_what_is_worked_out(text: str, wanted: list[Any]) -> None:
    assert (worked(text) * 3)[:3] == wanted


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "character 1 .the end.: a value is expected"),
        ("a.b", "character 2: '.b' is not understood"),
        ("a[0]", "character 2"),
        ("__import__('os')", "no function '__import__'"),
        ("read_csv('/etc/passwd')", "no function 'read_csv'"),
        ("scan('http://x')", "no function"),
        ("a; b", "character 2"),
        ("1 1", "character 3 .'1'.: the end is expected"),
        ("a + s", "'\\+' takes integer or number, and this is string"),
        ("a = 'x'", "mixes integer and string"),
        ("l = l", "lists and the like"),
        ("nothing > 1", "no column 'nothing'; there are a, b, s"),
        ("if(a, 1, 2)", "'if' takes boolean"),
        ("round(1, 2, 3)", "takes 1 to 2 arguments, not 3"),
        ("matches(s, '(')", "no regular expression"),
        ("matches(s, s)", "is a text in quotes"),
        ("a in (b)", "a list holds"),
        ("d > 'soon'", "'soon' is no date"),
        ("9999999999999999999", "63 bits"),
        ("(" * 60 + "1" + ")" * 60, "more than 40 levels"),
        ("days(d, '2024-02-28')", "takes date or datetime, and this is string"),
        ("1" + "+1" * 400, "at most 500 parts"),
        ("x" * 5000, "at most 4000 characters"),
    ],
)
def test_what_is_no_expression(text: str, why: str) -> None:
    with pytest.raises(BadExpression, match=why):
        compiled(text, kinds(TABLE))


def test_a_condition_is_true_or_false() -> None:
    assert condition("a > 1 or s = 'x'", kinds(TABLE)).columns == ["a", "s"]
    with pytest.raises(BadExpression, match="of the type integer"):
        condition("a + 1", kinds(TABLE))


Row = dict[str, int | None]
Node = tuple[str, Callable[[Row], Any]]


def _both(work: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: None if a is None or b is None else work(a, b)


def _and(a: bool | None, b: bool | None) -> bool | None:
    return False if a is False or b is False else None if a is None or b is None else True


def _or(a: bool | None, b: bool | None) -> bool | None:
    return True if a is True or b is True else None if a is None or b is None else False


def _join(sign: str, work: Callable[[Any, Any], Any]) -> Callable[[tuple[Node, Node]], Node]:
    def joined(pair: tuple[Node, Node]) -> Node:
        (left, first), (right, second) = pair
        return f"({left} {sign} {right})", lambda row: work(first(row), second(row))

    return joined


NUMBERS: st.SearchStrategy[Node] = st.recursive(
    st.integers(0, 20).map(lambda n: (str(n), lambda row: n))
    | st.sampled_from("pq").map(lambda name: (name, lambda row: row[name])),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(_join("+", _both(operator.add))),
        st.tuples(inner, inner).map(_join("-", _both(operator.sub))),
        inner.map(lambda one: (f"-{one[0]}", lambda row: _both(operator.sub)(0, one[1](row)))),
    ),
    max_leaves=6,
)
TRUTHS: st.SearchStrategy[Node] = st.recursive(
    st.one_of(
        *(
            st.tuples(NUMBERS, NUMBERS).map(_join(sign, _both(work)))
            for sign, work in {
                "<": operator.lt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne,
            }.items()
        )
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(_join("and", _and)),
        st.tuples(inner, inner).map(_join("or", _or)),
    ),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(node=TRUTHS | NUMBERS, p=st.none() | st.integers(-9, 9), q=st.none() | st.integers(-9, 9))
def test_random_expressions_are_as_in_python(node: Node, p: int | None, q: int | None) -> None:
    text, work = node
    frame = pl.LazyFrame({"p": [p], "q": [q]}, schema={"p": pl.Int64, "q": pl.Int64})
    made = compiled(text, kinds(frame))
    assert frame.select(made.expr.alias("x")).collect()["x"][0] == work({"p": p, "q": q})


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab()'`\"+-*/%<>=!, 01.notirdu[]{};:\\\0"), max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        compiled(text, kinds(TABLE))
    except BadExpression as error:
        assert str(error)


def test_every_function_is_documented() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "expressions.md"
    assert all(f"`{name}(" in page.read_text() for name in FUNCTIONS)


@pytest.mark.parametrize(
    "text, wanted",
    [("a" + "+a" * 249, [250, 500, None]), ("not " * 400 + "a > 1", [False, True, None])],
)
def test_the_largest_expressions_are_worked_out(text: str, wanted: list[Any]) -> None:
    assert worked(text) == wanted
