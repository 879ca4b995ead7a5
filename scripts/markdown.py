"""The little of Markdown that the checks read: links, headings and fenced blocks."""

import re
from collections.abc import Iterator
from typing import NamedTuple

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})\s*(\S*)")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^\s<>)]+)>?(?:\s+\"[^\"]*\")?\)")
DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]:\s+<?(\S+?)>?(?:\s|$)")
ATTRIBUTE = re.compile(r"<\w+[^>]*\s(?:src|srcset|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
COMMENT = re.compile(r"^\s*<!--\s*(.*?)\s*-->\s*$")


class Block(NamedTuple):
    """A fenced block: its language, its text, and the comment on the line above it, if any."""

    line: int  # of its first line of text
    language: str
    text: str
    marker: str


class Link(NamedTuple):
    """A link or an image: the line it stands on, and where it leads."""

    line: int
    target: str


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks, in order."""
    lines = text.splitlines()
    fence, start = None, 0
    for number, line in enumerate(lines, start=1):
        found = FENCE.match(line)
        if fence is None and found:
            fence, start = found, number
        elif fence and found and found[1].startswith(fence[1]) and not found[2]:
            above = COMMENT.match(lines[start - 2]) if start > 1 else None
            inner = "\n".join(lines[start : number - 1]) + "\n"
            yield Block(start + 1, fence[2], inner, above[1] if above else "")
            fence = None


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The lines outside fenced blocks, with their numbers."""
    fence = None
    for number, line in enumerate(text.splitlines(), start=1):
        found = FENCE.match(line)
        if fence is None and found:
            fence = found[1]
        elif fence and found and found[1].startswith(fence) and not found[2]:
            fence = None
        elif fence is None:
            yield number, line


def links(text: str) -> Iterator[Link]:
    """The links, images and link definitions outside code."""
    for number, line in prose(text):
        plain = re.sub(r"`+[^`]*`+", "", line)
        for pattern in (LINK, DEFINITION, ATTRIBUTE):
            for found in pattern.finditer(plain):
                yield Link(number, found[1])


def anchors(text: str) -> set[str]:
    """The anchors of the headings, made as forges make them: lower case, hyphens for spaces."""
    found: set[str] = set()
    for _, line in prose(text):
        if heading := HEADING.match(line):
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            while slug in found:
                slug += "-1"
            found.add(slug)
    return found
