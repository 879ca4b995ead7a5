"""``POST /v1/chat/completions``, ``/v1/completions`` and ``/v1/embeddings`` as OpenAI has them.

The structs name the fields that are checked; everything else is passed on.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from modelyard.inference.call import CHAT, COMPLETION, EMBEDDING, Call
from modelyard.inference.surfaces.inbound import Inbound
from modelyard.inference.surfaces.openai import OpenAIDelivery, make_call, read_object
from modelyard.protocol.errors import Failure

_DEPTH = 200  # what can be read at the bottom of a stack must be writable at its top

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


class Part(Struct):
    """One part of a message. Other types than these are passed on."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: dict[str, Any] | str | None = None
    input_audio: dict[str, Any] | None = None
    file: dict[str, Any] | None = None


class ToolCall(Struct):
    """One call of a tool, in the assistant's message."""

    id: str | None = None
    type: str | None = None
    function: dict[str, Any] | None = None
    custom: dict[str, Any] | None = None


class Message(Struct):
    """One message of a conversation."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class Tool(Struct):
    """A tool the model may call."""

    type: str
    function: dict[str, Any] | None = None
    custom: dict[str, Any] | None = None


class ToolChoice(Struct):
    """The tool, or tools, that are to be called."""

    type: str | None = None
    function: dict[str, Any] | None = None
    custom: dict[str, Any] | None = None
    allowed_tools: dict[str, Any] | None = None


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
    tool_choice: str | ToolChoice | None = None
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
    stream: bool | None = None  # only to say that there is none
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
        raw = inbound.exchange.body
        body = read_object(raw, self._shape)
        bounded(raw, body)
        if self._kind == EMBEDDING and body.get("stream"):
            raise Failure(
                "INVALID_REQUEST",
                "'stream' must be left out or false: embeddings cannot be streamed.",
                details={"field": "stream", "rule": "enum", "allowed": [False]},
            )
        # A sample is never collapsed: two callers of temperature 1 want two answers.
        share = self._kind == EMBEDDING or body.get("temperature") == 0
        call = make_call(inbound, self.name, self._kind, body, share, self._timeout)
        options = body.get("stream_options")
        return call, OpenAIDelivery(inbound, bool(options and options.get("include_usage")))


def bounded(raw: bytes, body: dict[str, Any]) -> None:
    """Refuse what is nested too deeply. Raises INVALID_REQUEST."""
    # Only a body with so many brackets can be nested so deeply.
    if raw.count(b"[") + raw.count(b"{") > _DEPTH and _deeper(body, _DEPTH):
        raise Failure(
            "INVALID_REQUEST",
            f"The body is nested more than {_DEPTH} levels deep.",
            details={"field": "body", "rule": "depth", "allowed": _DEPTH},
        )


def _deeper(body: dict[str, Any], most: int) -> bool:
    """Whether lists and objects lie in each other more than ``most`` levels deep."""
    level: list[Any] = [body]
    for _ in range(most):
        level = [
            inner
            for node in level
            for inner in (node.values() if isinstance(node, dict) else node)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def surfaces(timeout: float) -> list[OpenAISurface]:
    """OpenAI's inference endpoints."""
    return [
        OpenAISurface("chat", "/v1/chat/completions", CHAT, ChatRequest, timeout),
        OpenAISurface("completions", "/v1/completions", COMPLETION, CompletionRequest, timeout),
        OpenAISurface("embeddings", "/v1/embeddings", EMBEDDING, EmbeddingRequest, timeout),
    ]
