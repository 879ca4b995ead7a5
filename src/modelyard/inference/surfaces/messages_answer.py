"""Answers as Anthropic's Messages API gives them, streamed and whole."""

from __future__ import annotations

from typing import Any

import msgspec

from modelyard.inference.admission import Meter
from modelyard.inference.answer import Answer
from modelyard.inference.call import Call, Usage
from modelyard.inference.canonical import Called, Choice, Completed, Said, google_signature
from modelyard.inference.surfaces.inbound import Inbound
from modelyard.inference.surfaces.messages_request import GOOGLE
from modelyard.inference.surfaces.translating import Json, TranslatingDelivery, unreadable
from modelyard.protocol.errors import DOCS, Failure

_encode = msgspec.json.encode
_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class MessagesDelivery(TranslatingDelivery):
    """Sends Anthropic's messages."""

    def __init__(self, inbound: Inbound, call: Call | None = None) -> None:
        super().__init__(inbound, call)
        self._writer = _Writer(inbound.record_id)

    def whole(self, answer: Answer, completed: Completed) -> Any:
        """See ``TranslatingDelivery``."""
        if not completed.choices or (said := completed.choices[0].message) is None:
            raise unreadable("it has no message")
        choice = completed.choices[0]
        return {
            "id": completed.id or "msg_" + self.inbound.record_id,
            "type": "message",
            "role": "assistant",
            "model": completed.model or answer.target,
            "content": _content(said, self.inbound.record_id),
            "stop_reason": _stop_reason(choice),
            "stop_sequence": choice.stop_sequence,
            "usage": _usage(answer.usage),
        }

    def chunk(self, completed: Completed) -> bytes:
        """See ``TranslatingDelivery``."""
        return self._writer.chunk(completed)

    def ending(self, answer: Answer, untouched: bytes | None) -> bytes:
        """See ``TranslatingDelivery``."""
        return _STOP if untouched is not None else self._writer.end(answer) + _STOP

    def head(
        self, kind: bytes, meter: Meter | None, answer: Answer | None, extra: bytes = b""
    ) -> bytes:
        """With the request's id under Anthropic's name of it."""
        extra += b"request-id: %b\r\n" % self.inbound.request_id.encode()
        return super().head(kind, meter, answer, extra)

    def failure_body(self, failure: Failure) -> bytes:
        """Anthropic's error envelope with our code and details inside."""
        return _encode(self._error(failure))

    def failure_event(self, failure: Failure) -> bytes:
        """The error event that Anthropic's clients raise on."""
        return _event("error", self._error(failure))

    def _error(self, failure: Failure) -> Json:
        return envelope(failure, self.inbound.request_id)


def envelope(failure: Failure, request_id: str) -> Json:
    """Anthropic's error envelope."""
    status = failure.status
    error = {
        "type": _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error"),
        "message": failure.message,
        "code": failure.code.symbol,
        "details": failure.details,
        "documentation": DOCS + failure.code.symbol,
        "retryable": failure.retryable,
    }
    return {"type": "error", "error": error, "request_id": request_id}


class CountDelivery(MessagesDelivery):
    """Sends a count of tokens."""

    def whole(self, answer: Answer, completed: Completed) -> Any:
        """See ``TranslatingDelivery``."""
        return {"input_tokens": completed.input_tokens}


def _content(said: Said, record: str) -> list[Json]:
    """Thoughts, text, calls: in the order the API has them."""
    blocks: list[Json] = list(said.thinking_blocks or ())
    if not blocks and said.thought:
        blocks.append({"type": "thinking", "thinking": said.thought, "signature": ""})
    if text := said.text:
        blocks.append({"type": "text", "text": text})
    blocks += _google(said.extra_content)
    for number, call in enumerate(said.tool_calls or ()):
        blocks += _google(call.extra_content)
        blocks.append(_used(call, number, record) | {"input": _input(call)})
    return blocks


def _google(extra: Json | None) -> list[Json]:
    """Google's signature of a thought, in a block that clients send back as it came."""
    signature = google_signature(extra)
    return [{"type": "redacted_thinking", "data": GOOGLE + signature}] if signature else []


def _used(call: Called, number: int, record: str) -> Json:
    name = call.function.name if call.function else None
    return {"type": "tool_use", "id": call.id or f"toolu_{record}{number}", "name": name or ""}


def _input(call: Called) -> Any:
    """The arguments as an object; a model may write what is none."""
    text = (call.function.arguments if call.function else None) or "{}"
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"arguments": text}


