"""A request of Gemini's generateContent as the canonical call."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import msgspec

from modelyard.inference.providers.media import data_uri
from modelyard.protocol.errors import Failure

Json = dict[str, Any]
_CONFIG = {
    "maxOutputTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "candidateCount": "n",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "stopSequences": "stop",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}
_READ_CONFIG = (*_CONFIG, "responseMimeType", "responseSchema", "responseJsonSchema",
                "thinkingConfig", "responseModalities")  # fmt: skip
_READ = ("contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "model")
_REDACTED = "redacted:"
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_encode = msgspec.json.encode


def canonical(asked: Json) -> Json:
    """The canonical request. What has no place in it keeps its name, for the dialects to judge."""
    body: Json = {}
    messages: list[Json] = []
    if system := asked.get("systemInstruction"):
        messages.append({"role": "system", "content": _text(system)})
    waiting: list[tuple[str, str]] = []  # called functions without a result: name and id
    for index, content in enumerate(asked["contents"]):
        _turn(content, index, messages, waiting)
    body["messages"] = messages
    if tools := asked.get("tools"):
        body["tools"] = [one for tool in tools for one in _tools(tool)]
    steering = asked.get("toolConfig") or {}
    if choice := steering.get("functionCallingConfig"):
        _choice(choice, body)
    body |= {snake(name): steering[name] for name in steering if name != "functionCallingConfig"}
    _config(asked.get("generationConfig") or {}, body)
    body |= {snake(name): value for name, value in asked.items() if name not in _READ}
    return body


def embedding(requests: list[Json]) -> Json:
    """The canonical request of texts to embed, which are all of one sort."""
    first = requests[0]
    body: Json = {
        "input": [_text(one["content"]) for one in requests],
        "encoding_format": "float",
    }
    parts = [part for one in requests for part in one["content"].get("parts") or ()]
    if foreign := [part for part in parts if "text" not in part]:
        body["content.parts"] = foreign  # for the dialects to judge
    for name, here in (("outputDimensionality", "dimensions"), ("taskType", "task_type"),
                       ("title", "title")):  # fmt: skip
        values = {one.get(name) for one in requests}
        if len(values) > 1:
            raise Failure(
                "INVALID_REQUEST",
                f"The field {name!r} differs between requests: send them apart.",
                details={"field": f"requests.{name}"},
            )
        if first.get(name) is not None:
            body[here] = first[name]
    return body


_OPAQUE = frozenset(
    {"args", "response", "parametersJsonSchema", "responseJsonSchema", "labels", "properties"}
)
_UNDERSCORE = re.compile(r"_([a-z0-9])")


def camel(value: Any) -> Any:
    """Members named as Google's JSON has them: it takes ``mime_type`` for ``mimeType``, and its
    own package mixes them. What clients name themselves stays.
    """
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    made: Json = {}
    for name, one in value.items():
        if "_" in name:
            name = _UNDERSCORE.sub(lambda found: found[1].upper(), name)
        made[name] = one if name in _OPAQUE else camel(one)
    return made


def snake(name: str) -> str:
    """``safetySettings`` as ``safety_settings``."""
    return _CAPITAL.sub(lambda found: "_" + found[1].lower(), name)


def _text(content: Json) -> str:
    """The text of a system's instruction, or of what is embedded."""
    return "".join(str(part.get("text") or "") for part in content.get("parts") or ())


def _turn(content: Json, index: int, messages: list[Json], waiting: list[tuple[str, str]]) -> None:
    parts = content.get("parts") or []
    if content.get("role") == "model":
        messages.append(_said(parts, index, waiting))
        return
    given: list[Json] = []
    for part in parts:
        if response := part.get("functionResponse"):
            messages.append(_result(response, waiting))
        else:
            given.append(_part(part))
    if given:
        messages.append({"role": "user", "content": _plain(given)})


