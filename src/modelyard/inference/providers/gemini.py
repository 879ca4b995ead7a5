"""The Gemini dialect: Google's Generative Language API.

Source of names: the ``google-genai`` package's types, and the API's documentation.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from modelyard.inference.call import CHAT, COUNT, EMBEDDING, Call
from modelyard.inference.providers import gemini_request
from modelyard.inference.providers.media import data_uri
from modelyard.inference.providers.parameters import fit, impossible
from modelyard.inference.providers.remote import Json, SseFollower
from modelyard.inference.providers.vectors import pack
from modelyard.settings import ProviderSettings

SINGLE = "embed_content"  # the surface of one text
_BLOCKED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "LANGUAGE",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
    }
)


class _Call(Struct):
    name: str = ""
    args: Any = None
    id: str | None = None


class _Blob(Struct, rename="camel"):
    mime_type: str = ""
    data: str = ""


class _Part(Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _Call | None = None
    inline_data: _Blob | None = None


class _Content(Struct):
    parts: list[_Part] | None = None


class _Candidate(Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int = 0


class _Feedback(Struct, rename="camel"):
    block_reason: str | None = None


class _Usage(Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None


class _Answer(Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None


class _Vector(Struct):
    values: list[float] = []


class _Embedded(Struct):
    embedding: _Vector | None = None
    embeddings: list[_Vector] | None = None


class _Counted(Struct, rename="camel"):
    total_tokens: int = 0


_answer = msgspec.json.Decoder(_Answer).decode
_encode = msgspec.json.encode


class Gemini:
    """Implements ``Dialect``."""

    name = "gemini"
    kinds = frozenset({CHAT, COUNT, EMBEDDING})
    stream_type = b"text/event-stream"

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def fields(self, settings: ProviderSettings) -> list[tuple[str, str]]:
        """See ``Dialect``."""
        return [("x-goog-api-key", settings.api_key)] if settings.api_key else []

    def path(self, call: Call, model: str) -> str:
        """See ``Dialect``."""
        start = f"/models/{quote(model.removeprefix('models/'), safe='')}:"
        if call.kind == COUNT:
            return start + "countTokens"
        if call.kind == EMBEDDING:
            single = call.surface == SINGLE and call.raw
            return start + ("embedContent" if single else "batchEmbedContents")
        return start + ("streamGenerateContent?alt=sse" if call.stream else "generateContent")

    def pass_on(self, call: Call, model: str) -> bytes:
        """See ``Dialect``."""
        if call.kind != EMBEDDING:
            return call.raw
        name = _resource(model)
        if call.surface == SINGLE:
            return _encode(call.native | {"model": name})
        return _encode({"requests": [one | {"model": name} for one in call.native["requests"]]})

    def write(self, call: Call, model: str, warnings: list[str]) -> Json:
        """See ``Dialect``."""
        if call.kind == EMBEDDING:
            return _embed(call, model, f"{self._provider}/{model}", warnings)
        sent = gemini_request.write(call.body, model, self._provider, warnings)
        if call.kind == COUNT:
            whole = {name: sent[name] for name in sent if name != "generationConfig"}
            return {"generateContentRequest": {"model": _resource(model)} | whole}
        return sent

    def lines(self, path: str, body: bytes, call: Call, passing: bool) -> bytes:
        """See ``Dialect``."""
        return b""

    def read(self, body: bytes, call: Call, model: str) -> Json:
        """See ``Dialect``."""
        if call.kind == COUNT:
            counted = msgspec.json.decode(body, type=_Counted)
            return {"object": "tokens", "input_tokens": counted.total_tokens}
        if call.kind == EMBEDDING:
            return _embeddings(body, call, model)
        answer = _answer(body)
        return {
            "id": answer.response_id or call.id,
            "object": "chat.completion",
            "created": int(call.at),
            "model": answer.model_version or model,
            "choices": _choices(answer, call.record_id),
            "usage": usage(answer.usage_metadata),
        }

    def follow(self, call: Call, model: str, passing: bool) -> SseFollower:
        """See ``Dialect``."""
        return SseFollower(_Reader(call, model), passing)

    def error(self, body: Any) -> Json | None:
        """See ``Dialect``."""
        return error(body)


def error(body: Any) -> Json | None:
    """Google's error object, with what only its details or its words tell."""
    if isinstance(body, list) and body:  # of a stream that is an array
        body = body[0]
    found = body.get("error") if isinstance(body, dict) else None
    if not isinstance(found, dict):
        return None
    made: Json = {"message": str(found.get("message") or ""), "type": found.get("status")}
    if "token count" in made["message"] and "exceeds the maximum" in made["message"]:
        made["code"] = "context_length_exceeded"
    for detail in found.get("details") or ():
        if not isinstance(detail, dict):
            continue
        if detail.get("reason") == "API_KEY_INVALID":
            made["http"] = 401
        if (wait := _seconds(detail.get("retryDelay"))) is not None:
            made["retry_after"] = wait
    return made


def _seconds(delay: Any) -> float | None:
    """A Duration in JSON: "3.5s"."""
    try:
        return max(0.0, float(delay.removesuffix("s"))) if isinstance(delay, str) else None
    except ValueError:
        return None


def _resource(model: str) -> str:
    return "models/" + model.removeprefix("models/")


def _embed(call: Call, model: str, target: str, warnings: list[str]) -> Json:
    body = call.body
    fit(body, gemini_request.RULES, target, warnings)
    given = body["input"]
    texts = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) for text in texts):
        raise impossible(f"{target} embeds texts, not tokens: send 'input' as text.", "input")
    more: Json = {}
    if body.get("dimensions"):
        more["outputDimensionality"] = body["dimensions"]
    if body.get("task_type"):
        more["taskType"] = body["task_type"]
    if body.get("title"):
        more["title"] = body["title"]
    name = _resource(model)
    return {
        "requests": [
            {"model": name, "content": {"parts": [{"text": text}]}, **more} for text in texts
        ]
    }


