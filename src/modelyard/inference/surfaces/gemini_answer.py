"""Answers as Gemini's generateContent gives them: whole, as events, and as an array of JSON."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec

from modelyard.inference.admission import Meter
from modelyard.inference.answer import Answer
from modelyard.inference.call import Call, Usage
from modelyard.inference.canonical import Called, Choice, Completed, Said, google_signature
from modelyard.inference.providers.media import from_data_uri
from modelyard.inference.surfaces.delivery import JSON
from modelyard.inference.surfaces.gemini_request import signed
from modelyard.inference.surfaces.inbound import Inbound
from modelyard.inference.surfaces.translating import Json, TranslatingDelivery, unreadable
from modelyard.protocol.errors import DOCS, Failure

_encode = msgspec.json.encode
_FINISHES = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class GeminiDelivery(TranslatingDelivery):
    """Sends an answer, or a stream of them as events."""

    def __init__(self, inbound: Inbound, call: Call | None = None) -> None:
        super().__init__(inbound, call)
        self._top: Json = {}
        self._calls: dict[int, list[Called]] = {}  # by sample; whole only at the end
        self._last: dict[int, Json] = {}  # the finish of each sample
        self._held = b""  # the provider's own events that end the stream

    def whole(self, answer: Answer, completed: Completed) -> Any:
        """See ``TranslatingDelivery``."""
        if not completed.choices:
            raise unreadable("it has no choice")
        candidates = [_candidate(choice) for choice in completed.choices]
        return {
            "candidates": candidates,
            "usageMetadata": _usage(answer.usage),
            "modelVersion": completed.model or answer.target,
            "responseId": completed.id or self.inbound.record_id,
        }

    def chunk(self, completed: Completed) -> bytes:
        """See ``TranslatingDelivery``."""
        if completed.model or not self._top:
            self._top = {
                "modelVersion": completed.model or "",
                "responseId": completed.id or self.inbound.record_id,
            }
        candidates = [one for choice in completed.choices if (one := self._choice(choice))]
        return self.event({"candidates": candidates} | self._top) if candidates else b""

    def _choice(self, choice: Choice) -> Json | None:
        index = choice.index or 0
        parts: list[Json] = []
        if choice.delta is not None:
            parts = _parts(choice.delta, streamed=True)
            for call in choice.delta.tool_calls or ():
                self._collect(self._calls.setdefault(index, []), call)
        if choice.finish_reason:
            self._last[index] = {"finishReason": _finish(choice.finish_reason), "index": index}
        return {"content": {"parts": parts, "role": "model"}, "index": index} if parts else None

    @staticmethod
    def _collect(calls: list[Called], piece: Called) -> None:
        """Add a piece of a call: calls are told whole here."""
        index = len(calls) - 1 if piece.index is None else piece.index
        if index >= len(calls):
            calls.append(piece)
            return
        call, more = calls[index], piece.function
        call.extra_content = call.extra_content or piece.extra_content
        if more is not None and call.function is not None:
            call.function.arguments = (call.function.arguments or "") + (more.arguments or "")

    def ending(self, answer: Answer, untouched: bytes | None) -> bytes:
        """See ``TranslatingDelivery``."""
        if untouched is not None:
            return self._held
        candidates = []
        for index, last in sorted(self._last.items()):
            parts = [_called(call) for call in self._calls.get(index, ())]
            parts = parts or [{"text": ""}]
            candidates.append({"content": {"parts": parts, "role": "model"}} | last)
        told = {"usageMetadata": _usage(answer.usage)}
        return self.event({"candidates": candidates} | told | self._top)

    def untouched(self, events: bytes) -> bytes:
        """See ``TranslatingDelivery``."""
        out = b""
        for event in events.split(b"\n\n")[:-1]:
            sent = self.framed(event.removeprefix(b"data:").lstrip(b" "))
            if self._held or b'"finishReason"' in event or b'"blockReason"' in event:
                self._held += sent
            else:
                out += sent
        return out

    def event(self, data: Json) -> bytes:
        """One answer of a stream."""
        return self.framed(_encode(data))

    def framed(self, data: bytes) -> bytes:
        """JSON as one event."""
        return b"data: %b\r\n\r\n" % data

    def failure_body(self, failure: Failure) -> bytes:
        """Google's error (google.rpc.Status in JSON) with our code inside."""
        return _encode(status(failure, self.inbound.request_id))

    def failure_event(self, failure: Failure) -> bytes:
        """The error as the stream's last event."""
        return self.event(status(failure, self.inbound.request_id))


