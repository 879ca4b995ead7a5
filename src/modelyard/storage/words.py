"""Full text: both databases are given words that were cut and folded here, so both find alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from modelyard.protocol.matching import words

_LONGEST = 200  # characters of a word
_MOST = 20_000  # different words of one document


def folded(text: str) -> list[str]:
    """The different words of a text, in order."""
    found = dict.fromkeys(words(text))
    if len(text) > _LONGEST:
        found = dict.fromkeys(word[:_LONGEST] for word in found)
    return list(found)


def document(texts: Iterable[str], kind: str, workspace: str) -> str:
    """What is stored of a document's texts: each word with its place before it."""
    found = folded(" ".join(texts))[:_MOST]
    if not found:
        return ""
    place = _place(kind, workspace)
    return place + f" {place}".join(found)


def query(text: str, kind: str, workspace: str, dialect: str) -> str | None:
    """The database's own query for documents that have all words; None when there are none."""
    place = _place(kind, workspace)
    found = [place + word for word in folded(text)]
    if not found:
        return None
    if dialect == "sqlite":
        return " AND ".join(f'"{one}"' for one in found)
    return " & ".join(f"'{one}'" for one in found)


def stored(text: str, kind: str, workspace: str) -> list[str]:
    """Each word of a text as it stands in ``document``, between two spaces."""
    place = _place(kind, workspace)
    return [f" {place}{word} " for word in folded(text)]


def texts(value: Any) -> list[str]:
    """All strings within a JSON value."""
    found: list[str] = []
    _collect(value, found)
    return found


def _collect(value: Any, found: list[str]) -> None:
    if isinstance(value, str):
        found.append(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            found.append(key)
            if isinstance(inner, str):  # most are
                found.append(inner)
            else:
                _collect(inner, found)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, found)


@lru_cache(maxsize=10_000)
def _place(kind: str, workspace: str) -> str:
    """Stands before a word: what others have written is not read through."""
    return hashlib.sha256(f"{kind}\n{workspace}".encode()).hexdigest()[:8]
