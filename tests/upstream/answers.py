"""Correct answers in OpenAI's shape: what the upstream says when no fault is planned."""

import base64
import json
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upstream.plan import Plan
    from upstream.server import Exchange

CREATED = 1_700_000_000


def models() -> dict[str, Any]:
    """The list at ``GET /models``."""
    entry = {"id": "m", "object": "model", "created": CREATED, "owned_by": "upstream"}
    return {"object": "list", "data": [entry]}


def words(plan: "Plan", asked: dict[str, Any]) -> list[str]:
    """The answer's tokens, one word each, cut to the tokens that were allowed."""
    if plan.text is not None:
        return [plan.text[i : i + 8] for i in range(0, len(plan.text), 8)]
    limit = asked.get("max_completion_tokens") or asked.get("max_tokens") or plan.tokens
    return [f"w{number} " for number in range(min(plan.tokens, limit))]


def usage(plan: "Plan", asked: dict[str, Any], count: int) -> dict[str, Any]:
    """Usage as the plan says, else 10 prompt tokens and one per word and choice."""
    if plan.usage:
        return plan.usage
    told = count * (asked.get("n") or 1)
    return {"prompt_tokens": 10, "completion_tokens": told, "total_tokens": 10 + told}


def whole(plan: "Plan", path: str, asked: dict[str, Any], number: int) -> dict[str, Any]:
    """The answer in one piece."""
    if path.endswith("/embeddings"):
        return _embeddings(plan, asked)
    chat = path.endswith("/chat/completions")
    told = words(plan, asked)
    kind = "chat.completion" if chat else "text_completion"
    answer = _top(plan, asked, number, kind)
    make = _chat_choice if chat else _text_choice
    answer["choices"] = [make(plan, asked, told, index) for index in range(asked.get("n") or 1)]
    if plan.usage is not None:
        answer["usage"] = usage(plan, asked, len(told))
    return answer


def _top(plan: "Plan", asked: dict[str, Any], number: int, kind: str) -> dict[str, Any]:
    return {
        "id": plan.id or f"chatcmpl-{number}",
        "object": kind,
        "created": CREATED,
        "model": plan.model or asked["model"],
        "system_fingerprint": "fp_upstream",
    } | plan.fields


def _finish(plan: "Plan") -> str:
    return plan.finish_reason or ("tool_calls" if plan.tool_calls else "stop")


def _logprobs(told: list[str]) -> dict[str, Any]:
    return {"content": [_logprob(word) for word in told], "refusal": None}


def _logprob(word: str) -> dict[str, Any]:
    return {"token": word, "logprob": -0.5, "bytes": list(word.encode()), "top_logprobs": []}


def _chat_choice(
    plan: "Plan", asked: dict[str, Any], told: list[str], index: int
) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(told), "refusal": None}
    if plan.tool_calls:
        message |= {"content": None, "tool_calls": plan.tool_calls}
    if plan.reasoning:
        message["reasoning_content"] = plan.reasoning
    logprobs = _logprobs(told) if asked.get("logprobs") else None
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": _finish(plan),
    }


def _text_choice(
    plan: "Plan", asked: dict[str, Any], told: list[str], index: int
) -> dict[str, Any]:
    return {"index": index, "text": "".join(told), "logprobs": None, "finish_reason": _finish(plan)}


def _embeddings(plan: "Plan", asked: dict[str, Any]) -> dict[str, Any]:
    inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    if inputs and isinstance(inputs[0], int):
        inputs = [inputs]
    size = asked.get("dimensions") or 4
    data = []
    for index, _ in enumerate(inputs):
        vector: Any = [index + part / 8 for part in range(size)]
        if asked.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    answer = {"object": "list", "data": data, "model": plan.model or asked["model"]}
    if plan.usage is not None:
        answer["usage"] = plan.usage or {"prompt_tokens": 10, "total_tokens": 10}
    return answer | plan.fields


def events(plan: "Plan", path: str, asked: dict[str, Any], exchange: "Exchange") -> Iterator[bytes]:
    """The events of a stream, ``[DONE]`` left out."""
    chat = path.endswith("/chat/completions")
    told = words(plan, asked)
    kind = "chat.completion.chunk" if chat else "text_completion"
    top = _top(plan, asked, exchange.request.number, kind)
    reported = plan.usage is not None and (asked.get("stream_options") or {}).get("include_usage")
    if reported:
        top["usage"] = None  # as OpenAI sends it on every other chunk
    choices = range(asked.get("n") or 1)
    deltas = _chat_deltas(plan, asked, told) if chat else [({"text": word}) for word in told]
    for delta in deltas:
        for index in choices:
            yield _event(top, {"index": index} | _part(chat, asked, delta))
    for index in choices:
        last: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
        yield _event(top, {"index": index} | last | {"finish_reason": _finish(plan)})
    if reported:
        yield _line(top | {"choices": [], "usage": usage(plan, asked, len(told))})


def _part(chat: bool, asked: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    if not chat:
        return delta | {"finish_reason": None, "logprobs": None}
    part: dict[str, Any] = {"delta": delta, "finish_reason": None, "logprobs": None}
    if asked.get("logprobs") and delta.get("content"):
        part["logprobs"] = _logprobs([delta["content"]])
    return part


def _chat_deltas(plan: "Plan", asked: dict[str, Any], told: list[str]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    if plan.reasoning:
        yield {"reasoning_content": plan.reasoning}
    if plan.tool_calls:
        yield from _tool_deltas(plan.tool_calls)
        return
    for word in told:
        yield {"content": word}


def _tool_deltas(calls: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each call: its name first, then its arguments in pieces of five characters."""
    for index, call in enumerate(calls):
        function = call["function"]
        start = {"name": function["name"], "arguments": ""}
        yield {
            "tool_calls": [
                {"index": index, "id": call["id"], "type": "function", "function": start}
            ]
        }
        text = function["arguments"]
        for at in range(0, len(text), 5):
            piece = {"arguments": text[at : at + 5]}
            yield {"tool_calls": [{"index": index, "function": piece}]}


def _event(top: dict[str, Any], choice: dict[str, Any]) -> bytes:
    return _line(top | {"choices": [choice]})


def _line(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"
