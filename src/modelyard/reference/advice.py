"""What each error code means for the person who meets it: the cause, and the way out.

``errors_help.tsv`` beside this file holds the texts, in plain English with code in backticks.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from modelyard.protocol.errors import REGISTRY, ErrorCode


class Advice(NamedTuple):
    """The help for one code."""

    code: ErrorCode
    cause: str
    way_out: str


@cache
def all_advice() -> dict[str, Advice]:
    """Every code of the registry with its help, by symbol."""
    text = Path(__file__).with_name("errors_help.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()[1:] if line]
    return {symbol: Advice(REGISTRY[symbol], cause, out) for symbol, cause, out in rows}


def find(name: str) -> Advice | None:
    """The help for a symbol (``RATE_LIMITED``), a number (``INFER_004``) or another name of it."""
    known = all_advice()
    wanted = name.upper()
    if wanted in known:
        return known[wanted]
    for advice in known.values():
        other = advice.code.other_names.partition(" on ")[0]
        if wanted and wanted in (advice.code.number, other):
            return advice
    return None
