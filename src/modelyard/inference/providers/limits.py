"""What a provider says of its own limits, in the headers of its answers.

OpenAI's ``x-ratelimit-remaining-requests`` with ``-reset-requests`` (and ``-tokens``), Anthropic's
``anthropic-ratelimit-requests-remaining`` with ``-reset`` (and ``-tokens``, ``-input-tokens``,
``-output-tokens``). Many others use the first form.
"""

from __future__ import annotations

import re
from datetime import datetime
from time import time

_OPENAI = b"x-ratelimit-remaining-"
_ANTHROPIC = b"anthropic-ratelimit-"
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = 86_400.0  # a longer wait is a provider's mistake


def closed_for(fields: list[tuple[bytes, bytes]]) -> float:
    """Seconds until the provider takes another call; 0.0 where it takes one now.

    ``fields`` are the header fields of an answer, names in lower case.
    """
    wait = 0.0
    for name, value in fields:
        if value != b"0" or b"-ratelimit-" not in name:
            continue
        if name.startswith(_OPENAI):
            reset = b"x-ratelimit-reset-" + name[len(_OPENAI) :]
        elif name.startswith(_ANTHROPIC) and name.endswith(b"-remaining"):
            reset = name[: -len(b"remaining")] + b"reset"
        else:
            continue
        for other, text in fields:
            if other == reset:
                wait = max(wait, seconds(text.decode("latin-1")))
    return wait


def seconds(text: str) -> float:
    """``1s``, ``6m0s``, ``250ms``, a number of seconds, or a time (RFC 3339); else 0.0."""
    text = text.strip()
    try:
        wait = float(text)
    except ValueError:
        parts = _PART.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            wait = sum(float(number) * _SECONDS[unit] for number, unit in parts)
        else:
            wait = _until(text)
    return wait if 0.0 < wait <= _LONGEST else 0.0


def _until(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return moment.timestamp() - time() if moment.tzinfo is not None else 0.0
