"""Google's answers, for the OpenAPI document; answers themselves are passed on or translated."""

from typing import Any

from msgspec import Struct


class GeminiContent(Struct):
    """Parts ``text``, ``functionCall``, ``inlineData`` and the like."""

    parts: list[dict[str, Any]]
    role: str = "model"


class GeminiCandidate(Struct, rename="camel"):
    """One sample."""

    content: GeminiContent
    finish_reason: str | None = None
    index: int = 0


class GeminiUsage(Struct, rename="camel"):
    """What a request used; thoughts are not among the candidates' tokens."""

    prompt_token_count: int
    candidates_token_count: int
    total_token_count: int
    cached_content_token_count: int | None = None
    thoughts_token_count: int | None = None


class GeminiResponse(Struct, rename="camel"):
    """An answer; of a stream, what one event adds to it."""

    candidates: list[GeminiCandidate]
    usage_metadata: GeminiUsage
    model_version: str
    response_id: str


class GeminiTokens(Struct, rename="camel"):
    """Tokens of a prompt."""

    total_tokens: int


class GeminiVector(Struct):
    """One vector."""

    values: list[float]


class GeminiEmbedding(Struct):
    """The vector of one text."""

    embedding: GeminiVector


class GeminiEmbeddings(Struct):
    """The vectors in the order of the texts."""

    embeddings: list[GeminiVector]


class GeminiStatus(Struct):
    """``google.rpc.Status``; the reason of its ErrorInfo is a symbol of our registry."""

    code: int
    message: str
    status: str
    details: list[dict[str, Any]]


class GeminiError(Struct):
    """Google's error envelope."""

    error: GeminiStatus
