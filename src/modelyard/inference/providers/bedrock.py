"""The Bedrock dialect: Converse and ConverseStream, signed or with an API key.

Source of names: botocore's model of ``bedrock-runtime``.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct, field

from modelyard.inference.call import CHAT, EMBEDDING, Call
from modelyard.inference.providers import bedrock_embedding, bedrock_request
from modelyard.inference.providers.eventstream import Damaged, Message, Splitter
from modelyard.inference.providers.remote import DONE, Json
from modelyard.inference.providers.sigv4 import Credentials, sign
from modelyard.settings import ProviderSettings

_REGION = re.compile(r"bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")
_FINISHES = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}


class _Used(Struct, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    input: Any = None


class _ReasoningText(Struct):
    text: str = ""
    signature: str = ""


class _Reasoning(Struct, rename="camel"):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str | None = None
    text: str | None = None  # of a stream
    signature: str | None = None


class _Block(Struct, rename="camel"):
    text: str | None = None
    tool_use: _Used | None = None
    reasoning_content: _Reasoning | None = None


class _Said(Struct):
    content: list[_Block] = []


class _Output(Struct):
    message: _Said = field(default_factory=_Said)


class _Usage(Struct, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0


class _Answer(Struct, rename="camel"):
    output: _Output
    stop_reason: str = "end_turn"
    usage: _Usage = field(default_factory=_Usage)


class _Event(Struct, rename="camel"):
    start: _Block | None = None
    delta: _Block | None = None
    content_block_index: int = 0
    stop_reason: str | None = None
    usage: _Usage | None = None
    message: str | None = None  # of an exception


_answer = msgspec.json.Decoder(_Answer).decode
_event = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.encode


class Bedrock:
    """Implements ``Dialect``."""

    name = "bedrock"
    kinds = frozenset({CHAT, EMBEDDING})
    stream_type = b"application/vnd.amazon.eventstream"

    def __init__(self, provider: str, settings: ProviderSettings) -> None:
        self._provider = provider
        url = urlsplit(settings.base_url or "")
        self._host = url.netloc
        self._credentials: Credentials | None = None
        if not settings.api_key:
            self._credentials = Credentials(
                settings.aws_access_key_id or "",
                settings.aws_secret_access_key or "",
                settings.aws_region or region_of(settings.base_url or "") or "",
                settings.aws_session_token,
            )

    def fields(self, settings: ProviderSettings) -> list[tuple[str, str]]:
        """See ``Dialect``."""
        key = settings.api_key
        return [("Authorization", f"Bearer {key}")] if key else []

    def path(self, call: Call, model: str) -> str:
        """See ``Dialect``."""
        method = "converse-stream" if call.stream else "converse"
        if call.kind == EMBEDDING:
            method = "invoke"
        return f"/model/{quote(model, safe='')}/{method}"

    def write(self, call: Call, model: str, warnings: list[str]) -> Json:
        """See ``Dialect``."""
        if call.kind == EMBEDDING:
            target = f"{self._provider}/{model}"
            return bedrock_embedding.write(call, model, target, warnings)
        return bedrock_request.write(call.body, model, self._provider, warnings)

    def pass_on(self, call: Call, model: str) -> bytes:
        """No surface speaks this dialect."""
        return call.raw

    def lines(self, path: str, body: bytes, call: Call, passing: bool) -> bytes:
        """See ``Dialect``."""
        if self._credentials is None:
            return b""
        fields = sign(self._credentials, self._host, path, body)
        return "".join([f"{name}: {value}\r\n" for name, value in fields]).encode()

    def read(self, body: bytes, call: Call, model: str) -> Json:
        """See ``Dialect``."""
        if call.kind == EMBEDDING:
            return bedrock_embedding.read(body, call, model)
        answer = _answer(body)
        return {
            "id": "bedrock-" + call.record_id,
            "object": "chat.completion",
            "created": int(call.at),
            "model": model,
            "choices": [_choice(answer)],
            "usage": usage(answer.usage),
        }

    def follow(self, call: Call, model: str, passing: bool) -> _Follower:
        """See ``Dialect``."""
        return _Follower(call, model)

    def error(self, body: Any) -> Json | None:
        """See ``Dialect``."""
        if not isinstance(body, dict):
            return None
        if isinstance(body.get("error"), dict):  # as gateways before it may tell
            body = body["error"]
        text = str(body.get("message") or body.get("Message") or "")
        made: Json = {"message": text, "type": body.get("__type") or body.get("type")}
        if "too long" in text or "exceed context limit" in text:
            made["code"] = "context_length_exceeded"
        return made


def region_of(url: str) -> str | None:
    """The region in an address of Amazon's."""
    found = _REGION.search(url)
    return found[1] if found else None


