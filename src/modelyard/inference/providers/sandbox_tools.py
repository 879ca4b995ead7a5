"""When the sandbox calls tools, and with which arguments."""

import re
from typing import Any

import msgspec
from msgspec import Struct

from modelyard.inference import tokens
from modelyard.inference.providers.sandbox_directives import refused
from modelyard.inference.providers.sandbox_json import mapping, objects
from modelyard.inference.providers.sandbox_schema import NoInstance, instance

_BETWEEN = re.compile(r"[\W_]+")
_SEARCHED = 20_000  # characters of a prompt


class ToolCall(Struct):
    """One call: its arguments, or a custom tool's input, in tokens."""

    name: str
    kind: str  # "function" or "custom"
    pieces: list[str]


def calls(body: dict[str, Any], prompt: str) -> list[ToolCall]:
    """The calls that answer the request; none where it is answered in words.

    ``tool_choice`` decides: "none" calls nothing, a named tool is called, and "required" calls
    the tools that the last user message names, or else the first. "auto" calls those it names,
    if that message is the last of all. Raises AttemptFailed (INVALID_REQUEST) for an unknown tool
    or parameters that allow nothing.
    """
    tools = {_name(tool): tool for tool in objects(body.get("tools"))}
    choice = body.get("tool_choice") or "auto"
    if not tools or choice == "none":
        return []
    named = None
    if isinstance(choice, dict):
        if isinstance(allowed := choice.get("allowed_tools"), dict):
            names = [_name(tool) for tool in objects(allowed.get("tools"))]
            tools = {name: _known(tools, name) for name in names}
            choice = allowed.get("mode") or "auto"
        else:
            named = _name(choice)
            _known(tools, named)
    if named is not None:
        chosen = [named]
    else:
        chosen = _mentioned(prompt, list(tools))
        if choice == "required":
            chosen = chosen or list(tools)[:1]
        elif (objects(body.get("messages")) or [{}])[-1].get("role") != "user":
            return []
    if body.get("parallel_tool_calls") is False:
        chosen = chosen[:1]
    return [_call(name, tools[name], prompt) for name in chosen]


def _name(tool: dict[str, Any]) -> str:
    return str(mapping(tool.get("function") or tool.get("custom")).get("name") or tool.get("type"))


def _known(tools: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in tools:
        raise refused(
            f"'tool_choice' names the tool {name[:100]!r}, which 'tools' lacks.", "tool_choice"
        )
    return tools[name]


def _mentioned(prompt: str, names: list[str]) -> list[str]:
    """The names that occur in the prompt, in any case, their parts joined or apart."""
    text = f" {_BETWEEN.sub(' ', prompt[:_SEARCHED]).lower()} "
    return [name for name in names if f" {_BETWEEN.sub(' ', name).lower().strip()} " in text]


def _call(name: str, tool: dict[str, Any], prompt: str) -> ToolCall:
    if "custom" in tool:
        return ToolCall(name, "custom", tokens.split(f"sandbox input: {prompt[:200]}"))
    schema = mapping(tool.get("function")).get("parameters")
    try:
        arguments = instance(schema) if schema else {}
    except NoInstance as error:
        raise refused(f"The parameters of the tool {name!r}: {error}.", "tools") from error
    return ToolCall(name, "function", tokens.split(msgspec.json.encode(arguments).decode()))
