"""Google's ``models/{model}:generateContent`` and its siblings, under ``/v1beta`` and ``/v1``.

The structs name the fields that are checked; everything else reaches a provider that speaks the
dialect untouched, and is translated for the others as far as they have it.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from msgspec import Meta, Struct

from modelyard.inference.call import CHAT, COUNT, EMBEDDING, Call
from modelyard.inference.surfaces.chat import Penalty, Samples, Share, Temperature, bounded
from modelyard.inference.surfaces.gemini_answer import (
    ArrayDelivery,
    CountDelivery,
    EmbedDelivery,
    EmbedManyDelivery,
    GeminiDelivery,
)
from modelyard.inference.surfaces.gemini_request import camel, canonical, embedding
from modelyard.inference.surfaces.inbound import Inbound
from modelyard.inference.surfaces.openai import make_call, read_object
from modelyard.inference.surfaces.translating import translated
from modelyard.protocol.errors import Failure


class Content(Struct):
    """One turn, of ``user`` or ``model``."""

    parts: list[dict[str, Any]] | None = None
    role: str | None = None


class GenerationConfig(Struct, rename="camel"):
    """How the answer is made."""

    max_output_tokens: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    top_k: Annotated[float, Meta(ge=0)] | None = None
    candidate_count: Samples | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    thinking_config: dict[str, Any] | None = None


class GenerateRequest(Struct, rename="camel"):
    """A request of generateContent."""

    contents: Annotated[list[Content], Meta(min_length=1, max_length=100_000)]
    system_instruction: Content | None = None
    tools: list[dict[str, Any]] | None = None
    tool_config: dict[str, Any] | None = None
    generation_config: GenerationConfig | None = None
    safety_settings: list[dict[str, Any]] | None = None
    cached_content: str | None = None
    labels: dict[str, str] | None = None


class CountTokensRequest(Struct, rename="camel"):
    """What is to be counted: one of the two."""

    contents: list[Content] | None = None
    generate_content_request: GenerateRequest | None = None


class EmbedRequest(Struct, rename="camel"):
    """A text to embed."""

    content: Content
    task_type: str | None = None
    title: str | None = None
    output_dimensionality: Annotated[int, Meta(ge=1, le=100_000)] | None = None


class EmbedManyRequest(Struct):
    """Texts to embed."""

    requests: Annotated[list[EmbedRequest], Meta(min_length=1, max_length=10_000)]


class GeminiSurface:
    """One of Google's methods of a model."""

    permission = "inference:create"

    def __init__(self, name: str, method: str, kind: str, shape: type, timeout: float) -> None:
        self.name = name
        self.path = ":" + method
        self._kind = kind
        self._shape = shape
        self._timeout = timeout
        self._stream = method == "streamGenerateContent"

    def delivery(self, inbound: Inbound) -> GeminiDelivery:
        """A delivery for a request whose body is not known."""
        return GeminiDelivery(inbound)

    def read(self, inbound: Inbound) -> tuple[Call, GeminiDelivery]:
        """The call, and how its answer goes out. Raises INVALID_REQUEST."""
        exchange = inbound.exchange
        asked = read_object(exchange.body, self._shape)
        bounded(exchange.body, asked)
        named = camel(asked)
        if named != asked:
            read_object(msgspec.json.encode(named), self._shape)
        body = translated(self._body, named) | {"model": model_of(exchange.path)}
        body.pop("stream", None)
        if self._stream:
            body["stream"] = True
        share = self._kind == EMBEDDING or body.get("temperature") == 0
        call = make_call(inbound, self.name, self._kind, body, share, self._timeout)
        call.dialect = "gemini"
        call.native = asked
        return call, self._made(inbound, call)

    def _body(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self._kind == EMBEDDING:
            return embedding(asked.get("requests") or [asked])
        if self._kind == COUNT:
            asked = asked.get("generateContentRequest") or asked
            if not asked.get("contents"):
                raise Failure(
                    "INVALID_REQUEST",
                    "The field 'contents' is missing: send what is to be counted.",
                    details={"field": "contents", "rule": "required"},
                )
        return canonical(asked)

    def _made(self, inbound: Inbound, call: Call) -> GeminiDelivery:
        if self._stream:
            sse = b"alt=sse" in inbound.exchange.query
            return GeminiDelivery(inbound, call) if sse else ArrayDelivery(inbound, call)
        return _DELIVERIES.get(self.name, GeminiDelivery)(inbound, call)


_DELIVERIES: dict[str, type[GeminiDelivery]] = {
    "count_tokens": CountDelivery,
    "embed_content": EmbedDelivery,
    "batch_embed_contents": EmbedManyDelivery,
}


def model_of(path: str) -> str:
    """The model in ``/v1beta/models/{model}:method``, whose colon may be encoded."""
    named = unquote(path).partition("/models/")[2]
    return named.rpartition(":")[0]


def surfaces(timeout: float) -> list[GeminiSurface]:
    """Google's inference methods."""
    return [
        GeminiSurface("generate_content", "generateContent", CHAT, GenerateRequest, timeout),
        GeminiSurface("generate_content", "streamGenerateContent", CHAT, GenerateRequest, timeout),
        GeminiSurface("count_tokens", "countTokens", COUNT, CountTokensRequest, timeout),
        GeminiSurface("embed_content", "embedContent", EMBEDDING, EmbedRequest, timeout),
        GeminiSurface(
            "batch_embed_contents", "batchEmbedContents", EMBEDDING, EmbedManyRequest, timeout
        ),
    ]
