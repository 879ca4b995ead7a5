"""Questions that are the same to the letter, but for what carries nothing.

They are taken for sure without asking a verifier, as far as its bound: the case of letters, white
space, and the punctuation at the end. Only plain prose is compared so: in code and formulas case
and space have a meaning, and a word in capitals is another than the same in small letters (US, us).
"""

from __future__ import annotations

import re

SURE = 1.0  # the confidence of such a pair; a verifier is never so sure
_PROSE = re.compile(r"[\w\s,.?!'’\-]*")
_END = " .?!"
_WORD = re.compile(r"[^\W\d_]{2,}")


def same_question(one: str, other: str) -> bool:
    """Whether two questions differ in nothing that carries a meaning."""
    if one == other:
        return True
    if _plain(one) != _plain(other):
        return False
    if not _PROSE.fullmatch(one) or not _PROSE.fullmatch(other):
        return False
    return _capitals(one) == _capitals(other)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(_END)


def _capitals(text: str) -> list[str]:
    """The words in capitals; none where the whole text is in them."""
    return [] if text.isupper() else [word for word in _WORD.findall(text) if word.isupper()]
