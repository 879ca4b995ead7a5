"""A canonical call as a request of Anthropic's Messages API."""

from __future__ import annotations

import re
from typing import Any

from modelyard.inference.providers.media import media
from modelyard.inference.providers.parameters import (
    Rules,
    arguments,
    dropped,
    fit,
    foreign,
    refused,
    taken,
    unsupported,
)

Json = dict[str, Any]
MAX_TOKENS = 4_096  # where the client names none: the API wants one
_IGNORED = dropped("ignored by Anthropic's API of OpenAI's shape")
_OWN = ("container", "context_management", "mcp_servers", "diagnostics", "inference_geo", "speed",
        "user_profile_id", "workspace_id")  # fmt: skip

RULES: Rules = {
    "max_tokens": taken(f"`max_tokens`, {MAX_TOKENS} when absent"),
    "max_completion_tokens": taken("`max_tokens`"),
    "temperature": taken("at most 1"),
    "top_p": taken(),
    "top_k": taken(),
    "stop": taken("`stop_sequences`"),
    "tools": taken("functions; `custom` tools are refused"),
    "tool_choice": taken("`allowed_tools` is refused"),
    "parallel_tool_calls": taken("`tool_choice.disable_parallel_tool_use`"),
    "response_format": taken("`output_config.format`; `json_object` is dropped"),
    "reasoning_effort": taken("`output_config.effort`; `thinking.budget_tokens` of older models"),
    "thinking": taken(),
    "cache_control": taken(),
    "user": taken("`metadata.user_id`"),
    **{name: taken() for name in _OWN},
    "input_examples": dropped("of tools; kept where a call passes untouched"),
    "defer_loading": dropped("of tools; kept where a call passes untouched"),
    "allowed_callers": dropped("of tools; kept where a call passes untouched"),
    "n": refused(1),
    "modalities": refused(["text"]),
    "audio": refused(),
    "web_search_options": refused(),
    "functions": refused([], remark="use `tools`"),
    "function_call": refused(remark="use `tool_choice`"),
    "presence_penalty": _IGNORED,
    "frequency_penalty": _IGNORED,
    "logit_bias": _IGNORED,
    "logprobs": _IGNORED,
    "top_logprobs": _IGNORED,
    "seed": _IGNORED,
    "service_tier": _IGNORED,
    "prediction": _IGNORED,
    "verbosity": _IGNORED,
    "safety_settings": dropped("the provider's own policy holds"),
    "labels": dropped(),
    "media_resolution": dropped(),
    "cached_content": refused(),
    "speech_config": refused(),
    "image_config": refused(),
}
_EFFORTS = {"minimal": "low"}
# Models before "effort": thinking is asked for by a budget (Anthropic, "Extended thinking").
BUDGETED = re.compile(r"claude-(3|(opus|sonnet|haiku)-4(-[0-5])?(-\d{8}|-latest|@|$))")
BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 4_096, "high": 16_384, "xhigh": 32_768}


