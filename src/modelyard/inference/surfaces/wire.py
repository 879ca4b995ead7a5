"""OpenAI's answers, as far as every server that speaks the dialect fills them.

For the OpenAPI document; answers themselves are passed on untouched.
"""

from typing import Any, Literal

from msgspec import Struct


class PromptTokens(Struct):
    """Parts of ``prompt_tokens``."""

    cached_tokens: int | None = None
    audio_tokens: int | None = None


class CompletionTokens(Struct):
    """Parts of ``completion_tokens``."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class TokenUsage(Struct):
    """What a request used."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: PromptTokens | None = None
    completion_tokens_details: CompletionTokens | None = None


class ChatMessage(Struct):
    """An assistant's message."""

    role: Literal["assistant"]
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class ChatChoice(Struct):
    """One sample."""

    index: int
    message: ChatMessage
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class ChatCompletion(Struct):
    """A chat completion."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: TokenUsage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


class ChunkChoice(Struct):
    """What one chunk adds to one sample."""

    index: int
    delta: dict[str, Any]
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class ChatCompletionChunk(Struct):
    """One chunk of a streamed chat completion; ``data: [DONE]`` follows the last."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: TokenUsage | None = None


class TextChoice(Struct):
    """One sample."""

    index: int
    text: str
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class Completion(Struct):
    """A text completion."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: TokenUsage | None = None


class EmbeddingItem(Struct):
    """The vector of one input; a base64 string of little-endian float32 if so asked."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingList(Struct):
    """The vectors in the order of the inputs."""

    object: Literal["list"]
    data: list[EmbeddingItem]
    model: str
    usage: TokenUsage


class OpenAIErrorBody(Struct):
    """What went wrong, as OpenAI's clients read it; ``code`` is a symbol of our registry."""

    message: str
    type: str
    param: str | None
    code: str
    details: dict[str, Any]
    request_id: str
    documentation: str
    retryable: bool


class OpenAIError(Struct):
    """OpenAI's error envelope."""

    error: OpenAIErrorBody
