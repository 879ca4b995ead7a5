"""A canonical call as a request of Gemini's generateContent."""

from __future__ import annotations

import mimetypes
from typing import Any

import msgspec

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
MADE = "gemini_"  # ids of calls that the API gave none begin so
_IGNORED = dropped("ignored by Google's API of OpenAI's shape")
_PICTURES = (["image"], ["text", "image"], ["image", "text"])

RULES: Rules = {
    "max_tokens": taken("`maxOutputTokens`"),
    "max_completion_tokens": taken("`maxOutputTokens`"),
    "temperature": taken(),
    "top_p": taken("`topP`"),
    "top_k": taken("`topK`"),
    "n": taken("`candidateCount`"),
    "stop": taken("`stopSequences`"),
    "seed": taken(),
    "presence_penalty": taken(),
    "frequency_penalty": taken(),
    "tools": taken("functions; `custom` tools are refused"),
    "tool_choice": taken("`functionCallingConfig`"),
    "parallel_tool_calls": _IGNORED,
    "response_format": taken("`responseJsonSchema`"),
    "reasoning_effort": taken("`thinkingLevel`; `thinkingBudget` of Gemini 2.5"),
    "thinking": taken("`thinkingBudget`"),
    "safety_settings": taken("`safetySettings`"),
    "cached_content": taken("`cachedContent`"),
    "labels": taken(),
    "media_resolution": taken(),
    "speech_config": taken(),
    "image_config": taken(),
    "modalities": refused(["text"], *_PICTURES, remark="or with `image`: `responseModalities`"),
    "audio": refused(),
    "web_search_options": refused(),
    "functions": refused([], remark="use `tools`"),
    "function_call": refused(remark="use `tool_choice`"),
    "logit_bias": _IGNORED,
    "logprobs": _IGNORED,
    "top_logprobs": _IGNORED,
    "service_tier": _IGNORED,
    "prediction": _IGNORED,
    "verbosity": _IGNORED,
    "cache_control": dropped("Gemini caches prompts by itself"),
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
    "dimensions": taken("`outputDimensionality`"),
    "encoding_format": taken(),
    "task_type": taken(),
    "title": taken(),
}
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "media_resolution": "mediaResolution",
    "speech_config": "speechConfig",
    "image_config": "imageConfig",
}
_BUDGETS = {"none": 0, "minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576}
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}


def write(body: Json, model: str, name: str, warnings: list[str]) -> Json:
    """The request for ``model``. Raises AttemptFailed for what cannot be said."""
    target = f"{name}/{model}"
    fit(body, RULES, target, warnings)
    notes: set[str] = set()
    system, contents = conversation(body["messages"], target, notes)
    sent: Json = {"contents": contents}
    if system:
        sent["systemInstruction"] = {"parts": system}
    if body.get("tools"):
        sent["tools"] = tools(body["tools"], target)
    if choice := _choice(body.get("tool_choice"), target):
        sent["toolConfig"] = {"functionCallingConfig": choice}
    if config := _config(body, model):
        sent["generationConfig"] = config
    for there, here in (
        ("safetySettings", "safety_settings"),
        ("cachedContent", "cached_content"),
        ("labels", "labels"),
    ):
        if body.get(here) is not None:
            sent[there] = body[here]
    warnings += sorted(notes)
    return sent


def conversation(
    messages: list[Json], target: str, notes: set[str]
) -> tuple[list[Json], list[Json]]:
    """The system's parts, and the turns of ``user`` and ``model``."""
    system: list[Json] = []
    turns: list[Json] = []
    names: dict[str, str] = {}  # of called functions, by the call's id
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        role = message["role"]
        if role in ("system", "developer"):
            system += parts(message, at, target, notes)
        elif role in ("tool", "function"):
            _turn(turns, "user", _response(message, names, at, target, notes))
        elif role == "assistant":
            _turn(turns, "model", _said(message, names, at, target, notes))
        else:
            _turn(turns, "user", parts(message, at, target, notes))
    return system, turns


def _turn(turns: list[Json], role: str, said: list[Json]) -> None:
    if turns and turns[-1]["role"] == role:
        turns[-1]["parts"] += said
    elif said:
        turns.append({"role": role, "parts": said})


def parts(message: Json, at: str, target: str, notes: set[str]) -> list[Json]:
    """A message's content."""
    content = message.get("content")
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"text": content}]
    return [
        _part(part, f"{at}.content[{number}]", target, notes) for number, part in enumerate(content)
    ]


def _part(part: Json, at: str, target: str, notes: set[str]) -> Json:
    if part.get("cache_control"):
        notes.add("cache_control was dropped: Gemini caches prompts by itself.")
    sort = part.get("type")
    if sort in ("text", "refusal"):
        return {"text": part.get("text") or part.get("refusal") or ""}
    if sort == "native" and part.get("dialect") == "gemini":
        return dict(part["block"])
    found = None if sort == "native" else media(part, at)
    if found is None:
        raise unsupported(at, target, foreign(part))
    if found.data:
        return {"inlineData": {"mimeType": found.kind, "data": found.data}}
    made = {"fileUri": found.url or found.file}
    if kind := found.kind or mimetypes.guess_type(found.url.partition("?")[0])[0]:
        made["mimeType"] = kind
    return {"fileData": made}