def _choice(answer: _Answer) -> Json:
    message: Json = {"role": "assistant", "content": None}
    blocks = answer.output.message.content
    text = [block.text for block in blocks if block.text is not None]
    if text:
        message["content"] = "".join(text)
    thoughts = [_thought(one) for block in blocks if (one := block.reasoning_content)]
    if thoughts:
        message["reasoning_content"] = "".join(one.get("thinking", "") for one in thoughts)
        message["thinking_blocks"] = thoughts
    calls = [_called(block.tool_use) for block in blocks if block.tool_use is not None]
    if calls:
        message["tool_calls"] = calls
    message["refusal"] = None
    return {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _FINISHES.get(answer.stop_reason, "stop"),
    }


def _thought(reasoning: _Reasoning) -> Json:
    if reasoning.reasoning_text is not None:
        text = reasoning.reasoning_text
        return {"type": "thinking", "thinking": text.text, "signature": text.signature}
    return {"type": "redacted_thinking", "data": reasoning.redacted_content or ""}


def _called(used: _Used) -> Json:
    text = _encode(used.input or {}).decode()
    function = {"name": used.name, "arguments": text}
    return {"id": used.tool_use_id, "type": "function", "function": function}


def usage(sent: _Usage) -> Json:
    """OpenAI's usage. Whether cached tokens are in ``inputTokens`` shows in the total."""
    cached, written = sent.cache_read_input_tokens, sent.cache_write_input_tokens
    prompt = max(sent.total_tokens - sent.output_tokens, sent.input_tokens)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": sent.output_tokens,
        "total_tokens": prompt + sent.output_tokens,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
    }


class _Follower:
    """Implements ``Follower``."""

    def __init__(self, call: Call, model: str) -> None:
        self._splitter = Splitter()
        self._top: Json = {
            "id": "bedrock-" + call.record_id,
            "object": "chat.completion.chunk",
            "created": int(call.at),
            "model": model,
        }
        self._calls = -1
        self._thinking: list[str] = []

    def feed(self, piece: bytes) -> bytes:
        """See ``Follower``."""
        try:
            return b"".join([self._read(message) for message in self._splitter.feed(piece)])
        except (Damaged, msgspec.DecodeError, UnicodeDecodeError, IndexError):
            return b"data: unreadable\n\n"  # the log says so

    def _read(self, message: Message) -> bytes:
        event = _event(message.payload)
        if message.fields.get(":message-type") != "event":
            kind = message.fields.get(":exception-type") or message.fields.get(":error-code")
            error = {"message": event.message or str(kind), "type": kind}
            return _line({"error": error})
        sort = message.fields.get(":event-type")
        if sort == "messageStart":
            return self._chunk({"role": "assistant", "content": ""})
        if sort == "contentBlockStart" and event.start and event.start.tool_use:
            return self._start(event.start.tool_use)
        if sort == "contentBlockDelta" and event.delta is not None:
            return self._delta(event.delta)
        if sort == "messageStop":
            reason = _FINISHES.get(event.stop_reason or "", "stop")
            return self._chunk({}, finish_reason=reason)
        if sort == "metadata" and event.usage is not None:
            return _line(self._top | {"choices": [], "usage": usage(event.usage)}) + DONE
        return b""

    def _chunk(self, delta: Json, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} | more
        return _line(self._top | {"choices": [choice]})

    def _start(self, used: _Used) -> bytes:
        self._calls += 1
        function = {"name": used.name, "arguments": ""}
        call = {"id": used.tool_use_id, "type": "function", "function": function}
        return self._chunk({"tool_calls": [{"index": self._calls, **call}]})

    def _delta(self, delta: _Block) -> bytes:
        if delta.text is not None:
            return self._chunk({"content": delta.text})
        if delta.tool_use is not None:
            part = {"index": self._calls, "function": {"arguments": delta.tool_use.input or ""}}
            return self._chunk({"tool_calls": [part]})
        reasoning = delta.reasoning_content
        if reasoning is None:
            return b""
        if reasoning.text:
            self._thinking.append(reasoning.text)
            return self._chunk({"reasoning_content": reasoning.text})
        if reasoning.signature:
            text, self._thinking = "".join(self._thinking), []
            block = {"type": "thinking", "thinking": text, "signature": reasoning.signature}
            return self._chunk({"thinking_blocks": [block]})
        if reasoning.redacted_content:
            return self._chunk({"thinking_blocks": [_thought(reasoning)]})
        return b""


def _line(data: Json) -> bytes:
    return b"data: " + _encode(data) + b"\n\n"
