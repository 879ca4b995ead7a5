"""What providers of each dialect answer: one answer for each case.

The cases of a request that has no answer of its own (an image, a file, results of tools) get the
plain one.
"""

import json
from typing import Any

from dialects.amazon import AMAZON, event
from dialects.clients import SIGNATURE
from dialects.upstream import Scripted

SSE = "text/event-stream"
POINT = '{"x":3,"y":-4}'
SPLIT = 37  # bytes of a stream in one piece, so that events arrive in parts


def _json(body: Any, status: int = 200, **fields: str) -> Scripted:
    return Scripted(json.dumps(body, separators=(",", ":")).encode(), status, fields=fields)


def _openai() -> dict[str, Scripted]:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    calls = [
        ("call_a", "get_weather", '{"city":"Paris"}'),
        ("call_b", "get_weather", '{"city":"Oslo"}'),
    ]

    def chat(message: dict[str, Any], finish: str = "stop", used: Any = usage) -> Scripted:
        choice = {
            "index": 0,
            "message": {"role": "assistant"} | message,
            "logprobs": None,
            "finish_reason": finish,
        }
        return _json(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1700000000,
                "model": "gpt-x",
                "choices": [choice],
                "usage": used,
            }
        )

    def embedded(data: list[dict[str, Any]]) -> Scripted:
        used = {"prompt_tokens": 2, "total_tokens": 2}
        return _json({"object": "list", "data": data, "model": "gpt-x", "usage": used})

    def stream(*deltas: dict[str, Any], finish: str = "stop") -> Scripted:
        top = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1700000000,
            "model": "gpt-x",
        }
        chunks = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
            for delta in ({"role": "assistant", "content": ""}, *deltas)
        ]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        chunks.append({"choices": [], "usage": usage})
        lines = [f"data: {json.dumps(top | c, separators=(',', ':'))}\n\n" for c in chunks]
        return Scripted(("".join(lines) + "data: [DONE]\n\n").encode(), 200, SSE, SPLIT)

    def started(index: int, call: tuple[str, str, str]) -> dict[str, Any]:
        function = {"name": call[1], "arguments": ""}
        one = {"index": index, "id": call[0], "type": "function", "function": function}
        return {"tool_calls": [one]}

    def piece(index: int, text: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}

    tools = [
        {"id": one, "type": "function", "function": {"name": name, "arguments": text}}
        for one, name, text in calls
    ]
    deltas = []
    for index, call in enumerate(calls):
        deltas += [started(index, call), piece(index, call[2][:9]), piece(index, call[2][9:])]
    error = {"message": "Slow down.", "type": "rate_limit_error", "param": None, "code": None}
    long = {
        "message": "This model's maximum context length is 10 tokens.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
    cached = usage | {"prompt_tokens_details": {"cached_tokens": 7}}
    thought = usage | {"completion_tokens_details": {"reasoning_tokens": 1}}
    vectors = [{"object": "embedding", "index": n, "embedding": [n + 0.25, -0.5]} for n in range(2)]
    return {
        "plain": chat({"content": "Hi there", "refusal": None}),
        "stream": stream({"content": "Hi"}, {"content": " there"}),
        "tools": chat({"content": None, "tool_calls": tools}, "tool_calls"),
        "tools_stream": stream(*deltas, finish="tool_calls"),
        "structured": chat({"content": POINT}),
        "thinking": chat({"content": "42", "reasoning_content": "Hm."}, used=thought),
        "thinking_stream": stream(
            {"reasoning_content": "H"}, {"reasoning_content": "m."}, {"content": "42"}
        ),
        "refusal": chat({"content": None, "refusal": "I cannot."}, "content_filter"),
        "cached": chat({"content": "Hi there"}, used=cached),
        "error": _json({"error": error}, 429, **{"retry-after": "30"}),
        "too_long": _json({"error": long}, 400),
        "embedding": embedded(vectors[:1]),
        "embeddings": embedded(vectors),
    }


def _anthropic() -> dict[str, Scripted]:
    usage = {"input_tokens": 9, "output_tokens": 2}

    def message(content: list[Any], stop: str = "end_turn", used: Any = usage) -> Scripted:
        return _json(
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude-x",
                "content": content,
                "stop_reason": stop,
                "stop_sequence": None,
                "usage": used,
            }
        )

    def stream(*blocks: tuple[dict[str, Any], list[dict[str, Any]]],
               stop: str = "end_turn") -> Scripted:  # fmt: skip
        start = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-x",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 9, "output_tokens": 1},
        }
        events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
        for index, (block, deltas) in enumerate(blocks):
            events.append({"type": "content_block_start", "index": index, "content_block": block})
            if not index:
                events.append({"type": "ping"})
            events += [
                {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
            ]
            events.append({"type": "content_block_stop", "index": index})
        end = {"stop_reason": stop, "stop_sequence": None}
        events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": 2}})
        events.append({"type": "message_stop"})
        lines = [
            f"event: {event['type']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n"
            for event in events
        ]
        return Scripted("".join(lines).encode(), 200, SSE + "; charset=utf-8", SPLIT)

    def text(*pieces: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
        return {"type": "text", "text": ""}, deltas

    def used(name: str, city: str) -> dict[str, Any]:
        return {"type": "tool_use", "id": name, "name": "get_weather", "input": {"city": city}}

    def streamed(name: str, city: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        pieces = ["", '{"city":', f'"{city}"}}']
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        return used(name, city) | {"input": {}}, deltas

    thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in ("H", "m.")]
    signed = {"type": "signature_delta", "signature": SIGNATURE}
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE}
    hidden = {"type": "redacted_thinking", "data": "aGlkZGVu"}
    refused = {"type": "rate_limit_error", "message": "Slow down."}
    long = {
        "type": "invalid_request_error",
        "message": "prompt is too long: 20 tokens > 10 maximum",
    }
    cached = {
        "input_tokens": 2,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 4,
        "output_tokens": 2,
    }
    return {
        "plain": message([{"type": "text", "text": "Hi there"}]),
        "stream": stream(text("Hi", " there")),
        "tools": message(
            [
                {"type": "text", "text": "I look."},
                used("toolu_a", "Paris"),
                used("toolu_b", "Oslo"),
            ],
            "tool_use",
        ),
        "tools_stream": stream(
            text("I look."),
            streamed("toolu_a", "Paris"),
            streamed("toolu_b", "Oslo"),
            stop="tool_use",
        ),
        "structured": message([{"type": "text", "text": POINT}]),
        "thinking": message([thinking, hidden, {"type": "text", "text": "42"}]),
        "thinking_stream": stream(
            ({"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]),
            (hidden, []),
            text("42"),
        ),
        "refusal": message([], "refusal"),
        "cached": message([{"type": "text", "text": "Hi there"}], used=cached),
        "error": _json({"type": "error", "error": refused}, 429, **{"retry-after": "30"}),
        "too_long": _json({"type": "error", "error": long}, 400),
        "count": _json({"input_tokens": 14}),
    }


def _gemini() -> dict[str, Scripted]:
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11}

    def answer(parts: list[Any], finish: str | None = "STOP", used: Any = usage) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}}
        if finish:
            candidate["finishReason"] = finish
        candidate["index"] = 0
        return {
            "candidates": [candidate],
            "usageMetadata": used,
            "modelVersion": "gemini-x",
            "responseId": "resp-1",
        }

    def stream(*answers: dict[str, Any]) -> Scripted:
        lines = [f"data: {json.dumps(one, separators=(',', ':'))}\r\n\r\n" for one in answers]
        return Scripted("".join(lines).encode(), 200, SSE, SPLIT)

    def call(city: str, **more: str) -> dict[str, Any]:
        return {"functionCall": {"name": "get_weather", "args": {"city": city}}} | more

    calls = [call("Paris", thoughtSignature=SIGNATURE), call("Oslo")]
    thought = usage | {"thoughtsTokenCount": 1, "candidatesTokenCount": 1}
    hm = {"text": "Hm.", "thought": True}
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"}
    error = {
        "code": 429,
        "message": "Slow down.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [retry],
    }
    long = {
        "code": 400,
        "message": "The input token count (20) exceeds the maximum number of tokens allowed (10).",
        "status": "INVALID_ARGUMENT",
    }
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage}
    vectors = [{"values": [n + 0.25, -0.5]} for n in range(2)]
    first = usage | {"candidatesTokenCount": 1}
    return {
        "plain": _json(answer([{"text": "Hi there"}])),
        "stream": stream(
            answer([{"text": "Hi"}], None, first), answer([{"text": " there"}], "STOP")
        ),
        "tools": _json(answer(calls)),
        "tools_stream": stream(answer(calls[:1], None, first), answer(calls[1:], "STOP")),
        "structured": _json(answer([{"text": POINT}])),
        "thinking": _json(
            answer([hm, {"text": "42", "thoughtSignature": SIGNATURE}], used=thought)
        ),
        "thinking_stream": stream(
            answer([{"text": "H", "thought": True}], None, thought),
            answer([{"text": "m.", "thought": True}], None, thought),
            answer([{"text": "42"}], None, thought),
            answer([{"text": "", "thoughtSignature": SIGNATURE}], "STOP", thought),
        ),
        "refusal": _json(blocked),
        "cached": _json(
            answer([{"text": "Hi there"}], used=usage | {"cachedContentTokenCount": 7})
        ),
        "error": _json({"error": error}, 429),
        "error_stream": _json([{"error": error}], 429),
        "too_long": _json({"error": long}, 400),
        "count": _json({"totalTokens": 14}),
        "embedding": _json({"embedding": vectors[0]}),
        "embeddings": _json({"embeddings": vectors}),
    }


