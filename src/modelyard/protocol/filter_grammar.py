r"""The parser of filters: AIP-160's whole grammar, against the fields that a list declares.

    expression  : factor {[AND] factor}
    factor      : term {OR term}             OR binds tighter
    term        : [NOT | -] simple
    simple      : restriction | "(" expression ")"
    restriction : member [comparator argument]
    argument    : member | function | "(" expression of values ")"
    member      : value {"." value}
    function    : timestamp("…") | duration("…") | now()

A value is a word or a text in quotes of either kind, with ``\" \' \\ \* \n \r \t`` as escapes.
Words without a comparator are looked for in the searchable texts. ``field = (a OR b)`` and
``field:(a b)`` stand for one restriction for each value.
"""

import re
import time
from typing import NamedTuple

from modelyard.protocol import errors, shape
from modelyard.protocol.errors import Failure
from modelyard.protocol.filter_values import COMPARATORS, STAR, About, Literal, restrict, wrong
from modelyard.protocol.filtering import And, Field, Fields, Filter, Not, Or, Text, unknown
from modelyard.protocol.matching import words

LONGEST = 2000  # characters
DEEPEST = 50  # parentheses and negations within each other
MOST_TERMS = 100
FUNCTIONS = ["duration", "now", "timestamp"]

_PART = (
    r"""(?:[^\s()"',<>=!:.\\]++"""
    r"""|"(?:[^"\\]|\\["'\\*nrt])*+"|'(?:[^'\\]|\\["'\\*nrt])*+')"""
)
_TOKEN = re.compile(
    r"(?P<mark>[(),:]|[<>!]=|[<>=])"
    r"|(?P<time>\d{4}-\d\d-\d\d[Tt]\d\d:[\d:.+Zz-]*+)"
    rf"|(?P<member>{_PART}(?:\.{_PART})*+)"
)
_PARTS = re.compile(_PART)
_SPECIAL = re.compile(r"\\(.)|\*")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_UNUSABLE = re.compile("[\0\ud800-\udfff]")


class _Token(NamedTuple):
    parts: tuple[str, ...]  # of a member, unescaped; none for a mark
    mark: str  # "" for a member, "end" after the last token
    at: int
    gap: bool = False  # whether space stands before it
    quoted: bool = False

    @property
    def text(self) -> str:
        return ".".join(self.parts)

    def is_word(self, *known: str) -> bool:
        return not self.quoted and self.text in known


def parse(text: str, fields: Fields, now: float | None = None) -> Filter | None:
    """The tree of a filter; None for an empty one, which lets everything through.

    Fields may be named in camelCase or snake_case. ``now`` is what ``now()`` means, in Unix
    seconds. Raises ``INVALID_REQUEST`` with the ``rule`` and the ``position`` in characters for
    whatever is wrong, at most 2,000 characters, 100 restrictions or 50 levels being allowed.
    """
    if len(text) > LONGEST:
        raise wrong("length", f"is longer than {LONGEST:,} characters", LONGEST)
    parser = _Parser(_tokens(text), fields, time.time() if now is None else now)
    if parser.next.mark == "end":
        return None
    found = parser.expression(0, None)
    parser.expect("end")
    return found


def _tokens(text: str) -> list[_Token]:
    if bad := _UNUSABLE.search(text):
        raise wrong("character", "has a character that no text can hold", bad.start())
    found: list[_Token] = []
    place = 0
    while True:
        at = place
        while text[at : at + 1].isspace():
            at += 1
        if at == len(text):
            return [*found, _Token((), "end", at, True)]
        token = _TOKEN.match(text, at)
        if not token:
            raise _unreadable(text, at)
        parts = (token["time"],) if token["time"] else tuple(_parts(token["member"] or ""))
        quoted = text[at] in "\"'"
        found.append(_Token(parts, token["mark"] or "", at, at > place or not found, quoted))
        place = token.end()


def _parts(member: str) -> list[str]:
    found = _PARTS.findall(member)
    return [_SPECIAL.sub(_plain, part[1:-1] if part[0] in "\"'" else part) for part in found]


def _plain(special: re.Match[str]) -> str:
    escaped = special.group(1)
    return _ESCAPES.get(escaped, escaped) if escaped else STAR


def _unreadable(text: str, at: int) -> Failure:
    if text[at] in "\"'":
        escapes = r"\" \' \\ \* \n \r \t"
        return wrong("quotes", f"has an open quote, or an escape other than {escapes}", at)
    return wrong("syntax", f"has a '{text[at]}' that belongs into quotes", at)


