"""A request of Anthropic's Messages API as the canonical call."""

from __future__ import annotations

from typing import Any

import msgspec

from modelyard.inference.providers.media import data_uri

Json = dict[str, Any]
_SAME = ("model", "max_tokens", "stream", "temperature", "top_p", "top_k", "thinking",
         "cache_control")  # fmt: skip
_READ = (*_SAME, "messages", "system", "stop_sequences", "metadata", "tools", "tool_choice",
         "output_config", "output_format", "service_tier")  # fmt: skip
GOOGLE = "google."  # a redacted thought that begins so is Google's signature of what follows it
_CHOICES = {"any": "required"}
_encode = msgspec.json.encode


# What a tool may have that no other dialect's tool has: named once for all of them.
_OF_TOOLS = ("input_examples", "defer_loading", "allowed_callers")


def canonical(asked: Json) -> Json:
    """The canonical request. What has no place in it keeps its name, for the dialects to judge."""
    body: Json = {name: asked[name] for name in _SAME if asked.get(name) is not None}
    messages: list[Json] = []
    if system := asked.get("system"):
        content = system if isinstance(system, str) else [_part(block) for block in system]
        messages.append({"role": "system", "content": content})
    for turn in asked["messages"]:
        _turn(turn, messages)
    body["messages"] = messages
    if asked.get("stop_sequences"):
        body["stop"] = asked["stop_sequences"]
    if user := (asked.get("metadata") or {}).get("user_id"):
        body["user"] = user
    if tools := asked.get("tools"):
        body["tools"] = [_tool(tool) for tool in tools]
        body |= {name: True for name in _OF_TOOLS if any(tool.get(name) for tool in tools)}
    if choice := asked.get("tool_choice"):
        _choice(choice, body)
    _output(asked.get("output_config") or {}, body)
    if form := asked.get("output_format"):  # its name while it was in beta
        _output({"format": form}, body)
    body |= {name: value for name, value in asked.items() if name not in _READ}
    return body


def _turn(turn: Json, messages: list[Json]) -> None:
    role, content = turn["role"], turn["content"]
    if isinstance(content, str):
        messages.append({"role": role, "content": content})
    elif role == "assistant":
        messages.append(_said(content))
    else:
        parts: list[Json] = []
        for block in content:
            if block["type"] == "tool_result":
                messages.append(_result(block))
            else:
                parts.append(_part(block))
        if parts:
            messages.append({"role": role, "content": parts})


def _said(content: list[Json]) -> Json:
    """An assistant's turn: thoughts, text, calls."""
    message: Json = {"role": "assistant", "content": None}
    texts: list[Json] = []
    signature: Json = {}
    for block in content:
        if str(block.get("data")).startswith(GOOGLE):
            mark = {"thought_signature": block["data"].removeprefix(GOOGLE)}
            signature = {"extra_content": {"google": mark}}
        elif strange(block):
            continue
        elif block["type"] in ("thinking", "redacted_thinking"):
            message.setdefault("thinking_blocks", []).append(block)
        elif block["type"] == "tool_use":
            message.setdefault("tool_calls", []).append(_call(block) | signature)
            signature = {}
        else:
            texts.append(_part(block))
    message |= signature
    if texts:
        plain = all(set(part) == {"type", "text"} for part in texts)
        message["content"] = "".join(part["text"] for part in texts) if plain else texts
    return message


def strange(block: Json) -> bool:
    """Whether a block is a thought of another vendor's model: Anthropic signs all of its own."""
    if block["type"] == "thinking":
        return not block.get("signature")
    return str(block.get("data")).startswith(GOOGLE)


def _call(block: Json) -> Json:
    text = _encode(block.get("input") or {}).decode()
    function = {"name": block.get("name", ""), "arguments": text}
    call: Json = {"id": block.get("id", ""), "type": "function", "function": function}
    return _cached(block, call)


def _result(block: Json) -> Json:
    content = block.get("content")
    if isinstance(content, list):
        content = [_part(one) for one in content]
        if all(set(part) == {"type", "text"} for part in content):
            content = "".join(part["text"] for part in content)
    message: Json = {
        "role": "tool",
        "tool_call_id": block.get("tool_use_id", ""),
        "content": content or "",
    }
    if block.get("is_error"):
        message["is_error"] = True
    return _cached(block, message)


def _cached(block: Json, made: Json) -> Json:
    if block.get("cache_control"):
        made["cache_control"] = block["cache_control"]
    return made


def _part(block: Json) -> Json:
    """One block as a part; what OpenAI's shape has no part for stays as it is, marked."""
    made: Json | None = None
    sort = block["type"]
    if sort == "text" and not block.get("citations"):
        made = {"type": "text", "text": block.get("text", "")}
    elif sort == "image":
        made = _image(block.get("source") or {})
    elif sort == "document":
        made = _document(block)
    if made is None:
        return {"type": "native", "dialect": "anthropic", "block": block}
    return _cached(block, made)


def _image(source: Json) -> Json | None:
    sort = source.get("type")
    if sort == "base64":
        url = data_uri(source.get("media_type", ""), source.get("data", ""))
    elif sort == "url":
        url = source.get("url", "")
    else:
        return None
    return {"type": "image_url", "image_url": {"url": url}}


def _document(block: Json) -> Json | None:
    source = block.get("source") or {}
    sort = source.get("type")
    file: Json
    if sort == "base64":
        file = {"file_data": data_uri(source.get("media_type", ""), source.get("data", ""))}
    elif sort == "text":
        return None if block.get("citations") else _text(block, source)
    elif sort == "url":
        file = {"file_url": source.get("url", ""), "mime_type": "application/pdf"}
    else:
        return None
    if block.get("title"):
        file["filename"] = block["title"]
    file |= {name: block[name] for name in ("context", "citations") if block.get(name)}
    return {"type": "file", "file": file}


def _text(block: Json, source: Json) -> Json:
    """A document of plain text is text, under its title."""
    title = block.get("title")
    text = source.get("data", "")
    return {"type": "text", "text": f"{title}\n\n{text}" if title else text}


def _tool(tool: Json) -> Json:
    if tool.get("type") not in (None, "custom") or "input_schema" not in tool:
        return {"type": "native", "dialect": "anthropic", "tool": tool}
    function: Json = {"name": tool.get("name", ""), "parameters": tool["input_schema"]}
    if tool.get("description"):
        function["description"] = tool["description"]
    if tool.get("strict"):
        function["strict"] = True
    return _cached(tool, {"type": "function", "function": function})


def _choice(choice: Json, body: Json) -> None:
    sort = choice.get("type")
    if sort == "tool":
        function = {"name": choice.get("name", "")}
        body["tool_choice"] = {"type": "function", "function": function}
    else:
        body["tool_choice"] = _CHOICES.get(str(sort), sort)
    if choice.get("disable_parallel_tool_use"):
        body["parallel_tool_calls"] = False


def _output(config: Json, body: Json) -> None:
    body |= {name: config[name] for name in config if name not in ("effort", "format")}
    if config.get("effort"):
        body["reasoning_effort"] = config["effort"]
    form = config.get("format") or {}
    if form.get("type") == "json_schema":
        named = {"name": "answer", "schema": form.get("schema") or {}, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
