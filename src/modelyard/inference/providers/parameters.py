"""Which parameters of a canonical call a dialect has: one table for each dialect.

A parameter is taken; or dropped with a warning, where the vendor's own API of OpenAI's shape
ignores it; or refused by name, because the answer would not be what was asked for. The table of
``docs/reference/support.md`` is made of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from modelyard.inference.providers.provider import After, AttemptFailed

TAKEN = "taken"
DROPPED = "dropped"
REFUSED = "refused"


class Parameter(NamedTuple):
    """What a dialect does with one parameter.

    ``there`` is its name in the dialect, or a remark; ``neutral`` are values that ask for nothing.
    """

    verdict: str
    there: str = ""
    neutral: tuple[Any, ...] = ()


Rules = Mapping[str, Parameter]


def taken(there: str = "") -> Parameter:
    """The dialect has it."""
    return Parameter(TAKEN, there)


def dropped(remark: str = "") -> Parameter:
    """Left out, with a warning."""
    return Parameter(DROPPED, remark)


def refused(*neutral: Any, remark: str = "") -> Parameter:
    """400 MODEL_NOT_SUPPORTED unless its value is one of ``neutral``."""
    return Parameter(REFUSED, remark, neutral)


# What steers OpenAI's own service and not the answer: nothing is lost elsewhere, so no warning.
QUIET = frozenset(
    {
        "store",
        "metadata",
        "stream_options",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "user",
    }
)
_ASKS = QUIET | {"model", "messages", "stream", "input"}


def fit(body: Mapping[str, Any], rules: Rules, target: str, warnings: list[str]) -> None:
    """Check a request against a dialect's table; what is dropped is named in ``warnings``.

    Raises AttemptFailed (MODEL_NOT_SUPPORTED) for what the dialect cannot do: the next target of
    the chain may.
    """
    for name, value in body.items():
        if value is None or name in _ASKS:
            continue
        rule = rules.get(name)
        if rule is None:
            raise unsupported(name, target)
        verdict, _, neutral = rule
        if verdict == TAKEN or value in neutral:
            continue
        if verdict == DROPPED:
            warnings.append(f"{name} was dropped: {target} has no such parameter.")
        else:
            raise unsupported(name, target)


def unsupported(field: str, target: str, what: str = "") -> AttemptFailed:
    """What was asked cannot be said in the target's dialect."""
    return impossible(
        f"{target} cannot take {field!r}{' (' + what + ')' if what else ''}: leave it out, or use "
        "a model that can.",
        field,
    )


def foreign(item: dict[str, Any]) -> str:
    """What a part or tool is that only another dialect has, in that one's words."""
    own = item.get("block") or item.get("tool") or {}
    return str(own.get("type") or next(iter(own), item.get("type")))


def impossible(text: str, field: str) -> AttemptFailed:
    """The target cannot do what was asked; another one of the chain may."""
    return AttemptFailed(
        "unsupported",
        text,
        code="MODEL_NOT_SUPPORTED",
        after=After.NEXT,
        healthy=True,
        field=field,
    )


def unreadable(field: str, rule: str) -> AttemptFailed:
    """The request is wrong in a way that only its translation shows."""
    return AttemptFailed(
        "unreadable",
        f"The field {field!r} {rule}.",
        code="INVALID_REQUEST",
        after=After.STOP,
        healthy=True,
        field=field,
    )


def arguments(function: dict[str, Any], at: str) -> dict[str, Any]:
    """The arguments of a called function. Raises AttemptFailed for what is no JSON object."""
    text = function.get("arguments") or "{}"
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise unreadable(at, "must be a JSON object")
    return found