def _bedrock() -> dict[str, Scripted]:
    usage = {"inputTokens": 9, "outputTokens": 2, "totalTokens": 11}
    metrics = {"metrics": {"latencyMs": 5}}

    def message(content: list[Any], stop: str = "end_turn", used: Any = usage) -> Scripted:
        said = {"message": {"role": "assistant", "content": content}}
        return _json({"output": said, "stopReason": stop, "usage": used} | metrics)

    def stream(*blocks: tuple[dict[str, Any] | None, list[dict[str, Any]]],
               stop: str = "end_turn") -> Scripted:  # fmt: skip
        events: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
        for index, (start, deltas) in enumerate(blocks):
            at = {"contentBlockIndex": index}
            if start is not None:
                events.append(("contentBlockStart", {"start": start} | at))
            events += [("contentBlockDelta", {"delta": delta} | at) for delta in deltas]
            events.append(("contentBlockStop", at))
        events.append(("messageStop", {"stopReason": stop}))
        events.append(("metadata", {"usage": usage} | metrics))
        return Scripted(b"".join(event(*one) for one in events), 200, AMAZON, SPLIT)

    def used(name: str, city: str) -> dict[str, Any]:
        return {"toolUse": {"toolUseId": name, "name": "get_weather", "input": {"city": city}}}

    def streamed(name: str, city: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        pieces = ['{"city":', f'"{city}"}}']
        start = {"toolUse": {"toolUseId": name, "name": "get_weather"}}
        return start, [{"toolUse": {"input": piece}} for piece in pieces]

    def reasoning(**told: Any) -> dict[str, Any]:
        return {"reasoningContent": told}

    signed = reasoning(reasoningText={"text": "Hm.", "signature": SIGNATURE})
    cached = {
        "inputTokens": 2,
        "outputTokens": 2,
        "totalTokens": 11,
        "cacheReadInputTokens": 4,
        "cacheWriteInputTokens": 3,
    }
    slow = {"x-amzn-errortype": "ThrottlingException", "retry-after": "30"}
    return {
        "plain": message([{"text": "Hi there"}]),
        "stream": stream((None, [{"text": "Hi"}, {"text": " there"}])),
        "tools": message(
            [{"text": "I look."}, used("tooluse_a", "Paris"), used("tooluse_b", "Oslo")],
            "tool_use",
        ),
        "tools_stream": stream(
            (None, [{"text": "I look."}]),
            streamed("tooluse_a", "Paris"),
            streamed("tooluse_b", "Oslo"),
            stop="tool_use",
        ),
        "structured": message([{"text": POINT}]),
        "thinking": message([signed, reasoning(redactedContent="aGlkZGVu"), {"text": "42"}]),
        "thinking_stream": stream(
            (None, [reasoning(text="H"), reasoning(text="m."), reasoning(signature=SIGNATURE)]),
            (None, [{"text": "42"}]),
        ),
        "refusal": message([{"text": "Blocked."}], "guardrail_intervened"),
        "cached": message([{"text": "Hi there"}], used=cached),
        "error": _json({"message": "Slow down."}, 429, **slow),
        "too_long": _json({"message": "Input is too long for requested model."}, 400),
    }


PROVIDERS: dict[str, dict[str, Scripted]] = {
    "openai": _openai(),
    "anthropic": _anthropic(),
    "gemini": _gemini(),
    "bedrock": _bedrock(),
    "azure": _openai(),
}


def scripted(dialect: str, case: str) -> Scripted:
    """The answer of a case."""
    answers = PROVIDERS[dialect]
    if case in answers:
        return answers[case]
    for start in ("error", "embedding"):
        if case.startswith(start) and start in answers:
            return answers[start]
    return answers["stream" if "stream" in case else "plain"]