class ArrayDelivery(GeminiDelivery):
    """Sends a stream as an array of JSON, as it is without ``alt=sse``."""

    def __init__(self, inbound: Inbound, call: Call | None = None) -> None:
        super().__init__(inbound, call)
        self._begun = False

    def head(
        self, kind: bytes, meter: Meter | None, answer: Answer | None, extra: bytes = b""
    ) -> bytes:
        """It is no event stream."""
        return super().head(JSON, meter, answer, extra)

    def framed(self, data: bytes) -> bytes:
        """JSON as one element."""
        first = b",\r\n" if self._begun else b"["
        self._begun = True
        return first + data

    def beat(self, now: float, interval: float) -> None:
        """Keep a silent stream's connection open with white space, once it has begun."""
        if now - self.touched >= interval and self.exchange.started and not self.exchange.finished:
            self.touched = now
            self.exchange.write(b"\r\n")

    def ending(self, answer: Answer, untouched: bytes | None) -> bytes:
        """See ``TranslatingDelivery``."""
        return super().ending(answer, untouched) + b"]"

    def failure_event(self, failure: Failure) -> bytes:
        """The error as the last element."""
        return super().failure_event(failure) + b"]"


class CountDelivery(GeminiDelivery):
    """Sends a count of tokens."""

    def whole(self, answer: Answer, completed: Completed) -> Any:
        """See ``TranslatingDelivery``."""
        return {"totalTokens": completed.input_tokens}


class EmbedManyDelivery(GeminiDelivery):
    """Sends vectors in the order of the texts."""

    def whole(self, answer: Answer, completed: Completed) -> Any:
        """See ``TranslatingDelivery``."""
        found = sorted(completed.data, key=lambda one: one.index)
        return {"embeddings": [{"values": _values(one.embedding)} for one in found]}


class EmbedDelivery(EmbedManyDelivery):
    """Sends one vector."""

    def whole(self, answer: Answer, completed: Completed) -> Any:
        """See ``TranslatingDelivery``."""
        return {"embedding": super().whole(answer, completed)["embeddings"][0]}


def _values(vector: list[float] | str) -> list[float]:
    """Floats, also where the provider packed them unasked."""
    if isinstance(vector, list):
        return vector
    data = base64.b64decode(vector)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def _candidate(choice: Choice) -> Json:
    said = choice.message
    if said is None:
        raise unreadable("a choice has no message")
    parts = _parts(said) + [_called(call) for call in said.tool_calls or ()]
    return {
        "content": {"parts": parts, "role": "model"},
        "finishReason": _finish(choice.finish_reason),
        "index": choice.index or 0,
    }


def _parts(said: Said, *, streamed: bool = False) -> list[Json]:
    """Thoughts and text. In a stream the thought that is signed was told before."""
    blocks = said.thinking_blocks or []
    parts = [signed(block) | ({"text": ""} if streamed else {}) for block in blocks]
    if said.thought and not blocks:
        parts.append({"text": said.thought, "thought": True})
    if text := said.text:
        parts.append({"text": text})
    parts += [{"inlineData": one} for image in said.images or () if (one := _blob(image))]
    if parts and (signature := google_signature(said.extra_content)):
        parts[-1]["thoughtSignature"] = signature
    return parts


def _blob(image: Json) -> Json | None:
    """A picture as data; one by its address has no place here."""
    url = image.get("image_url")
    found = from_data_uri(str(url.get("url"))) if isinstance(url, dict) else None
    return {"mimeType": found[0], "data": found[1]} if found else None


def _called(call: Called) -> Json:
    function = call.function
    text = (function.arguments if function else None) or "{}"
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        found = None
    args = found if isinstance(found, dict) else {"arguments": text}
    made: Json = {"name": (function.name if function else None) or "", "args": args}
    if call.id:
        made = {"id": call.id} | made
    part: Json = {"functionCall": made}
    if signature := google_signature(call.extra_content):
        part["thoughtSignature"] = signature
    return part


def _finish(reason: str | None) -> str:
    return _FINISHES.get(reason or "stop", "STOP")


def _usage(usage: Usage | None) -> Json:
    usage = usage or Usage()
    thought = min(usage.reasoning_tokens, usage.output_tokens)
    told: Json = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - thought,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        told["cachedContentTokenCount"] = usage.cached_tokens
    if thought:
        told["thoughtsTokenCount"] = thought
    return told


def status(failure: Failure, request_id: str) -> Json:
    """``google.rpc.Status`` in JSON, with ErrorInfo and RetryInfo (AIP-193)."""
    code = failure.status
    named = _STATUSES.get(code, "INTERNAL" if code >= 500 else "INVALID_ARGUMENT")
    told = {"request_id": request_id, "documentation": DOCS + failure.code.symbol}
    told |= {
        name: value if isinstance(value, str) else _encode(value).decode()
        for name, value in failure.details.items()
    }
    details: list[Json] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": failure.code.symbol,
            "domain": "modelyard",
            "metadata": told,
        }
    ]
    if failure.retry_after is not None:
        delay = f"{failure.retry_after:g}s"
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
        details.append(retry)
    error = {"code": code, "message": failure.message, "status": named, "details": details}
    return {"error": error}