class _Parser:
    def __init__(self, tokens: list[_Token], fields: Fields, now: float) -> None:
        self.tokens = tokens
        self.fields = fields
        self.now = now
        self.place = 0
        self.terms = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.place]

    def take(self) -> _Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def expect(self, mark: str) -> None:
        if self.next.mark != mark:
            raise self.unexpected()
        self.place += mark != "end"

    def unexpected(self) -> Failure:
        token = self.next
        if token.mark == "end":
            return wrong("syntax", "ends too early: a value or a ')' is missing", token.at)
        what = token.mark or token.text[:20].replace(STAR, "*")
        return wrong("syntax", f"has a '{what}' where it cannot stand", token.at)

    def nested(self, depth: int) -> int:
        if depth == DEEPEST:
            raise wrong("depth", f"is nested more than {DEEPEST} deep", self.next.at)
        return depth + 1

    def expression(self, depth: int, about: About | None) -> Filter:
        parts = [self.factor(depth, about)]
        while self.next.mark not in ("end", ")"):
            if self.next.is_word("AND"):
                self.take()
            elif not self.next.gap:
                raise self.unexpected()
            parts.append(self.factor(depth, about))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def factor(self, depth: int, about: About | None) -> Filter:
        parts = [self.term(depth, about)]
        while self.next.is_word("OR"):
            self.take()
            parts.append(self.term(depth, about))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def term(self, depth: int, about: About | None) -> Filter:
        token = self.next
        minus = token.is_word("-") and not self.tokens[self.place + 1].gap
        if minus or token.is_word("NOT"):
            self.take()
        elif token.text.startswith("-") and not token.quoted and not token.is_word("-"):
            parts = (token.parts[0][1:], *token.parts[1:])
            self.tokens[self.place] = token._replace(parts=parts, at=token.at + 1)
        else:
            return self.simple(depth, about)
        return Not(self.simple(self.nested(depth), about))

    def simple(self, depth: int, about: About | None) -> Filter:
        if self.next.mark == "(":
            return self.composite(depth, about)
        if self.next.text.startswith("-") and not self.next.quoted:
            raise self.unexpected()
        self.terms += 1
        if self.terms > MOST_TERMS:
            raise wrong("terms", f"has more than {MOST_TERMS} restrictions", self.next.at)
        if about:
            return restrict(about, self.literal())
        return self.restriction(depth)

    def composite(self, depth: int, about: About | None) -> Filter:
        depth = self.nested(depth)
        self.take()
        found = self.expression(depth, about)
        self.expect(")")
        return found

    def restriction(self, depth: int) -> Filter:
        member = self.member()
        if self.next.mark in COMPARATORS:
            return self.comparison(depth, member)
        if self.next.mark == "(" and not self.next.gap:
            raise wrong("function", "can use functions as values only", member.at)
        text = member.text.replace(STAR, "*")
        if not words(text):
            raise wrong("words", "has no letter or digit to look for", member.at)
        return Text(text)

    def comparison(self, depth: int, member: _Token) -> Filter:
        field, key = self.find(member)
        sign = self.take()
        about = About(field, key, sign.mark, sign.at)
        if self.next.mark != "(":
            return restrict(about, self.literal())
        if sign.mark not in ("=", ":"):
            message = f"cannot compare by '{sign.mark}' with several values"
            raise wrong("operator", message, sign.at, allowed=["=", ":"])
        return self.composite(depth, about)

    def member(self) -> _Token:
        if self.next.mark or self.next.is_word("AND", "OR", "NOT"):
            raise self.unexpected()
        return self.take()

    def literal(self) -> Literal:
        member = self.member()
        if self.next.mark != "(" or self.next.gap:
            return Literal(member.text, member.quoted, member.at)
        name = member.text
        if name not in FUNCTIONS:
            message = f"can call {', '.join(FUNCTIONS)} only"
            raise wrong("function", message, member.at, allowed=FUNCTIONS)
        self.take()
        if name == "now":
            self.expect(")")
            return Literal(errors.timestamp(self.now), True, member.at, "timestamp")
        if not self.next.quoted:
            raise wrong("function", f"needs a text in quotes within {name}()", self.next.at)
        text = self.take().text
        self.expect(")")
        return Literal(text, True, member.at, name)

    def find(self, member: _Token) -> tuple[Field, str]:
        name = member.text.replace(STAR, "*")
        if known := shape.spelled(name, self.fields):
            return self.fields[known], ""
        for spelling in (name, shape.snake(name), shape.camel(name)):
            for field in self.fields.values():
                if field.kind == "labels" and spelling.startswith(field.name + "."):
                    key = ".".join(member.parts[field.name.count(".") + 1 :])
                    if key and STAR not in key:
                        return field, key
        raise unknown("filter", name, self.fields, position=member.at)
