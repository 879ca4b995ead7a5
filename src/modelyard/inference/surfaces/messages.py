"""``POST /v1/messages`` and ``/v1/messages/count_tokens`` as Anthropic has them.

The structs name the fields that are checked; everything else reaches a provider that speaks the
dialect untouched, and is translated for the others as far as they have it.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from modelyard.inference.call import CHAT, COUNT, Call
from modelyard.inference.surfaces.chat import ModelName, Share, User, bounded
from modelyard.inference.surfaces.inbound import Inbound
from modelyard.inference.surfaces.messages_answer import CountDelivery, MessagesDelivery
from modelyard.inference.surfaces.messages_request import canonical, strange
from modelyard.inference.surfaces.openai import make_call, read_object
from modelyard.inference.surfaces.translating import translated

_FORWARDED = (b"anthropic-version", b"anthropic-beta")


class Block(Struct):
    """A block of content. Its other members depend on ``type``."""

    type: str


class Turn(Struct):
    """One message of a conversation: ``user``, ``assistant``, or ``system`` in its midst."""

    role: str
    content: str | list[Block]


class Format(Struct):
    """The form of the answer."""

    effort: str | None = None
    format: dict[str, Any] | None = None


class Owner(Struct):
    """Who asks."""

    user_id: User | None = None


class CountRequest(Struct):
    """What is to be counted."""

    messages: Annotated[list[Turn], Meta(min_length=1, max_length=100_000)]
    model: ModelName = ""
    system: str | list[Block] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: Format | None = None


class MessagesRequest(CountRequest, kw_only=True):
    """A request of the Messages API."""

    max_tokens: Annotated[int, Meta(ge=0, le=10_000_000)]
    stream: bool | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    metadata: Owner | None = None
    service_tier: str | None = None


class MessagesSurface:
    """One of Anthropic's two endpoints."""

    permission = "inference:create"

    def __init__(self, name: str, path: str, kind: str, timeout: float) -> None:
        self.name = name
        self.path = path
        self._kind = kind
        self._shape = MessagesRequest if kind == CHAT else CountRequest
        self._delivery = MessagesDelivery if kind == CHAT else CountDelivery
        self._timeout = timeout

    def delivery(self, inbound: Inbound) -> MessagesDelivery:
        """A delivery for a request whose body is not known."""
        return self._delivery(inbound)

    def read(self, inbound: Inbound) -> tuple[Call, MessagesDelivery]:
        """The call, and how its answer goes out. Raises INVALID_REQUEST."""
        raw = inbound.exchange.body
        asked = read_object(raw, self._shape)
        bounded(raw, asked)
        share = asked.get("temperature") == 0
        body = translated(canonical, asked)
        call = make_call(inbound, self.name, self._kind, body, share, self._timeout)
        call.dialect = "anthropic"
        call.native = asked
        if b"thinking" in raw and _strange(asked):
            call.raw = b""
        fields = inbound.fields
        call.forward = b"".join(
            [b"%b: %b\r\n" % (name, fields[name]) for name in _FORWARDED if name in fields]
        )
        return call, self._delivery(inbound, call)


def _strange(asked: dict[str, Any]) -> bool:
    """Whether it holds what Anthropic would refuse, as another vendor answered before."""
    turns = (turn["content"] for turn in asked["messages"] if turn["role"] == "assistant")
    return any(strange(one) for said in turns if isinstance(said, list) for one in said)


def surfaces(timeout: float) -> list[MessagesSurface]:
    """Anthropic's inference endpoints."""
    return [
        MessagesSurface("messages", "/v1/messages", CHAT, timeout),
        MessagesSurface("count_tokens", "/v1/messages/count_tokens", COUNT, timeout),
    ]
