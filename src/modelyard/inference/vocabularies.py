"""Which vocabulary a model's tokens are counted by: ``vocabularies.tsv``, by the model's name.

A vocabulary is the model's own, or stands in for one that is not published or not here; only of
OpenAI's models are the tokens of the chat's form known too, so that a whole count is exact.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

OPENAI = "o200k_base"
_MOST_KNOWN = 10_000  # clients may name any model of a provider
EXACT = "exact"  # the vocabulary and the form of a chat
OWN = "own"  # the vocabulary; the form is taken to be OpenAI's
_known: dict[str, Vocabulary] = {}


class Vocabulary(NamedTuple):
    """One row. ``fit`` is ``exact``, ``own`` or ``other``; ``note`` tells what is known of it."""

    name: str
    fit: str
    note: str

    def warning(self, model: str) -> str | None:
        """What to tell of a count of tokens; None where it is exact."""
        if self.fit == EXACT:
            return None
        if self.fit == OWN:
            return (
                f"The count is an estimate: {model}'s own vocabulary ({self.name}), with OpenAI's "
                "form of a chat."
            )
        return f"The count is an estimate by {self.name}: {self.note}"


def find(model: str) -> Vocabulary:
    """The first row whose pattern is in the model's name, in lower case."""
    found = _known.get(model)
    if found is None:
        name = model.lower()
        found = next(row for pattern, row in _table() if pattern.search(name))
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[model] = found
    return found


@cache
def _table() -> list[tuple[re.Pattern[str], Vocabulary]]:
    text = Path(__file__).with_name("vocabularies.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()[1:] if line]
    return [(re.compile(pattern), Vocabulary(name, fit, note)) for pattern, name, fit, note in rows]
