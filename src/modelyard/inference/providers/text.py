"""The text inside a complete answer in OpenAI's shape."""

import msgspec
from msgspec import Struct


class _Message(Struct):
    content: str | None = None


class _Choice(Struct):
    message: _Message | None = None
    text: str | None = None


class _Body(Struct):
    choices: list[_Choice] | None = None


_decode = msgspec.json.Decoder(_Body).decode


def text_of(body: bytes) -> str:
    """The text of a chat or text completion, all choices joined; "" when there is none."""
    try:
        choices = _decode(body).choices or ()
    except msgspec.DecodeError:
        return ""
    return "".join((c.message.content if c.message else c.text) or "" for c in choices)
