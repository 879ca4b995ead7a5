"""The Anthropic dialect: the Messages API.

Source of names: the ``anthropic`` package's types, and the API's documentation.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from modelyard.inference.call import CHAT, COUNT, Call
from modelyard.inference.providers import anthropic_request
from modelyard.inference.providers.remote import Json, SseFollower
from modelyard.settings import ProviderSettings

VERSION = "2023-06-01"
_NOT_COUNTED = ("max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "stream",
                "metadata")  # fmt: skip

FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class _Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: dict[str, Any] | None = None


class _Block(Struct):
    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: Any = None
    thinking: str = ""
    signature: str = ""
    data: str = ""


class _Details(Struct):
    explanation: str | None = None


class _Message(Struct, kw_only=True):
    id: str = ""
    model: str = ""
    content: list[_Block]
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: _Details | None = None
    usage: _Usage = field(default_factory=_Usage)


class _Delta(Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    signature: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: _Details | None = None


class _Event(Struct):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: Any = None


_message = msgspec.json.Decoder(_Message).decode
_event = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.encode


class Anthropic:
    """Implements ``Dialect``."""

    name = "anthropic"
    kinds = frozenset({CHAT, COUNT})
    stream_type = b"text/event-stream"

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def fields(self, settings: ProviderSettings) -> list[tuple[str, str]]:
        """See ``Dialect``."""
        return [("x-api-key", settings.api_key)] if settings.api_key else []

    def path(self, call: Call, model: str) -> str:
        """See ``Dialect``."""
        return "/messages/count_tokens" if call.kind == COUNT else "/messages"

    def write(self, call: Call, model: str, warnings: list[str]) -> Json:
        """See ``Dialect``."""
        sent = anthropic_request.write(call.body, model, self._provider, warnings)
        if call.kind == COUNT:
            for name in _NOT_COUNTED:
                sent.pop(name, None)
        return sent

    def pass_on(self, call: Call, model: str) -> bytes:
        """See ``Dialect``."""
        return (
            call.raw if call.native["model"] == model else _encode(call.native | {"model": model})
        )

    def lines(self, path: str, body: bytes, call: Call, passing: bool) -> bytes:
        """See ``Dialect``."""
        if passing and b"anthropic-version:" in call.forward:
            return call.forward
        return b"anthropic-version: %b\r\n%b" % (VERSION.encode(), call.forward if passing else b"")

    def read(self, body: bytes, call: Call, model: str) -> Json:
        """See ``Dialect``."""
        if call.kind == COUNT:
            counted = msgspec.json.decode(body, type=_Usage).input_tokens
            return {"object": "tokens", "input_tokens": counted or 0}
        answer = _message(body)
        return {
            "id": answer.id,
            "object": "chat.completion",
            "created": int(call.at),
            "model": answer.model or model,
            "choices": [_choice(answer)],
            "usage": usage(answer.usage),
        }

    def follow(self, call: Call, model: str, passing: bool) -> SseFollower:
        """See ``Dialect``."""
        return SseFollower(_Reader(int(call.at), model), passing)

    def error(self, body: Any) -> Json | None:
        """See ``Dialect``."""
        return error(body)


def error(body: Any) -> Json | None:
    """Anthropic's error object; a prompt that is too long is told by its words alone."""
    found = body.get("error") if isinstance(body, dict) else None
    if not isinstance(found, dict):
        return None
    text = str(found.get("message") or "")
    if "prompt is too long" in text or "exceed context limit" in text:
        return found | {"code": "context_length_exceeded"}
    return found


def _choice(answer: _Message) -> Json:
    message: Json = {"role": "assistant", "content": None}
    text = [block.text for block in answer.content if block.type == "text"]
    if text:
        message["content"] = "".join(text)
    thoughts = [_thought(b) for b in answer.content if b.type in _THOUGHTS]
    if thoughts:
        message["reasoning_content"] = "".join(one.get("thinking", "") for one in thoughts)
        message["thinking_blocks"] = thoughts
    calls = [_call(block) for block in answer.content if block.type == "tool_use"]
    if calls:
        message["tool_calls"] = calls
    message["refusal"] = _refusal(answer.stop_reason, answer.stop_details)
    choice: Json = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish(answer.stop_reason),
    }
    if answer.stop_sequence:
        choice["stop_reason"] = answer.stop_sequence
    return choice


_THOUGHTS = ("thinking", "redacted_thinking")


