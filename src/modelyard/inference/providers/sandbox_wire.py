"""The sandbox's answer in OpenAI's shape: one JSON body, or server-sent events."""

from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any
from zlib import crc32

import msgspec

from modelyard.inference.call import CHAT
from modelyard.inference.providers.sandbox_answer import Choice, Written
from modelyard.inference.providers.sandbox_tools import ToolCall

MODEL = "sandbox"
EMBEDDING_MODEL = "sandbox-embedding"
CREATED = 1_767_225_600  # 2026-01-01: a clock would make equal requests differ
ENDING = -1
DONE = b"data: [DONE]\n\n"

Json = dict[str, Any]
_encode = msgspec.json.encode
_IDS = {CHAT: "chatcmpl-sandbox-"}
_OTHERS = (" the", " a", " this", " and", " of")  # what else a token might have been


def complete(written: Written, body: Json, kind: str) -> bytes:
    """The whole answer as JSON."""
    render = _message if kind == CHAT else _text
    choices = [
        render(choice, written.digest, body) | {"finish_reason": choice.finish}
        for choice in written.choices
    ]
    kinds = "chat.completion" if kind == CHAT else "text_completion"
    return _encode(_head(written, kind, kinds) | {"choices": choices, "usage": usage(written)})


def events(written: Written, body: Json, kind: str) -> Iterator[tuple[int, bytes]]:
    """The answer as events, each with the tokens it adds; several choices take turns.

    Those that end the answer have ENDING instead: the finishing chunks, one with the usage and no
    choice as with ``include_usage``, and ``[DONE]``.
    """
    kinds = "chat.completion.chunk" if kind == CHAT else "text_completion"
    head = _head(written, kind, kinds)
    write = _deltas if kind == CHAT else _texts
    streams = [write(choice, written.digest, body) for choice in written.choices]
    # The finishing chunks come last: a client may take the first for the stream's end.
    for added, choice in filter(None, chain.from_iterable(zip_longest(*streams))):
        yield added, _event(head, [choice | {"finish_reason": None}])
    rest: Json = {"delta": {}} if kind == CHAT else {"text": ""}
    for choice in written.choices:
        last = {"index": choice.index, **rest, "logprobs": None, "finish_reason": choice.finish}
        yield ENDING, _event(head, [last])
    yield ENDING, b"data: " + _encode(head | {"choices": [], "usage": usage(written)}) + b"\n\n"
    yield ENDING, DONE


def error_event(message: str) -> bytes:
    """An error in the middle of a stream, as OpenAI's servers send it."""
    error = {"message": message, "type": "server_error", "param": None, "code": None}
    return b"data: " + _encode({"error": error}) + b"\n\n"


def embeddings(vectors: list[Any], prompt_tokens: int) -> bytes:
    """The answer to an embedding request."""
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors)
    ]
    counted = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    return _encode({"object": "list", "data": data, "model": EMBEDDING_MODEL, "usage": counted})


