"""A canonical call as OpenAI's dialect has it: what other surfaces added is taken out.

Clients of OpenAI's own surfaces are passed on untouched; this is for the others.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from modelyard.inference.call import CHAT, Call
from modelyard.inference.providers.parameters import (
    Rules,
    dropped,
    fit,
    foreign,
    refused,
    taken,
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
    "context_management": refused(),
    "mcp_servers": refused(),
    "diagnostics": dropped(),
    "inference_geo": refused("global"),
    "speed": refused("standard"),
    "user_profile_id": dropped(),
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
_ADDED = ("thinking_blocks", "is_error", "reasoning_content", "cache_control", "extra_content")
_LOW, _MEDIUM = 2_048, 12_288  # tokens of a thinking budget that is still called so


def conform(call: Call, name: str, model: str) -> tuple[Call, tuple[str, ...]]:
    """The call in OpenAI's own shape, and what was left out. Raises AttemptFailed."""
    warnings: list[str] = []
    target = f"{name}/{model}"
    body = dict(call.body)
    fit(body, RULES, target, warnings)
    for field, rule in RULES.items():
        if rule.verdict != "taken":
            body.pop(field, None)
    if call.kind == CHAT:
        _thinking(body)
        notes: set[str] = set()
        body["messages"] = [
            message
            for index, one in enumerate(body["messages"])
            if (message := _message(one, f"messages[{index}]", target, notes))
        ]
        if "tools" in body:
            body["tools"] = [_tool(tool, index, target) for index, tool in enumerate(body["tools"])]
        warnings += sorted(notes)
    return replace(call, body=body, raw=b""), tuple(warnings)


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