def _thought(block: _Block) -> Json:
    if block.type == "thinking":
        return {"type": "thinking", "thinking": block.thinking, "signature": block.signature}
    return {"type": "redacted_thinking", "data": block.data}


def _call(block: _Block) -> Json:
    text = _encode(block.input or {}).decode()
    function = {"name": block.name, "arguments": text}
    return {"id": block.id, "type": "function", "function": function}


def _refusal(reason: str | None, details: _Details | None) -> str | None:
    return details.explanation if reason == "refusal" and details is not None else None


def finish(reason: str | None) -> str | None:
    """OpenAI's word for a stop reason; an unknown one means that the answer is over."""
    return FINISHES.get(reason, "stop") if reason else None


def usage(sent: _Usage) -> Json:
    """OpenAI's usage: cached tokens are part of the prompt's."""
    cached = sent.cache_read_input_tokens or 0
    written = sent.cache_creation_input_tokens or 0
    prompt = (sent.input_tokens or 0) + cached + written
    output = sent.output_tokens or 0
    thought = (sent.output_tokens_details or {}).get("thinking_tokens")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": thought or 0},
    }


class _Reader:
    """Implements ``EventReader``."""

    def __init__(self, created: int, model: str) -> None:
        self._top: Json = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._usage = _Usage()
        self._calls = -1
        self._calling = False  # the open block is a call of the client's, not of the server's
        self._thinking: list[str] = []

    def chunks(self, data: bytes) -> list[Json] | None:
        """See ``EventReader``."""
        event = _event(data)
        if event.type == "content_block_delta" and event.delta is not None:
            return self._delta(event.delta)
        if event.type == "content_block_start" and event.content_block is not None:
            return self._start(event.content_block)
        if event.type == "message_start" and event.message is not None:
            self._top |= {"id": event.message.id, "model": event.message.model}
            self._learn(event.message.usage)
            return [self._chunk({"role": "assistant", "content": ""})]
        if event.type == "message_delta" and event.delta is not None:
            return self._end(event.delta, event.usage)
        if event.type == "error":
            return [{"error": event.error or {"message": "unknown"}}]
        return None if event.type == "message_stop" else []

    def _chunk(self, delta: Json, **more: Any) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} | more
        return self._top | {"choices": [choice]}

    def _delta(self, delta: _Delta) -> list[Json]:
        if delta.type == "text_delta":
            return [self._chunk({"content": delta.text})]
        if delta.type == "input_json_delta":
            if not delta.partial_json or not self._calling:
                return []
            part = {"index": self._calls, "function": {"arguments": delta.partial_json}}
            return [self._chunk({"tool_calls": [part]})]
        if delta.type == "thinking_delta":
            self._thinking.append(delta.thinking)
            return [self._chunk({"reasoning_content": delta.thinking})]
        if delta.type == "signature_delta":
            text, self._thinking = "".join(self._thinking), []
            block = {"type": "thinking", "thinking": text, "signature": delta.signature}
            return [self._chunk({"thinking_blocks": [block]})]
        return []

    def _start(self, block: _Block) -> list[Json]:
        self._calling = block.type == "tool_use"
        if self._calling:
            self._calls += 1
            made = {"id": block.id, "type": "function",
                    "function": {"name": block.name, "arguments": ""}}  # fmt: skip
            return [self._chunk({"tool_calls": [{"index": self._calls, **made}]})]
        if block.type == "redacted_thinking":
            return [self._chunk({"thinking_blocks": [_thought(block)]})]
        return [self._chunk({"content": block.text})] if block.text else []

    def _end(self, delta: _Delta, used: _Usage | None) -> list[Json]:
        if used is not None:
            self._learn(used)
        if delta.stop_reason is None:
            return []
        said: Json = {}
        if refusal := _refusal(delta.stop_reason, delta.stop_details):
            said["refusal"] = refusal
        more: Json = {"finish_reason": finish(delta.stop_reason)}
        if delta.stop_sequence:
            more["stop_reason"] = delta.stop_sequence
        return [
            self._chunk(said, **more),
            self._top | {"choices": [], "usage": usage(self._usage)},
        ]

    def _learn(self, used: _Usage) -> None:
        """Later figures are cumulative; what is not repeated holds."""
        for name in _Usage.__struct_fields__:
            if (value := getattr(used, name)) is not None:
                setattr(self._usage, name, value)