def _plain(parts: list[Json]) -> Any:
    single = len(parts) == 1 and set(parts[0]) == {"type", "text"}
    return parts[0]["text"] if single else parts


def _said(parts: list[Json], index: int, waiting: list[tuple[str, str]]) -> Json:
    """The model's turn: thoughts, text, calls."""
    message: Json = {"role": "assistant", "content": None}
    texts: list[Json] = []
    thoughts = ""  # streams tell a thought in parts, the last one signed
    for part in parts:
        signature = part.get("thoughtSignature")
        if called := part.get("functionCall"):
            calls = message.setdefault("tool_calls", [])
            name = called.get("id") or f"call_{index}_{len(calls)}"
            function = {
                "name": called.get("name", ""),
                "arguments": _encode(called.get("args") or {}).decode(),
            }
            call: Json = {"id": name, "type": "function", "function": function}
            if signature:
                call["extra_content"] = {"google": {"thought_signature": signature}}
            calls.append(call)
            waiting.append((function["name"], name))
        elif part.get("thought"):
            thoughts += part.get("text") or ""
            if signature and (thought := _thought(thoughts, signature)):
                message.setdefault("thinking_blocks", []).append(thought)
                thoughts = ""
        else:
            texts.append(_part(part))
            if signature:
                message["extra_content"] = {"google": {"thought_signature": signature}}
    if texts:
        plain = all(set(part) == {"type", "text"} for part in texts)
        message["content"] = "".join(part["text"] for part in texts) if plain else texts
    return message


def signed(thought: Json) -> Json:
    """A thought of another dialect as a part; its signature travels as bytes of text."""
    if thought.get("type") == "thinking":
        part: Json = {"text": thought.get("thinking") or "", "thought": True}
        text = thought.get("signature") or ""
    else:
        part = {"text": "", "thought": True}
        text = _REDACTED + str(thought.get("data") or "")
    if text:
        part["thoughtSignature"] = base64.b64encode(text.encode()).decode()
    return part


def _thought(text: str, signature: str) -> Json | None:
    """What ``signed`` made of a thought; None for Google's own."""
    try:
        told = base64.b64decode(signature.translate(_URLSAFE), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    if told.startswith(_REDACTED):
        return {"type": "redacted_thinking", "data": told.removeprefix(_REDACTED)}
    return {"type": "thinking", "thinking": text, "signature": told}


_URLSAFE = str.maketrans("-_", "+/")


def _result(response: Json, waiting: list[tuple[str, str]]) -> Json:
    name = response.get("name", "")
    found = response.get("id")
    for number, (called, one) in enumerate(waiting):
        if one == found or (not found and called == name):
            found = one
            del waiting[number]
            break
    told = response.get("response") or {}
    message: Json = {"role": "tool", "tool_call_id": found or name, "name": name}
    if set(told) == {"error"}:
        message["is_error"] = True
    only = next(iter(told.values())) if set(told) in ({"result"}, {"output"}, {"error"}) else None
    text = only if isinstance(only, str) else _encode(told).decode()
    beside = [_part(part) for part in response.get("parts") or ()]
    message["content"] = [{"type": "text", "text": text}, *beside] if beside else text
    return message


def _part(part: Json) -> Json:
    """One part; what OpenAI's shape has no part for stays as it is, marked."""
    if "text" in part and "videoMetadata" not in part:
        return {"type": "text", "text": part["text"]}
    if (inline := part.get("inlineData")) and "videoMetadata" not in part:
        kind, data = inline.get("mimeType", ""), inline.get("data", "")
        if kind.startswith("image/"):
            return {"type": "image_url", "image_url": {"url": data_uri(kind, _standard(data))}}
        if kind in _AUDIO:
            audio = {"data": _standard(data), "format": _AUDIO[kind]}
            return {"type": "input_audio", "input_audio": audio}
        return {"type": "file", "file": {"file_data": data_uri(kind, _standard(data))}}
    if (file := part.get("fileData")) and "videoMetadata" not in part:
        kind, uri = file.get("mimeType", ""), file.get("fileUri", "")
        if kind.startswith("image/"):
            return {"type": "image_url", "image_url": {"url": uri}}
        return {"type": "file", "file": {"file_url": uri, "mime_type": kind}}
    return {"type": "native", "dialect": "gemini", "block": part}


_AUDIO = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
}


