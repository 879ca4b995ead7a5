"""A canonical call as a request of Bedrock's Converse."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from modelyard.inference.providers.anthropic_request import BUDGETED, BUDGETS
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
_NONE = dropped("Converse has none")

RULES: Rules = {
    "max_tokens": taken("`inferenceConfig.maxTokens`"),
    "max_completion_tokens": taken("`inferenceConfig.maxTokens`"),
    "temperature": taken(),
    "top_p": taken("`topP`"),
    "top_k": taken("`additionalModelRequestFields.top_k`"),
    "stop": taken("`stopSequences`"),
    "tools": taken("functions; `custom` tools are refused"),
    "tool_choice": taken("`none` only before any call; `allowed_tools` is refused"),
    "parallel_tool_calls": _NONE,
    "response_format": taken("`outputConfig.textFormat`; `json_object` is dropped"),
    "reasoning_effort": taken("`outputConfig.effort`; `thinking` of older Claude models"),
    "thinking": taken("`additionalModelRequestFields.thinking`"),
    "cache_control": dropped("on parts and tools it becomes a `cachePoint`"),
    "service_tier": taken("`serviceTier`"),
    "n": refused(1),
    "modalities": refused(["text"]),
    "audio": refused(),
    "web_search_options": refused(),
    "functions": refused([], remark="use `tools`"),
    "function_call": refused(remark="use `tool_choice`"),
    "presence_penalty": _NONE,
    "frequency_penalty": _NONE,
    "logit_bias": _NONE,
    "logprobs": _NONE,
    "top_logprobs": _NONE,
    "seed": _NONE,
    "prediction": _NONE,
    "verbosity": _NONE,
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
    "safety_settings": dropped("a guardrail is configured at Amazon"),
    "cached_content": refused(),
    "labels": dropped(),
    "media_resolution": dropped(),
    "speech_config": refused(),
    "image_config": refused(),
}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_VIDEOS = {"video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm", "video/mpeg": "mpeg"}
_AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3", "audio/flac": "flac", "audio/ogg": "ogg"}
_NAME = re.compile(r"[^A-Za-z0-9 \-()\[\]]+")


def write(body: Json, model: str, name: str, warnings: list[str]) -> Json:
    """The request for ``model``. Raises AttemptFailed for what cannot be said."""
    target = f"{name}/{model}"
    fit(body, RULES, target, warnings)
    system, messages = conversation(body["messages"], target)
    sent: Json = {"messages": messages}
    if system:
        sent["system"] = system
    config: Json = {}
    if wanted := body.get("max_completion_tokens") or body.get("max_tokens"):
        config["maxTokens"] = wanted
    if body.get("temperature") is not None:
        config["temperature"] = body["temperature"]
    if body.get("top_p") is not None:
        config["topP"] = body["top_p"]
    if stop := body.get("stop"):
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    if config:
        sent["inferenceConfig"] = config
    if tools := _tools(body, target):
        sent["toolConfig"] = tools
    if body.get("service_tier") not in (None, "auto", "standard_only"):
        sent["serviceTier"] = {"type": body["service_tier"]}
    _form(body, sent, target, warnings)
    _more(body, sent, model)
    return sent


def conversation(messages: list[Json], target: str) -> tuple[list[Json], list[Json]]:
    """The system's blocks, and the turns: results of tools belong to the user's."""
    system: list[Json] = []
    turns: list[Json] = []
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        role = message["role"]
        if role in ("system", "developer"):
            system += blocks(message.get("content"), at, target)
            continue
        if role in ("tool", "function"):
            said = _result(message, at, target)
        else:
            said = _said(message, at, target)
        role = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += said
        else:
            turns.append({"role": role, "content": said})
    return system, turns


def blocks(content: Any, at: str, target: str) -> list[Json]:
    """A message's content as blocks."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"text": content}]
    made: list[Json] = []
    for number, part in enumerate(content):
        made.append(_block(part, f"{at}.content[{number}]", target))
        made += _cached(part)
    return made


def _cached(item: Json) -> list[Json]:
    """Where the prompt up to here is to be cached."""
    control = item.get("cache_control")
    if not control:
        return []
    point = {"type": "default"}
    if control.get("ttl"):
        point["ttl"] = control["ttl"]
    return [{"cachePoint": point}]


