"""A small language of expressions over a row's columns, compiled to polars expressions.

It has literals, columns, arithmetic, comparisons, boolean logic and the functions of
``functions.FUNCTIONS``, and nothing else: no attribute, no index, no assignment, no loop. What it
compiles to looks at the row's cells alone, so no file and no network is within its reach.

    or         = and { "or" and }
    and        = not { "and" not }
    not        = "not" not | comparison
    comparison = sum [ ("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") sum
                     | "is" [ "not" ] "null" | [ "not" ] "in" "(" literal { "," literal } ")" ]
    sum        = product { ("+" | "-") product }
    product    = unary { ("*" | "/" | "%") unary }
    unary      = "-" unary | number | 'text' | "true" | "false" | "null" | column
               | function "(" [ or { "," or } ] ")" | "(" or ")"

A column is a name, or any text in backquotes or double quotes. Logic is SQL's, three-valued: what
is compared with null is null. ``/`` divides numbers and gives no whole ones; what has no finite
value (1 / 0) is null. A moment is compared with a text in ISO 8601.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl
from polars import Expr

from modelyard.ml.functions import FUNCTIONS, LEAST, MOMENTS, NUMBERS, TRUTHS, Typed, common, moment
from modelyard.ml.reading import column
from modelyard.ml.tokens import BadExpression, Token, tokens

DEEPEST = 40  # parentheses, functions and signs within each other
_COMPARED = {"=": "==", "<>": "!="}
_LARGEST = 2**63


class Compiled(NamedTuple):
    """An expression; ``kind`` is what it gives, ``columns`` those it reads, in order."""

    expr: Expr
    kind: str
    columns: list[str]


def compiled(text: str, kinds: Mapping[str, str]) -> Compiled:
    """The expression over columns of these kinds (``reading.kinds``). Raises ``BadExpression``."""
    parser = _Parser(tokens(text), kinds)
    made = parser.disjunction()
    parser.expect("end")
    return Compiled(_finite(made).expr, made.kind, list(parser.columns))


def condition(text: str, kinds: Mapping[str, str]) -> Compiled:
    """The same, of an expression that is true, false or null. Raises ``BadExpression``."""
    made = compiled(text, kinds)
    if made.kind not in TRUTHS:
        raise BadExpression(f"a condition is true or false, and this is of the type {made.kind}")
    return made


def _finite(made: Typed) -> Typed:
    if made.kind != "number" or made.value is not None:
        return made
    number = made.expr.cast(pl.Float64)
    return Typed(pl.when(number.is_finite()).then(number), "number")


class _Parser:
    """By recursive descent; each rule is a method."""

    def __init__(self, found: list[Token], kinds: Mapping[str, str]) -> None:
        self._tokens = found
        self._kinds = kinds
        self._at = 0
        self._depth = 0
        self.columns: dict[str, None] = {}

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _accept(self, kind: str, *texts: str) -> Token | None:
        token = self._next
        if token.kind != kind or (texts and token.text not in texts):
            return None
        self._at += 1
        return token

    def expect(self, kind: str, *texts: str) -> Token:
        """The next token, which is such a one. Raises ``BadExpression``."""
        token = self._accept(kind, *texts)
        if token is None:
            wanted = " or ".join(repr(one) for one in texts) or f"the {kind}"
            raise self._wrong(f"{wanted} is expected")
        return token

    def _wrong(self, why: str, at: int | None = None) -> BadExpression:
        token = self._next
        seen = "the end" if token.kind == "end" else repr(token.text)
        place = f"character {token.at} ({seen})" if at is None else f"character {at}"
        return BadExpression(f"{place}: {why}")

    def disjunction(self) -> Typed:
        """The first rule: a whole expression."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._wrong(f"more than {DEEPEST} levels of parentheses and functions")
        left = self._conjunction()
        while token := self._accept("word", "or"):
            right = self._conjunction()
            self._all(token, TRUTHS, left, right)
            left = Typed(_truth(left) | _truth(right), "boolean")
        self._depth -= 1
        return left

    def _conjunction(self) -> Typed:
        left = self._negation()
        while token := self._accept("word", "and"):
            right = self._negation()
            self._all(token, TRUTHS, left, right)
            left = Typed(_truth(left) & _truth(right), "boolean")
        return left

    def _negation(self) -> Typed:
        negations: list[Token] = []
        while token := self._accept("word", "not"):
            negations.append(token)
        made = self._comparison()
        if negations:
            self._all(negations[0], TRUTHS, made)
            odd = len(negations) % 2
            made = Typed(~_truth(made) if odd else _truth(made), "boolean")
        return made

    def _comparison(self) -> Typed:
        left = self._sum()
        if self._accept("word", "is"):
            negated = self._accept("word", "not")
            self.expect("word", "null")
            return Typed(left.expr.is_not_null() if negated else left.expr.is_null(), "boolean")
        if token := self._accept("sign", "=", "==", "!=", "<>", "<", "<=", ">", ">="):
            return self._compared(token, left, self._sum())
        negation = self._accept("word", "not")
        if negation or self._next[:2] == ("word", "in"):
            self.expect("word", "in")
            found = self._among(left)
            return Typed(~found.expr, "boolean") if negation else found
        return left

    def _compared(self, token: Token, left: Typed, right: Typed) -> Typed:
        try:
            left, right = _alike(left, right)
            kind = common((left, right), f"{token.text!r}")
        except BadExpression as error:
            raise self._wrong(str(error), token.at) from None
        if kind == "other":
            raise self._wrong("lists and the like are not compared", token.at)
        a, b = (_instant(one) if kind == "datetime" else one.expr for one in (left, right))
        sign = _COMPARED.get(token.text, token.text)
        found = {
            "==": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b,
        }  # fmt: skip
        return Typed(found[sign], "boolean")

    def _among(self, left: Typed) -> Typed:
        self.expect("sign", "(")
        found: Expr | None = None
        while True:
            at = self._next
            one = self._unary()
            if one.value is None:
                raise self._wrong("a list holds numbers and texts", at.at)
            equal = self._compared(Token("sign", "=", at.at), left, one).expr
            found = equal if found is None else found | equal
            if not self._accept("sign", ","):
                break
        self.expect("sign", ")")
        return Typed(found, "boolean")

    def _sum(self) -> Typed:
        left = self._product()
        while token := self._accept("sign", "+", "-"):
            right = self._product()
            self._all(token, NUMBERS, left, right)
            a, b = _number(left), _number(right)
            kind = common((left, right), token.text)
            left = Typed(a + b if token.text == "+" else a - b, kind)
        return left

    def _product(self) -> Typed:
        left = self._unary()
        while token := self._accept("sign", "*", "/", "%"):
            right = self._unary()
            self._all(token, NUMBERS, left, right)
            a, b = _number(left), _number(right)
            kind = common((left, right), token.text)
            if token.text == "*":
                left = Typed(a * b, kind)
            elif token.text == "%":
                left = Typed(a % b, kind)
            else:
                left = _finite(Typed(a.cast(pl.Float64) / b.cast(pl.Float64), "number"))
        return left

    def _unary(self) -> Typed:
        signs: list[Token] = []
        while token := self._accept("sign", "-"):
            signs.append(token)
        made = self._primary()
        if not signs:
            return made
        self._all(signs[0], NUMBERS, made)
        if len(signs) % 2 == 0:
            return made
        value = -made.value if isinstance(made.value, int | float) else None
        return Typed(-_number(made), made.kind, value)

    def _primary(self) -> Typed:
        token = self._next
        if self._accept("number"):
            return self._literal(token)
        if self._accept("text"):
            return Typed(pl.lit(token.text), "string", token.text)
        if self._accept("word", "true", "false"):
            return Typed(pl.lit(token.text == "true"), "boolean", token.text == "true")
        if self._accept("word", "null"):
            return Typed(pl.lit(None), "null")
        if self._accept("sign", "("):
            made = self.disjunction()
            self.expect("sign", ")")
            return made
        if self._accept("column"):
            return self._column(token)
        if self._accept("name"):
            if self._accept("sign", "("):
                return self._call(token)
            return self._column(token)
        raise self._wrong("a value is expected")

    def _literal(self, token: Token) -> Typed:
        if token.text.isdigit():
            if len(token.text) > 19 or int(token.text) >= _LARGEST:
                raise self._wrong("a whole number has at most 63 bits", token.at)
            return Typed(pl.lit(int(token.text), dtype=pl.Int64), "integer", int(token.text))
        return Typed(pl.lit(float(token.text)), "number", float(token.text))

    def _column(self, token: Token) -> Typed:
        kind = self._kinds.get(token.text)
        if kind is None:
            known = ", ".join(self._kinds)
            raise self._wrong(f"there is no column {token.text!r}; there are {known}", token.at)
        self.columns[token.text] = None
        return Typed(column(token.text), kind)

    def _call(self, token: Token) -> Typed:
        function = FUNCTIONS.get(token.text.lower())
        if function is None:
            known = ", ".join(FUNCTIONS)
            raise self._wrong(f"there is no function {token.text!r}; there are {known}", token.at)
        found = [] if self._next[:2] == ("sign", ")") else [self.disjunction()]
        while found and self._accept("sign", ","):
            found.append(self.disjunction())
        self.expect("sign", ")")
        least = LEAST.get(token.text.lower(), function.most)
        if not least <= len(found) <= function.most:
            wanted = f"{least}" if least == function.most else f"{least} to {function.most}"
            raise self._wrong(f"{token.text} takes {wanted} arguments, not {len(found)}", token.at)
        for at, one in enumerate(found):
            self._all(token, function.takes[min(at, len(function.takes) - 1)], one)
        try:
            return _finite(function.made(found))
        except BadExpression as error:
            raise self._wrong(str(error), token.at) from None

    def _all(self, token: Token, kinds: frozenset[str], *values: Typed) -> None:
        for one in values:
            if one.kind not in kinds:
                wanted = " or ".join(sorted(kinds - {"null"}))
                why = f"{token.text!r} takes {wanted}, and this is {one.kind}"
                raise self._wrong(why, token.at)


def _truth(of: Typed) -> Expr:
    return of.expr.cast(pl.Boolean) if of.kind == "null" else of.expr


def _number(of: Typed) -> Expr:
    return of.expr.cast(pl.Int64) if of.kind == "null" else of.expr


def _instant(of: Typed) -> Expr:
    """A moment without a zone is one in UTC; so is the begin of a day."""
    if of.kind == "date":
        return of.expr.cast(pl.Datetime("us", "UTC"))
    return of.expr.dt.convert_time_zone("UTC") if of.kind == "datetime" else of.expr


def _alike(left: Typed, right: Typed) -> tuple[Typed, Typed]:
    """A text beside a moment is one, too."""
    if left.kind in MOMENTS - {"null"} and isinstance(right.value, str):
        return left, moment(right.value)
    if right.kind in MOMENTS - {"null"} and isinstance(left.value, str):
        return moment(left.value), right
    return left, right