def _standard(data: str) -> str:
    """Base64 in the standard alphabet, padded: Google takes the other one too."""
    data = data.translate(_URLSAFE)
    return data + "=" * (-len(data) % 4)


def _tools(tool: Json) -> list[Json]:
    declared = tool.get("functionDeclarations")
    others = {name: value for name, value in tool.items() if name != "functionDeclarations"}
    made: list[Json] = [{"type": "native", "dialect": "gemini", "tool": others}] if others else []
    for one in declared or ():
        function: Json = {"name": one.get("name", "")}
        if one.get("description"):
            function["description"] = one["description"]
        if one.get("parametersJsonSchema"):
            function["parameters"] = one["parametersJsonSchema"]
        elif one.get("parameters"):
            function["parameters"] = schema(one["parameters"])
        made.append({"type": "function", "function": function})
    return made


def schema(given: Any) -> Any:
    """Google's Schema (OpenAPI 3.0, types in capitals) as JSON Schema."""
    if isinstance(given, list):
        return [schema(one) for one in given]
    if not isinstance(given, dict):
        return given
    made: Json = {}
    for name, value in given.items():
        if name == "type" and isinstance(value, str):
            made["type"] = value.lower()
        elif name == "properties" and isinstance(value, dict):
            made["properties"] = {key: schema(camel(one)) for key, one in value.items()}
        elif name in ("items", "anyOf"):
            made[name] = schema(value)
        elif name in ("minItems", "maxItems", "minLength", "maxLength") and isinstance(value, str):
            made[name] = int(value) if value.isdigit() else value
        elif name not in ("nullable", "propertyOrdering"):
            made[name] = value
    if given.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    return made


def _choice(choice: Json, body: Json) -> None:
    mode = {"ANY": "required", "NONE": "none"}.get(str(choice.get("mode")).upper(), "auto")
    names = choice.get("allowedFunctionNames") or []
    functions = [{"type": "function", "function": {"name": name}} for name in names]
    if len(names) == 1 and mode == "required":
        body["tool_choice"] = functions[0]
    elif names:
        allowed = {"mode": mode, "tools": functions}
        body["tool_choice"] = {"type": "allowed_tools", "allowed_tools": allowed}
    elif body.get("tools") and choice.get("mode"):
        body["tool_choice"] = mode


def _config(config: Json, body: Json) -> None:
    for name, here in _CONFIG.items():
        if config.get(name) is not None:
            body[here] = config[name]
    if isinstance(top := body.get("top_k"), float):  # as Google's package sends it
        body["top_k"] = int(top)
    form = config.get("responseJsonSchema") or schema(config.get("responseSchema"))
    if form:
        named = {"name": "answer", "schema": form}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    elif config.get("responseMimeType") == "application/json":
        body["response_format"] = {"type": "json_object"}
    elif config.get("responseMimeType") not in (None, "text/plain"):
        body["response_mime_type"] = config["responseMimeType"]
    if modalities := config.get("responseModalities"):
        body["modalities"] = [str(one).lower() for one in modalities]
    thinking = config.get("thinkingConfig") or {}
    if (budget := thinking.get("thinkingBudget")) is not None:
        if budget == 0:
            body["thinking"] = {"type": "disabled"}
        elif budget > 0:
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if level := thinking.get("thinkingLevel"):
        body["reasoning_effort"] = str(level).lower()
    body |= {snake(name): value for name, value in config.items() if name not in _READ_CONFIG}