def _said(
    message: Json, names: dict[str, str], at: str, target: str, notes: set[str]
) -> list[Json]:
    made = parts(message, at, target, notes)
    if made and (signature := _signature(message)):
        made[-1]["thoughtSignature"] = signature
    for number, call in enumerate(message.get("tool_calls") or ()):
        place = f"{at}.tool_calls[{number}]"
        function = call.get("function")
        if function is None:
            raise unsupported(place, target, str(call.get("type")))
        names[call.get("id", "")] = function["name"]
        used: Json = {"name": function["name"]}
        used["args"] = arguments(function, f"{place}.function.arguments")
        part: Json = {"functionCall": _named(call.get("id"), used)}
        if signature := _signature(call):
            part["thoughtSignature"] = signature
        made.append(part)
    return made


def _named(name: str | None, made: Json) -> Json:
    """With the call's id, unless that was made up here."""
    return {"id": name, **made} if name and not name.startswith(MADE) else made


def _signature(said: Json) -> str | None:
    found = said.get("extra_content")
    found = found.get("google") if isinstance(found, dict) else None
    return found.get("thought_signature") if isinstance(found, dict) else None


def _response(
    message: Json, names: dict[str, str], at: str, target: str, notes: set[str]
) -> list[Json]:
    """A tool's result; what it holds beside text follows it."""
    said = parts(message, at, target, notes)
    text = "".join(part["text"] for part in said if "text" in part)
    name = message.get("tool_call_id") or ""
    called = names.get(name) or message.get("name") or name
    made = _named(name, {"name": called, "response": _object(text, bool(message.get("is_error")))})
    return [{"functionResponse": made}, *(part for part in said if "text" not in part)]


def _object(text: str, failed: bool) -> Json:
    """Results are objects here: one that is none is told as ``result`` or ``error``."""
    if failed:
        return {"error": text}
    try:
        found = msgspec.json.decode(text) if text.startswith("{") else None
    except (msgspec.DecodeError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"result": text}


def tools(listed: list[Json], target: str) -> list[Json]:
    """Functions together, tools of Google's own beside them."""
    functions: list[Json] = []
    own: list[Json] = []
    for index, tool in enumerate(listed):
        function = tool.get("function")
        if tool.get("type") == "native" and tool.get("dialect") == "gemini":
            own.append(tool["tool"])
            continue
        if function is None:
            raise unsupported(f"tools[{index}]", target, foreign(tool))
        one = {"name": function["name"]}
        if function.get("description"):
            one["description"] = function["description"]
        if function.get("parameters"):
            one["parametersJsonSchema"] = function["parameters"]
        functions.append(one)
    return [*([{"functionDeclarations": functions}] if functions else []), *own]


def _choice(choice: Any, target: str) -> Json | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        return {"mode": _MODES.get(choice, choice.upper())}
    if function := choice.get("function"):
        return {"mode": "ANY", "allowedFunctionNames": [function["name"]]}
    if allowed := choice.get("allowed_tools"):
        names = [tool["function"]["name"] for tool in allowed["tools"]]
        mode = _MODES.get(allowed.get("mode", "auto"), "AUTO")
        return {"mode": "VALIDATED" if mode == "AUTO" else mode, "allowedFunctionNames": names}
    raise unsupported("tool_choice", target, str(choice.get("type")))


def _config(body: Json, model: str) -> Json:
    config: Json = {}
    if wanted := body.get("max_completion_tokens") or body.get("max_tokens"):
        config["maxOutputTokens"] = wanted
    for here, there in _SAMPLING.items():
        if body.get(here) is not None:
            config[there] = body[here]
    if stop := body.get("stop"):
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    form = body.get("response_format") or {}
    if form.get("type") in ("json_schema", "json_object"):
        config["responseMimeType"] = "application/json"
    if form.get("type") == "json_schema":
        config["responseJsonSchema"] = form["json_schema"].get("schema") or {}
    if body.get("modalities") in _PICTURES:
        config["responseModalities"] = [one.upper() for one in body["modalities"]]
    if thinking := _thinking(body, model):
        config["thinkingConfig"] = thinking
    return config


def _thinking(body: Json, model: str) -> Json | None:
    asked, thinking = body.get("reasoning_effort"), body.get("thinking") or {}
    if budget := thinking.get("budget_tokens"):
        return {"thinkingBudget": budget, "includeThoughts": True}
    if thinking.get("type") == "disabled" or asked == "none":
        return {"thinkingBudget": 0}
    if not asked:
        return {"includeThoughts": True} if thinking else None
    if "gemini-2" in model:
        return {"thinkingBudget": _BUDGETS.get(asked, 24_576), "includeThoughts": True}
    level = asked if asked in _BUDGETS else "high"
    return {"thinkingLevel": level.upper(), "includeThoughts": True}
