"""A dataset card: a YAML front matter between two lines of dashes, and Markdown behind it.

The format is Hugging Face's (``README.md`` of a dataset). Plain YAML is read: no tags that make
objects, no aliases (a few lines of them unfold to gigabytes).
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

MOST_YAML = 64 * 1024  # bytes of a front matter: what reads it takes 11 µs for each
DEEPEST = 50  # lists within lists: what reads them takes the square of it
_BEGIN = re.compile(r"\A\ufeff?---[ \t]*\r?\n")
_END = re.compile(r"^---[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
_HEADING = re.compile(r"^( {0,3}#{1,6}(?:[ \t][^\n]*)?\n)", re.MULTILINE)
_NO_TEXT = re.compile(r"[#>|<!\[`*_-]|\d+\.|$")  # how a paragraph does not begin
_CITATION = re.compile(r"```\w*\s*\n(@\w+\s*\{[^`]{1,5000}\})\s*```")
_LINK = re.compile(r"!?\[([^\[\]\n]{0,500})\]\([^\[)\n]{0,1000}\)")  # what begins anew ends it


class Card(Struct, frozen=True):
    """What a card says: its front matter, in its order, and its text."""

    about: dict[str, Any]
    text: str


class BadCard(ValueError):
    """What cannot be read as a card; the message says why, and where."""


def parsed(card: str) -> Card:
    """A card. Raises ``BadCard``."""
    begin = _BEGIN.match(card)
    if begin is None:
        return Card({}, card)
    end = _END.search(card, begin.end())
    if end is None:
        raise BadCard("its front matter is not closed by a line of '---'")
    head = card[begin.end() : end.start()]
    if len(head.encode()) > MOST_YAML:
        raise BadCard(f"its front matter has more than {MOST_YAML:,} bytes")
    about = _loaded(head)
    if not isinstance(about, dict) or any(not isinstance(name, str) for name in about):
        raise BadCard("its front matter is no list of names and values")
    return Card(about, card[end.end() :].lstrip("\r\n"))


def written(card: Card) -> str:
    """The card as a file."""
    import yaml

    if not card.about:
        return card.text
    head = yaml.safe_dump(card.about, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{head}---\n\n{card.text}"


def description(text: str, most: int) -> str:
    """The first paragraph that is prose, at most so many characters; "" where none is.

    A heading is a line by itself, with or without blank ones around it (CommonMark, 4.2).
    """
    for paragraph in re.split(r"\n\s*\n", _HEADING.sub(r"\n\1\n", text[:100_000])):
        lines = [line.strip() for line in paragraph.splitlines()]
        if lines and not _NO_TEXT.match(lines[0]):
            return _LINK.sub(r"\1", " ".join(lines))[:most]
    return ""


def citation(text: str) -> str:
    """The first BibTeX entry that stands in a block of code; "" where none does."""
    found = _CITATION.search(text)
    return found.group(1) if found else ""


def texts(value: Any) -> list[str]:
    """A text, or a list of them, as a list. ``no`` is false in YAML, and the Norwegians' code."""
    found = [
        "no" if one is False else one for one in (value if isinstance(value, list) else [value])
    ]
    return [one for one in found if isinstance(one, str) and one]


def _loaded(head: str) -> Any:
    import yaml

    deep = 0
    try:
        for event in yaml.parse(head, Loader=yaml.SafeLoader):
            deep += isinstance(event, yaml.CollectionStartEvent)
            deep -= isinstance(event, yaml.CollectionEndEvent)
            if deep > DEEPEST:
                raise BadCard(f"its front matter is nested deeper than {DEEPEST}")
            if isinstance(event, yaml.AliasEvent):
                raise BadCard("its front matter has an alias (*); write the value out")
        return yaml.safe_load(head) or {}
    except (yaml.YAMLError, RecursionError) as error:
        raise BadCard(f"its front matter is no YAML: {error}") from error
