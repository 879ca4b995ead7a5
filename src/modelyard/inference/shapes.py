"""What providers send, as far as it is read here.

Structs stand apart from the modules that use them: those can be compiled, and mypyc does not know
how msgspec makes classes.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct


class _ErrorBody(Struct):
    error: Any = None


decode_error = msgspec.json.Decoder(_ErrorBody).decode


class _Delta(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: Any = None
    audio: Any = None


class _Choice(Struct):
    index: int | None = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class Chunk(Struct):
    """One event of a stream."""

    choices: list[_Choice] | None = None
    usage: Any = None
    model: str | None = None
    error: Any = None


decode_chunk = msgspec.json.Decoder(Chunk).decode


class _Result(Struct):
    finish_reason: str | None = None


class _Body(Struct):
    model: str | None = None
    usage: Any = None
    choices: list[_Result] | None = None
    data: list[msgspec.Raw] | None = None


decode_body = msgspec.json.Decoder(_Body).decode
