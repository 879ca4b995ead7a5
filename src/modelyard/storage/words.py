"""Full text: both databases are given words that were cut and folded here, so both find alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from modelyard.protocol.matching import words

_LONGEST = 200  # characters of a word
_MOST = 20_000  # different words of one document


def folded(text: str) -> dict[str, None]:
    """The different words of a text, in order."""
    return dict.fromkeys(word[:_LONGEST] for word in words(text))


def document(texts: Iterable[str], kind: str, workspace: str) -> str:
    """What is stored of a document's texts: each word with its place before it."""
    place = _place(kind, workspace)
    return " ".join(place + word for word in list(folded(" ".join(texts)))[:_MOST])


def query(text: str, kind: str, workspace: str, dialect: str) -> str | None:
    """The database's own query for documents that have all words; None when there are none."""
    place = _place(kind, workspace)
    found = [place + word for word in folded(text)]
    if not found:
        return None
    if dialect == "sqlite":
        return " AND ".join(f'"{one}"' for one in found)
    return " & ".join(f"'{one}'" for one in found)


def texts(value: Any) -> list[str]:
    """All strings within a JSON value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [one for key, inner in value.items() for one in (key, *texts(inner))]
    if isinstance(value, list):
        return [one for inner in value for one in texts(inner)]
    return []


def _place(kind: str, workspace: str) -> str:
    """Stands before a word: what others have written is not read through."""
    return hashlib.sha256(f"{kind}\n{workspace}".encode()).hexdigest()[:8]
