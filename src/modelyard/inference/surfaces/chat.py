"""``POST /v1/chat/completions``, ``/v1/completions`` and ``/v1/embeddings`` as OpenAI has them.

The structs name the fields that are checked; everything else is passed on.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from modelyard.inference.call import CHAT, COMPLETION, EMBEDDING, Call
from modelyard.inference.surfaces.inbound import Inbound
from modelyard.inference.surfaces.openai import OpenAIDelivery, make_call, read_object

Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Samples = Annotated[int, Meta(ge=1, le=128)]
ModelName = Annotated[str, Meta(max_length=256)]
User = Annotated[str, Meta(max_length=512)]  # kept in the log: bounded, as metadata is
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
    Meta(max_length=16),
]


class Message(Struct):
    """One message of a conversation."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class Tool(Struct):
    """A tool the model may call."""

    type: str
    function: dict[str, Any] | None = None


class StreamOptions(Struct):
    """Options of a stream."""

    include_usage: bool | None = None


class ChatRequest(Struct):
    """A chat completion request."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=100_000)]
    model: ModelName | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    n: Samples | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    stop: str | list[str] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    seed: int | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    service_tier: str | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    user: User | None = None


class CompletionRequest(Struct):
    """A text completion request."""

    prompt: str | Annotated[list[str | int | list[int]], Meta(min_length=1)]
    model: ModelName | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    n: Samples | None = None
    best_of: Samples | None = None
    max_tokens: Tokens | None = None
    stop: str | list[str] | None = None
    suffix: str | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    seed: int | None = None
    user: User | None = None


class EmbeddingRequest(Struct):
    """An embedding request."""

    input: (
        Annotated[str, Meta(min_length=1)]
        | Annotated[list[str | int | list[int]], Meta(min_length=1, max_length=100_000)]
    )
    model: ModelName | None = None
    dimensions: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: User | None = None


class OpenAISurface:
    """One of OpenAI's endpoints."""

    permission = "inference:create"

    def __init__(self, name: str, path: str, kind: str, shape: type, timeout: float) -> None:
        self.name = name
        self.path = path
        self._kind = kind
        self._shape = shape
        self._timeout = timeout

    def delivery(self, inbound: Inbound) -> OpenAIDelivery:
        """A delivery for a request whose body is not known."""
        return OpenAIDelivery(inbound)

    def read(self, inbound: Inbound) -> tuple[Call, OpenAIDelivery]:
        """The call, and how its answer goes out. Raises INVALID_REQUEST."""
        body = read_object(inbound.exchange.body, self._shape)
        # A sample is never collapsed: two callers of temperature 1 want two answers.
        share = self._kind == EMBEDDING or body.get("temperature") == 0
        call = make_call(inbound, self.name, self._kind, body, share, self._timeout)
        options = body.get("stream_options")
        return call, OpenAIDelivery(inbound, bool(options and options.get("include_usage")))


def surfaces(timeout: float) -> list[OpenAISurface]:
    """OpenAI's inference endpoints."""
    return [
        OpenAISurface("chat", "/v1/chat/completions", CHAT, ChatRequest, timeout),
        OpenAISurface("completions", "/v1/completions", COMPLETION, CompletionRequest, timeout),
        OpenAISurface("embeddings", "/v1/embeddings", EMBEDDING, EmbeddingRequest, timeout),
    ]
