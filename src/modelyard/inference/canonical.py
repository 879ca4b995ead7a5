"""Answers in OpenAI's shape, as surfaces of other dialects read them.

What docs/adr/0007 adds to the shape is here too: ``thinking_blocks``, ``stop_reason`` (vLLM's
name for the stop sequence that was met), ``extra_content`` of tool calls (Google's name).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct


def google_signature(extra: dict[str, Any] | None) -> str | None:
    """Google's signature of a thought, out of ``extra_content``."""
    found = (extra or {}).get("google")
    signature = found.get("thought_signature") if isinstance(found, dict) else None
    return signature if isinstance(signature, str) else None


class Function(Struct):
    """A called function; of a stream's chunk, a piece of it."""

    name: str | None = None
    arguments: str | None = None


class Called(Struct):
    """One call of a tool."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: dict[str, Any] | None = None


class Said(Struct):
    """A message, or what a chunk adds to it."""

    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking_blocks: list[dict[str, Any]] | None = None
    tool_calls: list[Called] | None = None
    extra_content: dict[str, Any] | None = None
    images: list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """The text, of whatever form."""
        if isinstance(self.content, str):
            return self.content
        parts = [str(part.get("text") or "") for part in self.content or ()]
        return "".join(parts) or self.refusal or ""

    @property
    def thought(self) -> str:
        """The reasoning's text."""
        return self.reasoning_content or self.reasoning or ""


class Choice(Struct):
    """One sample of a complete answer, or what a chunk adds to it."""

    index: int | None = 0
    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    stop_reason: Any = None

    @property
    def stop_sequence(self) -> str | None:
        """The stop sequence that was met, where the provider tells."""
        return self.stop_reason if isinstance(self.stop_reason, str) else None


class Vector(Struct):
    """One embedding."""

    embedding: list[float] | str
    index: int = 0


class Completed(Struct):
    """A complete answer, or one chunk of a stream."""

    id: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[Choice] = []
    data: list[Vector] = []
    input_tokens: int = 0  # of a call that counts


decode = msgspec.json.Decoder(Completed).decode