def usage(written: Written) -> Json:
    """The usage as OpenAI reports it."""
    return {
        "prompt_tokens": written.prompt_tokens,
        "completion_tokens": written.completion_tokens,
        "total_tokens": written.prompt_tokens + written.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": written.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _head(written: Written, kind: str, name: str) -> Json:
    return {
        "id": _IDS.get(kind, "cmpl-sandbox-") + written.digest,
        "object": name,
        "created": CREATED,
        "model": MODEL,
        "service_tier": "default",
        "system_fingerprint": MODEL,
    }


def _event(head: Json, choices: list[Json]) -> bytes:
    return b"data: " + _encode(head | {"choices": choices}) + b"\n\n"


def _message(choice: Choice, digest: str, body: Json) -> Json:
    """A choice of a chat completion."""
    text = "".join(choice.text)
    content = None if choice.calls else text
    message: Json = {"role": "assistant", "content": content, "refusal": None}
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.calls:
        message["tool_calls"] = [
            _call(call, "".join(call.pieces), _call_id(digest, choice, number))
            for number, call in enumerate(choice.calls)
        ]
    logprobs = None
    if body.get("logprobs") and not choice.calls:
        top = body.get("top_logprobs") or 0
        logprobs = {"content": [_logprob(t, top) for t in choice.text], "refusal": None}
    return {"index": choice.index, "message": message, "logprobs": logprobs}


def _text(choice: Choice, digest: str, body: Json) -> Json:
    """A choice of a text completion."""
    logprobs = None
    if (top := body.get("logprobs")) is not None:
        logprobs = _text_logprobs(choice.text, top, 0)
    return {"index": choice.index, "text": "".join(choice.text), "logprobs": logprobs}


def _call_id(digest: str, choice: Choice, number: int) -> str:
    return f"call_sandbox{digest[:12]}{choice.index}x{number}"


def _call(call: ToolCall, arguments: str, call_id: str) -> Json:
    if call.kind == "custom":
        return {"id": call_id, "type": "custom", "custom": {"name": call.name, "input": arguments}}
    function = {"name": call.name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def _deltas(choice: Choice, digest: str, body: Json) -> Iterator[tuple[int, Json]]:
    """The chunks of a chat's choice, without its end."""

    def chunk(delta: Json, logprobs: Json | None = None) -> Json:
        return {"index": choice.index, "delta": delta, "logprobs": logprobs}

    content = None if choice.calls else ""
    yield 0, chunk({"role": "assistant", "content": content, "refusal": None})
    for added, piece in _pieces(choice.reasoning):
        yield added, chunk({"reasoning_content": piece})
    top = body.get("top_logprobs") or 0 if body.get("logprobs") else None
    for added, piece in _pieces(choice.text):
        logprobs = None
        if top is not None:
            logprobs = {"content": [_logprob(piece, top)], "refusal": None}
        yield added, chunk({"content": piece}, logprobs)
    for number, call in enumerate(choice.calls):
        started = _call(call, "", _call_id(digest, choice, number))
        yield 0, chunk({"tool_calls": [{"index": number, **started}]})
        field = "input" if call.kind == "custom" else "arguments"
        for added, piece in _pieces(call.pieces):
            yield added, chunk({"tool_calls": [{"index": number, call.kind: {field: piece}}]})


def _texts(choice: Choice, digest: str, body: Json) -> Iterator[tuple[int, Json]]:
    """The chunks of a text completion's choice, without its end."""
    top = body.get("logprobs")
    offset = 0
    for added, piece in _pieces(choice.text):
        logprobs = None if top is None else _text_logprobs([piece], top, offset)
        offset += len(piece)
        yield added, {"index": choice.index, "text": piece, "logprobs": logprobs}


def _pieces(tokens: list[str]) -> Iterator[tuple[int, str]]:
    """Tokens with text, each with those before it that only began its character."""
    added = 0
    for token in tokens:
        added += 1
        if token:
            yield added, token
            added = 0


def _likelihood(token: str) -> float:
    """A made-up logarithm of a probability, the same for the same token."""
    return -(1 + crc32(token.encode()) % 500) / 1000


def _alternatives(token: str, top: int) -> list[tuple[str, float]]:
    others = [(other, -1.0 - n) for n, other in enumerate(_OTHERS * 4) if other != token]
    return [(token, _likelihood(token)), *others][:top]


def _logprob(token: str, top: int) -> Json:
    """One token's entry as chat completions have it."""

    def entry(text: str, likelihood: float) -> Json:
        return {"token": text, "logprob": likelihood, "bytes": list(text.encode())}

    others = [entry(*other) for other in _alternatives(token, top)]
    return entry(token, _likelihood(token)) | {"top_logprobs": others}


def _text_logprobs(tokens: list[str], top: int, offset: int) -> Json:
    """The entries as text completions have them."""
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token)
    return {
        "tokens": tokens,
        "token_logprobs": [_likelihood(token) for token in tokens],
        "top_logprobs": [dict(_alternatives(token, top)) for token in tokens] if top else None,
        "text_offset": offsets,
    }