def _stop_reason(choice: Choice) -> str:
    if choice.message is not None and choice.message.refusal:
        return "refusal"
    if choice.stop_sequence and choice.finish_reason == "stop":
        return "stop_sequence"
    return _STOPS.get(choice.finish_reason or "stop", "end_turn")


def _usage(usage: Usage | None) -> Json:
    usage = usage or Usage()
    written, cached = usage.cache_write_tokens, usage.cached_tokens
    return {
        "input_tokens": max(0, usage.input_tokens - written - cached),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.output_tokens,
    }


def _event(name: str, data: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data))


class _Writer:
    """Events of one stream: a message of blocks, one open at a time."""

    def __init__(self, record: str) -> None:
        self._record = record
        self._started = False
        self._index = -1  # of the last block
        self._open = ""  # its type, while it is open
        self._call: int | None = None  # OpenAI's index of the open tool call
        self._calls = 0
        self._last = Choice()
        self._refused = False

    def chunk(self, completed: Completed) -> bytes:
        """What a chunk adds."""
        out = b"" if self._started else self._start(completed)
        for choice in completed.choices:
            if choice.delta is not None:
                out += self._delta(choice.delta)
            if choice.finish_reason:
                self._last = choice
                out += self._close()
        return out

    def end(self, answer: Answer) -> bytes:
        """Why and with what usage the message ended."""
        delta = {
            "stop_reason": "refusal" if self._refused else _stop_reason(self._last),
            "stop_sequence": self._last.stop_sequence,
        }
        data = {"type": "message_delta", "delta": delta, "usage": _usage(answer.usage)}
        return self._close() + _event("message_delta", data)

    def _start(self, completed: Completed) -> bytes:
        self._started = True
        message: Json = {
            "id": completed.id or "msg_" + self._record,
            "type": "message",
            "role": "assistant",
            "model": completed.model or "",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},  # told by message_delta
        }
        return _event("message_start", {"type": "message_start", "message": message})

    def _delta(self, said: Said) -> bytes:
        out = b""
        if said.thought:
            out += self._within("thinking", {"thinking": "", "signature": ""})
            out += self._add({"type": "thinking_delta", "thinking": said.thought})
        for block in said.thinking_blocks or ():
            out += self._thought(block)
        self._refused = self._refused or bool(said.refusal)
        if text := said.text:
            out += self._within("text", {"text": ""})
            out += self._add({"type": "text_delta", "text": text})
        out += self._marks(said.extra_content)
        for call in said.tool_calls or ():
            out += self._tool(call)
        return out

    def _marks(self, extra: Json | None) -> bytes:
        blocks = _google(extra)
        return b"".join([self._begin(str(one["type"]), one) + self._close() for one in blocks])

    def _thought(self, block: Json) -> bytes:
        if block.get("type") != "thinking":
            return self._begin(str(block.get("type")), block) + self._close()
        out = b""
        if self._open != "thinking":
            out = self._within("thinking", {"thinking": "", "signature": ""})
            thought = {"type": "thinking_delta", "thinking": block.get("thinking") or ""}
            out += self._add(thought)
        if signature := block.get("signature"):
            out += self._add({"type": "signature_delta", "signature": signature}) + self._close()
        return out

    def _tool(self, call: Called) -> bytes:
        out = b""
        index = call.index or 0
        if self._open != "tool_use" or index != self._call:
            if index < self._calls:
                raise unreadable("pieces of two tool calls are mixed")
            used = _used(call, index, self._record)
            del used["type"]
            out = self._marks(call.extra_content)
            out += self._begin("tool_use", used | {"input": {}})
            self._call, self._calls = index, index + 1
        if call.function is not None and (text := call.function.arguments):
            out += self._add({"type": "input_json_delta", "partial_json": text})
        return out

    def _within(self, sort: str, empty: Json) -> bytes:
        return b"" if self._open == sort else self._begin(sort, empty)

    def _begin(self, sort: str, block: Json) -> bytes:
        out = self._close()
        self._index += 1
        self._open = sort
        data = {
            "type": "content_block_start",
            "index": self._index,
            "content_block": {"type": sort} | block,
        }
        return out + _event("content_block_start", data)

    def _add(self, delta: Json) -> bytes:
        data = {"type": "content_block_delta", "index": self._index, "delta": delta}
        return _event("content_block_delta", data)

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        data = {"type": "content_block_stop", "index": self._index}
        return _event("content_block_stop", data)
