"""Expressions over columns as text: cut into tokens."""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST = 4000  # characters of an expression
MOST = 500  # tokens: what is compiled stays shallow enough for polars

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>`(?:[^`]|``)+`|"(?:[^"]|"")+")
      | (?P<name>[^\W\d]\w*)
      | (?P<sign><=|>=|==|!=|<>|[-+*/%<>=(),])
    )""",
    re.VERBOSE,
)
_WORDS = frozenset({"and", "or", "not", "is", "in", "null", "true", "false"})


class BadExpression(ValueError):
    """A text that is no expression, or one that does not fit the columns; the message says why
    and at which character.
    """


class Token(NamedTuple):
    """``kind``: number, text, column, name, word, sign or end; ``at`` counts characters from 1."""

    kind: str
    text: str
    at: int


def tokens(text: str) -> list[Token]:
    """The tokens, and one ``end``. Raises ``BadExpression``."""
    if len(text) > LONGEST:
        raise BadExpression(f"an expression has at most {LONGEST} characters, not {len(text)}")
    found: list[Token] = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].lstrip()
            begin = len(text) - len(rest) + 1
            raise BadExpression(f"character {begin}: {rest[:10]!r} is not understood")
        found.append(_token(match))
        at = match.end()
    if len(found) > MOST:
        raise BadExpression(f"an expression has at most {MOST} parts, not {len(found)}")
    return [*found, Token("end", "", len(text) + 1)]


def _token(match: re.Match[str]) -> Token:
    kind = str(match.lastgroup)
    text, at = match[kind], match.start(kind) + 1
    if kind == "text":
        return Token("text", text[1:-1].replace("''", "'"), at)
    if kind == "quoted":
        return Token("column", text[1:-1].replace(text[0] * 2, text[0]), at)
    if kind == "name" and text.lower() in _WORDS:
        return Token("word", text.lower(), at)
    return Token(kind, text, at)