def _block(part: Json, at: str, target: str) -> Json:
    sort = part.get("type")
    if sort in ("text", "refusal"):
        return {"text": part.get("text") or part.get("refusal") or ""}
    found = None if sort == "native" else media(part, at)
    if found is None:
        raise unsupported(at, target, foreign(part))
    if found.url.startswith("s3://"):
        source: Json = {"s3Location": {"uri": found.url}}
    elif found.data:
        source = {"bytes": found.data}
    else:
        raise unsupported(at, target, "a file by its address or id: send its bytes, or s3://…")
    kind = found.kind or ("image/png" if sort == "image_url" else "application/pdf")
    for name, formats in (("image", _IMAGES), ("video", _VIDEOS), ("audio", _AUDIO)):
        if kind in formats:
            return {name: {"format": formats[kind], "source": source}}
    if kind in _DOCUMENTS:
        title = _NAME.sub("-", found.name or "document")
        return {"document": {"format": _DOCUMENTS[kind], "name": title, "source": source}}
    raise unsupported(at, target, kind)


def _said(message: Json, at: str, target: str) -> list[Json]:
    made = [_thought(block) for block in message.get("thinking_blocks") or ()]
    made += blocks(message.get("content"), at, target)
    for number, call in enumerate(message.get("tool_calls") or ()):
        place = f"{at}.tool_calls[{number}]"
        function = call.get("function")
        if function is None:
            raise unsupported(place, target, str(call.get("type")))
        used = {
            "toolUseId": call["id"],
            "name": function["name"],
            "input": arguments(function, f"{place}.function.arguments"),
        }
        made += [{"toolUse": used}, *_cached(call)]
    return made


def _thought(block: Json) -> Json:
    if block.get("type") == "thinking":
        text = {"text": block.get("thinking") or "", "signature": block.get("signature") or ""}
        return {"reasoningContent": {"reasoningText": text}}
    return {"reasoningContent": {"redactedContent": block.get("data") or ""}}


def _result(message: Json, at: str, target: str) -> list[Json]:
    content = [
        block for block in blocks(message.get("content"), at, target) if "cachePoint" not in block
    ]
    result: Json = {
        "toolUseId": message.get("tool_call_id") or message.get("name") or "",
        "content": content or [{"text": ""}],
    }
    if message.get("is_error"):
        result["status"] = "error"
    return [{"toolResult": result}, *_cached(message)]


def _tools(body: Json, target: str) -> Json | None:
    choice = body.get("tool_choice")
    called = any(message.get("tool_calls") for message in body["messages"])
    if not body.get("tools") or (choice == "none" and not called):
        return None
    made: list[Json] = []
    for index, tool in enumerate(body["tools"]):
        function = tool.get("function")
        if function is None:
            raise unsupported(f"tools[{index}]", target, foreign(tool))
        spec: Json = {"name": function["name"]}
        if function.get("description"):
            spec["description"] = function["description"]
        schema = function.get("parameters") or {"type": "object", "properties": {}}
        spec["inputSchema"] = {"json": schema}
        if function.get("strict"):
            spec["strict"] = True
        made += [{"toolSpec": spec}, *_cached(tool)]
    config: Json = {"tools": made}
    if choice in ("auto", "required"):
        config["toolChoice"] = {"auto" if choice == "auto" else "any": {}}
    elif isinstance(choice, dict) and choice.get("function"):
        config["toolChoice"] = {"tool": {"name": choice["function"]["name"]}}
    elif choice is not None:
        raise unsupported("tool_choice", target, choice if isinstance(choice, str) else "")
    return config


def _form(body: Json, sent: Json, target: str, warnings: list[str]) -> None:
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        asked = form["json_schema"]
        schema: Json = {"schema": msgspec.json.encode(asked.get("schema") or {}).decode()}
        if asked.get("name"):
            schema["name"] = asked["name"]
        text = {"type": "json_schema", "structure": {"jsonSchema": schema}}
        sent["outputConfig"] = {"textFormat": text}
    elif form.get("type") == "json_object":
        warnings.append(f"response_format was dropped: {target} has JSON by a schema only.")


def _more(body: Json, sent: Json, model: str) -> None:
    more: Json = {}
    if body.get("top_k") is not None:
        more["top_k"] = body["top_k"]
    if body.get("thinking"):
        more["thinking"] = body["thinking"]
    elif effort := body.get("reasoning_effort"):
        if BUDGETED.search(model):
            if effort != "none":
                budget = BUDGETS.get(effort, BUDGETS["medium"])
                more["thinking"] = {"type": "enabled", "budget_tokens": budget}
        else:
            sent.setdefault("outputConfig", {})["effort"] = effort
    if more:
        sent["additionalModelRequestFields"] = more
