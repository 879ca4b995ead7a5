"""Labelled pairs of prompts: read from a file, and divided so that no text is in two parts."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

LONGEST = 100_000  # characters of a prompt


class Labelled(Struct, frozen=True):
    """Two prompts, and whether the one's answer answers the other: 1 or 0."""

    text_a: str
    text_b: str
    label: int


class PairsError(Exception):
    """What is wrong with the file: where, and the way out."""


def read_pairs(path: Path) -> list[Labelled]:
    """The pairs of a JSON Lines file, gzipped or not; empty lines are passed over.

    Raises PairsError, which names the line and the field.
    """
    try:
        return list(_lines(path))
    except (OSError, EOFError, zlib.error) as error:
        raise PairsError(f"{path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise PairsError(f"{path} is not UTF-8: {error.reason}") from error


def _lines(path: Path) -> Iterator[Labelled]:
    decode = msgspec.json.Decoder(Labelled).decode
    with path.open("rb") as raw:
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        lines = gzip.GzipFile(fileobj=raw) if packed else raw
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                pair = decode(line)
            except msgspec.DecodeError as error:
                raise PairsError(f"{path}, line {number}: {_said(str(error))}") from error
            _check(pair, f"{path}, line {number}: ")
            yield pair


def _said(words: str) -> str:
    """msgspec's words with the field's name in front."""
    what, _, where = words.partition(" - at `$.")
    return f"{where.rstrip('`')}: {what}" if where else what


def _check(pair: Labelled, where: str) -> None:
    for name in ("text_a", "text_b"):
        text: str = getattr(pair, name)
        if not text.strip():
            raise PairsError(f"{where}{name}: is empty. Leave such pairs out.")
        if len(text) > LONGEST:
            raise PairsError(f"{where}{name}: has {len(text):,} characters, {LONGEST:,} may be.")
    if pair.label not in (0, 1):
        raise PairsError(f"{where}label: is {pair.label}; 1 is the same, 0 is not.")


def divide(pairs: Sequence[Labelled], shares: Sequence[float], salt: str) -> list[list[Labelled]]:
    """Parts of about these shares; the same pairs and salt give the same parts.

    Pairs that have a text in common, directly or through others, go to the same part, whatever
    their texts' case.
    """
    parts: list[list[Labelled]] = [[] for _ in shares]
    for pair, share in zip(
        pairs, lots([(pair.text_a, pair.text_b) for pair in pairs], salt), strict=True
    ):
        place, number = share * sum(shares), 0
        while number < len(shares) - 1 and place >= shares[number]:
            place -= shares[number]
            number += 1
        parts[number].append(pair)
    return parts


def lots(texts: Sequence[tuple[str, str]], salt: str) -> list[float]:
    """A number from 0 up to 1 for each pair: the same for those that are connected by a text."""
    group = _groups(texts)
    found = [hashlib.sha256(f"{salt}{group(one)}".encode()).digest()[:8] for one, _ in texts]
    return [int.from_bytes(digest, "big") / 2**64 for digest in found]


class _groups:  # noqa: N801 (a function with a memory)
    """The least text of those that are connected with a text."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._next: dict[str, str] = {}
        for pair in pairs:
            one, other = map(self, pair)
            self._next[max(one, other)] = min(one, other)

    def __call__(self, text: str) -> str:
        at = text.strip().lower()
        while (after := self._next.setdefault(at, at)) != at:
            self._next[at] = at = self._next[after]
        return at


def texts_of(pairs: Sequence[Labelled]) -> list[str]:
    """Every text once, in order of appearance."""
    return list(dict.fromkeys(text for pair in pairs for text in (pair.text_a, pair.text_b)))
