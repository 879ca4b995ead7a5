"""Anthropic's answers, for the OpenAPI document; answers themselves are passed on or translated."""

from typing import Any, Literal

from msgspec import Struct

StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
]


class MessageUsage(Struct):
    """What a request used; ``input_tokens`` are those neither read from a cache nor written."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class Message(Struct):
    """The answer: blocks ``text``, ``thinking``, ``tool_use`` and the like."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage


class MessageEvent(Struct):
    """One event of a stream, ``type`` being the event's name; ``message_stop`` is the last."""

    type: Literal[
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    ]
    index: int | None = None
    message: Message | None = None
    content_block: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


class TokenCount(Struct):
    """Tokens of a prompt."""

    input_tokens: int


class MessageErrorBody(Struct):
    """What went wrong; ``code`` is a symbol of our registry."""

    type: str
    message: str
    code: str
    details: dict[str, Any]
    documentation: str
    retryable: bool


class MessageError(Struct):
    """Anthropic's error envelope."""

    type: Literal["error"]
    error: MessageErrorBody
    request_id: str
