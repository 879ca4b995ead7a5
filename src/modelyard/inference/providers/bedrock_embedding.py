"""Embeddings at Bedrock: Cohere's models take many texts at once, Amazon's Titan one.

Bedrock has no common form of them: each family has its own body (InvokeModel).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from modelyard.inference.call import Call
from modelyard.inference.providers.parameters import Rules, fit, impossible, taken
from modelyard.inference.providers.vectors import pack

Json = dict[str, Any]
RULES: Rules = {
    "dimensions": taken(),
    "encoding_format": taken(),
    "task_type": taken("`input_type` of Cohere's"),
}
_TASKS = {
    "RETRIEVAL_QUERY": "search_query",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
}


class _Titan(Struct, rename="camel"):
    embedding: list[float] = []
    input_text_token_count: int = 0


class _Cohere(Struct):
    embeddings: list[list[float]] | dict[str, list[list[float]]] = []


def write(call: Call, model: str, target: str, warnings: list[str]) -> Json:
    """The body for ``model``. Raises AttemptFailed for one that embeds nothing."""
    body = call.body
    fit(body, RULES, target, warnings)
    given = body["input"]
    texts = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) for text in texts):
        raise impossible(f"{target} embeds texts, not tokens: send 'input' as text.", "input")
    if "cohere." in model:
        sent: Json = {
            "texts": texts,
            "input_type": _TASKS.get(body.get("task_type", ""), "search_document"),
            "embedding_types": ["float"],
        }
        if body.get("dimensions"):
            sent["output_dimension"] = body["dimensions"]
        return sent
    if "titan-embed" not in model:
        raise impossible(f"{target} is no embedding model of Cohere's or Amazon's.", "model")
    if len(texts) > 1:
        text = f"{target} embeds one text a call: send them apart, or use one of Cohere's models."
        raise impossible(text, "input")
    sent = {"inputText": texts[0]}
    if body.get("dimensions"):
        sent["dimensions"] = body["dimensions"]
    return sent


def read(body: bytes, call: Call, model: str) -> Json:
    """The canonical answer. Raises DecodeError."""
    used: Json | None = None
    if "cohere." in model:
        found = msgspec.json.decode(body, type=_Cohere).embeddings
        vectors = found if isinstance(found, list) else found.get("float", [])
    else:
        titan = msgspec.json.decode(body, type=_Titan)
        vectors = [titan.embedding] if titan.embedding else []
        count = titan.input_text_token_count
        used = {"prompt_tokens": count, "total_tokens": count}
    packed = call.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": pack(one) if packed else one}
        for index, one in enumerate(vectors)
    ]
    made: Json = {"object": "list", "data": data, "model": model}
    return made if used is None else made | {"usage": used}