def write(body: Json, model: str, name: str, warnings: list[str]) -> Json:
    """The request for ``model``. Raises AttemptFailed for what cannot be said."""
    target = f"{name}/{model}"
    fit(body, RULES, target, warnings)
    system, messages = conversation(body["messages"], target)
    wanted = body.get("max_completion_tokens") or body.get("max_tokens")
    sent: Json = {"model": model, "max_tokens": wanted or MAX_TOKENS, "messages": messages}
    if system:
        plain = len(system) == 1 and set(system[0]) == {"type", "text"}
        sent["system"] = system[0]["text"] if plain else system
    for field in ("temperature", "top_p", "top_k", "thinking", "cache_control", *_OWN):
        if body.get(field) is not None:
            sent[field] = body[field]
    if sent.get("temperature", 0) > 1:
        sent["temperature"] = 1
        warnings.append(f"temperature was lowered to 1, the most that {target} takes.")
    if stop := body.get("stop"):
        sent["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if body.get("user"):
        sent["metadata"] = {"user_id": body["user"]}
    if body.get("tools"):
        sent["tools"] = tools(body["tools"], target)
    if choice := tool_choice(body, target):
        sent["tool_choice"] = choice
    _form(body, sent, target, warnings)
    _effort(body, sent, model, bool(wanted))
    if body.get("stream"):
        sent["stream"] = True
    return sent


def conversation(messages: list[Json], target: str) -> tuple[list[Json], list[Json]]:
    """The system's blocks, and the turns: results of tools belong to the user's."""
    system: list[Json] = []
    turns: list[Json] = []
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        role, content = message["role"], message.get("content")
        if role in ("system", "developer"):
            system += blocks(content, at, target)
        elif role in ("tool", "function"):
            _turn(turns, "user", [_result(message, at, target)])
        elif role == "assistant":
            _turn(turns, "assistant", _said(message, at, target))
        else:
            plain = isinstance(content, str)
            _turn(turns, "user", content if plain else blocks(content, at, target))
    return system, turns


def _turn(turns: list[Json], role: str, content: Any) -> None:
    """Add to the turn of the same role, as roles alternate."""
    if not turns or turns[-1]["role"] != role:
        turns.append({"role": role, "content": content})
        return
    turns[-1]["content"] = _listed(turns[-1]["content"]) + _listed(content)


def _listed(content: Any) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def blocks(content: Any, at: str, target: str) -> list[Json]:
    """A message's content as blocks."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_block(part, f"{at}.content[{n}]", target) for n, part in enumerate(content)]


def _block(part: Json, at: str, target: str) -> Json:
    sort = part.get("type")
    if sort in ("text", "refusal"):
        made: Json = {"type": "text", "text": part.get("text") or part.get("refusal") or ""}
        if "citations" in part:
            made["citations"] = part["citations"]
    elif sort == "native" and part.get("dialect") == "anthropic":
        return dict(part["block"])
    elif sort in ("image_url", "file"):
        made = _source(part, at, target)
    else:
        raise unsupported(at, target, foreign(part))
    if part.get("cache_control"):
        made["cache_control"] = part["cache_control"]
    return made


def _source(part: Json, at: str, target: str) -> Json:
    found = media(part, at)
    if found is None:
        raise unsupported(at, target, str(part.get("type")))
    image = part["type"] == "image_url" or found.kind.startswith("image/")
    if found.file:
        source: Json = {"type": "file", "file_id": found.file}
    elif found.url:
        source = {"type": "url", "url": found.url}
    elif image or found.kind == "application/pdf":
        source = {"type": "base64", "media_type": found.kind, "data": found.data}
    elif found.kind.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": found.text(at)}
    else:
        raise unsupported(at, target, found.kind)
    made: Json = {"type": "image" if image else "document", "source": source}
    if not image:
        file = part["file"]
        if title := file.get("title") or found.name:
            made["title"] = title
        made |= {name: file[name] for name in ("context", "citations") if file.get(name)}
    return made


def _result(message: Json, at: str, target: str) -> Json:
    made: Json = {
        "type": "tool_result",
        "tool_use_id": message.get("tool_call_id") or message.get("name") or "",
    }
    content = message.get("content")
    if isinstance(content, str):
        made["content"] = content
    elif content:
        made["content"] = blocks(content, at, target)
    if message.get("is_error"):
        made["is_error"] = True
    if message.get("cache_control"):
        made["cache_control"] = message["cache_control"]
    return made


def _said(message: Json, at: str, target: str) -> list[Json] | str:
    content = message.get("content")
    calls = message.get("tool_calls") or []
    thoughts = message.get("thinking_blocks") or []
    if isinstance(content, str) and not calls and not thoughts:
        return content
    made = [*thoughts, *blocks(content, at, target)]
    for number, call in enumerate(calls):
        function = call.get("function")
        if function is None:
            raise unsupported(f"{at}.tool_calls[{number}]", target, str(call.get("type")))
        place = f"{at}.tool_calls[{number}].function.arguments"
        used = {
            "type": "tool_use",
            "id": call["id"],
            "name": function["name"],
            "input": arguments(function, place),
        }
        if call.get("cache_control"):
            used["cache_control"] = call["cache_control"]
        made.append(used)
    return made


def tools(listed: list[Json], target: str) -> list[Json]:
    """The tools the model may call."""
    made: list[Json] = []
    for index, tool in enumerate(listed):
        function = tool.get("function")
        if tool.get("type") == "native" and tool.get("dialect") == "anthropic":
            made.append(tool["tool"])
            continue
        if function is None:
            raise unsupported(f"tools[{index}]", target, foreign(tool))
        one: Json = {"name": function["name"]}
        if function.get("description"):
            one["description"] = function["description"]
        one["input_schema"] = function.get("parameters") or {"type": "object", "properties": {}}
        if function.get("strict"):
            one["strict"] = True
        if tool.get("cache_control"):
            one["cache_control"] = tool["cache_control"]
        made.append(one)
    return made


def tool_choice(body: Json, target: str) -> Json | None:
    """Which tool is to be called."""
    choice = body.get("tool_choice")
    made: Json | None = None
    if isinstance(choice, str):
        made = {"type": {"required": "any"}.get(choice, choice)}
    elif isinstance(choice, dict):
        if not choice.get("function"):
            raise unsupported("tool_choice", target, str(choice.get("type")))
        made = {"type": "tool", "name": choice["function"]["name"]}
    if body.get("parallel_tool_calls") is False and body.get("tools"):
        made = made or {"type": "auto"}
        if made["type"] != "none":
            made["disable_parallel_tool_use"] = True
    return made


def _form(body: Json, sent: Json, target: str, warnings: list[str]) -> None:
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = form["json_schema"].get("schema") or {}
        sent["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    elif form.get("type") == "json_object":
        warnings.append(f"response_format was dropped: {target} has JSON by a schema only.")


def _effort(body: Json, sent: Json, model: str, bounded: bool) -> None:
    asked = body.get("reasoning_effort")
    budget = (sent.get("thinking") or {}).get("budget_tokens") or 0
    if budget >= sent["max_tokens"] and not bounded:
        sent["max_tokens"] += budget
    if not asked or "thinking" in sent:
        if asked and asked != "none":
            sent.setdefault("output_config", {})["effort"] = _EFFORTS.get(asked, asked)
        return
    if asked == "none":
        sent["thinking"] = {"type": "disabled"}
    elif BUDGETED.search(model):
        budget = BUDGETS.get(asked, BUDGETS["medium"])
        if not bounded:
            sent["max_tokens"] += budget
        elif sent["max_tokens"] <= budget:
            budget = max(1_024, sent["max_tokens"] // 2)
        sent["thinking"] = {"type": "enabled", "budget_tokens": budget}
    else:
        sent["thinking"] = {"type": "adaptive"}
        sent.setdefault("output_config", {})["effort"] = _EFFORTS.get(asked, asked)
