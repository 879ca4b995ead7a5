"""A file in blocks of whole rows, in constant memory, whatever its size."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Protocol

BLOCK = 4 * 1024 * 1024  # bytes of one read
LONGEST = 64 * 1024 * 1024  # characters of one row


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int = ..., /) -> bytes:
        """At most so many; none at the end."""


class TooLong(ValueError):
    """A row of more than ``LONGEST`` characters: a quote that is never closed, as a rule."""


def decoded(source: Readable, encoding: str, size: int = BLOCK) -> Iterator[str]:
    """The text in parts. What is no such text becomes lone surrogates (PEP 383), to be told of."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    while part := source.read(size):
        if text := decoder.decode(part):
            yield text
    if rest := decoder.decode(b"", final=True):
        yield rest


def whole_rows(parts: Iterator[str], quote: str | None) -> Iterator[str]:
    """Blocks that end with a row's end. Line ends inside of quotes end no row.

    A row ends at a line end before which the quotes come in pairs (RFC 4180; a quote inside of a
    field is doubled). Raises ``TooLong``.
    """
    kept = ""
    for part in parts:
        kept += part
        at = _last_end(kept, quote)
        if at:
            yield kept[:at]
            kept = kept[at:]
        elif len(kept) > LONGEST:
            raise TooLong(f"a row has more than {LONGEST:,} characters (is a quote left open?)")
    if kept:
        yield kept if kept.endswith("\n") else kept + "\n"


def _last_end(text: str, quote: str | None) -> int:
    """Behind the last line end that ends a row; 0 where there is none."""
    if quote is None:
        return text.rfind("\n") + 1
    at, total = text.rfind("\n"), None
    while at >= 0:
        if total is None:
            total = text.count(quote, 0, at)
        if total % 2 == 0:
            return at + 1
        before = text.rfind("\n", 0, at)
        total -= text.count(quote, max(before, 0), at)
        at = before
    return 0
