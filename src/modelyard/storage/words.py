"""Full text: both databases are given words that were cut and folded here, so both find alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from modelyard.kernel.matching import words

_LONGEST = 200  # characters of a word
_MOST = 20_000  # different words of one document


def folded(text: str) -> dict[str, None]:
    """The different words of a text, in order."""
    return dict.fromkeys(word[:_LONGEST] for word in words(text))


def document(texts: Iterable[str], kind: str, workspace: str) -> str:
    """What is stored of a document's texts."""
    found = folded(" ".join(texts))
    return " ".join([_place(kind, workspace), *list(found)[:_MOST]])


def query(text: str, kind: str, workspace: str | None, dialect: str) -> str | None:
    """The database's own query for documents that have all words; None when there are none.

    A ``workspace`` of None looks in all.
    """
    found = list(folded(text))
    if not found:
        return None
    terms = found if workspace is None else [_place(kind, workspace), *found]
    if dialect == "sqlite":
        return " AND ".join(f'"{one}"' for one in terms)
    return " & ".join(f"'{one}'" for one in terms)


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
    """A word for the kind and the workspace, as nobody writes it: others are not read through."""
    return "§" + hashlib.sha256(f"{kind}\n{workspace}".encode()).hexdigest()[:12]
