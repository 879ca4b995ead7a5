"""A canonical call as OpenAI's dialect has it: what other surfaces added is taken out.

Clients of OpenAI's own surfaces are passed on untouched; this is for the others.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from modelyard.inference.call import CHAT, Call
from modelyard.inference.providers.parameters import (
    TAKEN,
    Rules,
    dropped,
    fit,
    foreign,
    refused,
    taken,
    unreadable,
    unsupported,
)

_TAKEN = """
    temperature top_p n max_tokens max_completion_tokens stop presence_penalty frequency_penalty
    logit_bias logprobs top_logprobs seed tools tool_choice parallel_tool_calls response_format
    reasoning_effort modalities audio service_tier user prediction dimensions encoding_format
    verbosity web_search_options functions function_call
"""

RULES: Rules = {name: taken() for name in _TAKEN.split()} | {
    "top_k": taken("passed on: OpenAI's own models refuse it, most other servers have it"),
    "thinking": taken("`reasoning_effort`, by its budget"),
    "cache_control": dropped("OpenAI caches prompts by itself"),
    "container": refused(),
    "context_management": dropped("the whole conversation is sent"),
    "mcp_servers": refused(),
    "diagnostics": dropped(),
    "inference_geo": refused("global"),
    "speed": refused("standard"),
    "user_profile_id": dropped(),
    "input_examples": dropped("of tools"),
    "defer_loading": dropped("of tools"),
    "allowed_callers": dropped("of tools"),
    "workspace_id": dropped(),
    "safety_settings": dropped("the provider's own policy holds"),
    "cached_content": refused(),
    "labels": dropped(),
    "media_resolution": dropped(),
    "speech_config": refused(),
    "image_config": refused(),
    "task_type": dropped(),
    "title": dropped(),
}
_LEFT_OUT = frozenset(name for name, rule in RULES.items() if rule.verdict != TAKEN)
_ADDED = ("thinking_blocks", "is_error", "reasoning_content", "cache_control", "extra_content")
_LOW, _MEDIUM = 2_048, 12_288  # tokens of a thinking budget that is still called so


def conform(call: Call, name: str, model: str) -> tuple[Call, tuple[str, ...]]:
    """The call in OpenAI's own shape, and what was left out. Raises AttemptFailed."""
    try:
        return _conformed(call, name, model)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise unreadable("body", f"cannot be translated for {name}: {error!r}") from error


def _conformed(call: Call, name: str, model: str) -> tuple[Call, tuple[str, ...]]:
    warnings: list[str] = []
    target = f"{name}/{model}"
    fit(call.body, RULES, target, warnings)
    body = {name: value for name, value in call.body.items() if name not in _LEFT_OUT}
    if call.kind == CHAT:
        if "thinking" in body:
            _thinking(body)
        if body.get("reasoning_effort") == "max":
            body["reasoning_effort"] = "xhigh"  # OpenAI's highest
        notes: set[str] = set()
        body["messages"] = _messages(body["messages"], target, notes)
        if "tools" in body:
            body["tools"] = [_tool(tool, index, target) for index, tool in enumerate(body["tools"])]
        warnings += sorted(notes)
    made = copy(call)
    made.body = body
    made.raw = b""
    return made, tuple(warnings)


def _messages(messages: list[dict[str, Any]], target: str, notes: set[str]) -> list[dict[str, Any]]:
    made = []
    for index, one in enumerate(messages):
        if len(one) == 2 and type(one.get("content")) is str:  # the role is the other member
            made.append(one)
        elif message := _message(one, f"messages[{index}]", target, notes):
            made.append(message)
    return made


def effort(thinking: dict[str, Any]) -> str | None:
    """``reasoning_effort`` of a thinking budget; None where the model decides."""
    if thinking.get("type") == "disabled":
        return "none"
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int):
        return None
    return "low" if budget <= _LOW else "medium" if budget <= _MEDIUM else "high"


def _thinking(body: dict[str, Any]) -> None:
    thinking = body.pop("thinking", None)
    if isinstance(thinking, dict) and "reasoning_effort" not in body:
        asked = effort(thinking)
        if asked and asked != "none":
            body["reasoning_effort"] = asked


def _message(
    message: dict[str, Any], at: str, target: str, notes: set[str]
) -> dict[str, Any] | None:
    kept = {name: value for name, value in message.items() if name not in _ADDED}
    if message["role"] == "tool":
        kept.pop("name", None)
    if isinstance(parts := kept.get("content"), list):
        kept["content"] = _content(parts, message, at, target, notes)
    if calls := kept.get("tool_calls"):
        kept["tool_calls"] = [
            {name: value for name, value in call.items() if name not in _ADDED} for call in calls
        ]
    if message.get("role") == "assistant" and not kept.get("content") and not calls:
        return None  # it held thoughts alone
    return kept


def _content(
    parts: list[dict[str, Any]], message: dict[str, Any], at: str, target: str, notes: set[str]
) -> Any:
    made = [
        _part(part, f"{at}.content[{number}]", target, notes) for number, part in enumerate(parts)
    ]
    if all(part.get("type") == "text" for part in made) and message["role"] != "user":
        return "".join(part["text"] for part in made)
    if message["role"] == "tool":
        raise unsupported(at + ".content", target, "OpenAI's tool results are text")
    return made[0]["text"] if len(made) == 1 and made[0].get("type") == "text" else made


def _part(part: dict[str, Any], at: str, target: str, notes: set[str]) -> dict[str, Any]:
    kept = dict(part)
    if kept.pop("cache_control", None):
        notes.add("cache_control was dropped: OpenAI caches prompts by itself.")
    sort = kept.get("type")
    if sort == "native":
        raise unsupported(at, target, foreign(kept))
    if sort == "file":
        file = {k: v for k, v in kept["file"].items() if k in ("filename", "file_data", "file_id")}
        if not file.keys() & {"file_data", "file_id"}:
            raise unsupported(at, target, "a file by its address")
        if "file_data" in file:
            file.setdefault("filename", "file")
        kept["file"] = file
    return kept


def _tool(tool: dict[str, Any], index: int, target: str) -> dict[str, Any]:
    if tool.get("type") == "native":
        raise unsupported(f"tools[{index}]", target, foreign(tool))
    return {name: value for name, value in tool.items() if name != "cache_control"}
