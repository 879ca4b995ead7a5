"""Which prompts may be compared at all: what of a request must be equal, and what may differ.

A request is compared with others by one text, that of its last message; everything else has to be
the same. The scope is the exact cache's own key of the request with that text taken out, so that
whatever the exact cache tells apart, this one does too: workspace, model and version, system
prompt, earlier turns, tools, images, every parameter, the dialect, and whether it is a stream.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from modelyard.inference.call import CHAT, COMPLETION, OPENAI, Call

LONGEST = 2_000  # characters: a longer text says more than one vector of 256 tokens tells
_HOLE = {"": "text"}  # where the text was: no dialect has an object there
_TURNS = {"anthropic": ("messages", "content"), "gemini": ("contents", "parts")}


class Framed(NamedTuple):
    """A request in two parts: the text, and all around it."""

    text: str
    frame: dict[str, Any]


def framed(call: Call) -> Framed | None:
    """The parts of a request; None where it is not one text that varies."""
    if call.dialect == OPENAI:
        if call.kind == COMPLETION:
            found = _hollow(call.body, "prompt")
        elif call.kind == CHAT:
            found = _last(call.body, "messages", "content")
        else:
            return None
    elif call.kind == CHAT and call.dialect in _TURNS:
        found = _last(call.native, *_TURNS[call.dialect])
    else:
        return None
    if found is None or len(found.text) > LONGEST or not found.text.strip():
        return None
    return found


def _last(body: dict[str, Any], turns: str, content: str) -> Framed | None:
    """The user's last turn, where it is the last of all."""
    said = body.get(turns)
    if not isinstance(said, list) or not said or not isinstance(said[-1], dict):
        return None
    if said[-1].get("role", "user") != "user":
        return None
    found = _hollow(said[-1], content)
    return found and Framed(found.text, {**body, turns: [*said[:-1], found.frame]})


def _hollow(holder: dict[str, Any], name: str) -> Framed | None:
    """A member that is a text, or a list of one part that is a text, taken out."""
    value = holder.get(name)
    if isinstance(value, str):
        return Framed(value, {**holder, name: _HOLE})
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        part = value[0]
        if isinstance(text := part.get("text"), str) and part.get("type", "text") == "text":
            return Framed(text, {**holder, name: [{**part, "text": _HOLE}]})
    return None