def _embeddings(body: bytes, call: Call, model: str) -> Json:
    found = msgspec.json.decode(body, type=_Embedded)
    vectors = found.embeddings or ([found.embedding] if found.embedding else [])
    packed = call.body.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": pack(one.values) if packed else one.values,
        }
        for index, one in enumerate(vectors)
    ]
    return {"object": "list", "data": data, "model": model}


def _choices(answer: _Answer, record: str) -> list[Json]:
    choices = []
    for candidate in answer.candidates or ():
        message: Json = {"role": "assistant", "content": None}
        calls: list[Json] = []
        for part in _parts(candidate):
            _add(part, message, calls, f"{record}_{candidate.index}_{len(calls)}")
        if calls:
            message["tool_calls"] = calls
        message["refusal"] = None
        choices.append(
            {
                "index": candidate.index,
                "message": message,
                "logprobs": None,
                "finish_reason": finish(candidate.finish_reason, bool(calls)),
            }
        )
    if not choices and (blocked := _blocked(answer)):
        message = {"role": "assistant", "content": None, "refusal": blocked}
        choices.append({"index": 0, "message": message, "finish_reason": "content_filter"})
    return choices


def _parts(candidate: _Candidate) -> list[_Part]:
    return (candidate.content.parts if candidate.content else None) or []


def _add(part: _Part, said: Json, calls: list[Json], name: str) -> None:
    """What one part adds to a message, or to a delta of one."""
    extra = None
    if part.thought_signature:
        extra = {"google": {"thought_signature": part.thought_signature}}
    if part.function_call is not None:
        called = part.function_call
        text = _encode(called.args or {}).decode()
        call: Json = {
            "id": called.id or gemini_request.MADE + name,
            "type": "function",
            "function": {"name": called.name, "arguments": text},
        }
        if extra:
            call["extra_content"] = extra
        calls.append(call)
        return
    if part.inline_data is not None and part.inline_data.mime_type.startswith("image/"):
        url = data_uri(part.inline_data.mime_type, part.inline_data.data)
        said.setdefault("images", []).append({"type": "image_url", "image_url": {"url": url}})
    if part.text:
        field = "reasoning_content" if part.thought else "content"
        said[field] = (said.get(field) or "") + part.text
    if extra:
        said["extra_content"] = extra


def finish(reason: str | None, called: bool) -> str | None:
    """OpenAI's word for a finish reason."""
    if not reason or reason == "FINISH_REASON_UNSPECIFIED":
        return None
    if reason in _BLOCKED:
        return "content_filter"
    if reason == "MAX_TOKENS":
        return "length"
    return "tool_calls" if called else "stop"


def _blocked(answer: _Answer) -> str | None:
    feedback = answer.prompt_feedback
    if feedback is None or not feedback.block_reason:
        return None
    return f"The prompt was blocked: {feedback.block_reason}."


def usage(sent: _Usage | None) -> Json | None:
    """OpenAI's usage: thoughts are part of the answer's tokens."""
    if sent is None:
        return None
    prompt = (sent.prompt_token_count or 0) + (sent.tool_use_prompt_token_count or 0)
    thought = sent.thoughts_token_count or 0
    output = (sent.candidates_token_count or 0) + thought
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": sent.cached_content_token_count or 0},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


class _Reader:
    """Implements ``EventReader``."""

    def __init__(self, call: Call, model: str) -> None:
        self._top: Json = {
            "id": call.id,
            "object": "chat.completion.chunk",
            "created": int(call.at),
            "model": model,
        }
        self._record = call.record_id
        self._samples: int = call.body.get("n") or 1
        self._calls: dict[int, int] = {}  # calls so far, by candidate
        self._begun: set[int] = set()
        self._finished: set[int] = set()

    def chunks(self, data: bytes) -> list[Json]:
        """See ``EventReader``."""
        answer = _answer(data)
        if answer.error is not None:
            return [{"error": error({"error": answer.error}) or {"message": "unknown"}}]
        self._top["id"] = answer.response_id or self._top["id"]
        self._top["model"] = answer.model_version or self._top["model"]
        made = [
            chunk for candidate in answer.candidates or () for chunk in self._candidate(candidate)
        ]
        if not answer.candidates and (blocked := _blocked(answer)):
            self._finished.add(0)
            made.append(self._chunk(0, {"refusal": blocked}, finish_reason="content_filter"))
        told = usage(answer.usage_metadata)
        if told is not None and len(self._finished) >= self._samples:
            made.append(self._top | {"choices": [], "usage": told})
        return made

    def _chunk(self, index: int, delta: Json, **more: Any) -> Json:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None} | more
        return self._top | {"choices": [choice]}

    def _candidate(self, candidate: _Candidate) -> list[Json]:
        index = candidate.index
        delta: Json = {}
        calls: list[Json] = []
        first = self._calls.get(index, 0)
        for part in _parts(candidate):
            _add(part, delta, calls, f"{self._record}_{index}_{first + len(calls)}")
        self._calls[index] = first + len(calls)
        if calls:
            delta["tool_calls"] = [{"index": first + n, **call} for n, call in enumerate(calls)]
        if index not in self._begun and delta:
            self._begun.add(index)
            delta = {"role": "assistant", "content": ""} | delta
        made = [self._chunk(index, delta)] if delta else []
        if reason := finish(candidate.finish_reason, bool(self._calls[index])):
            self._finished.add(index)
            made.append(self._chunk(index, {}, finish_reason=reason))
        return made
