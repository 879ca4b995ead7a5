"""The tokens of a request, counted here: for providers that cannot be asked."""

import msgspec

from modelyard.inference import tokens
from modelyard.inference.call import CHAT, Call
from modelyard.inference.providers.reply import Whole


def count_body(count: int) -> bytes:
    """The canonical answer to a call that counts."""
    return msgspec.json.encode({"object": "tokens", "input_tokens": count})


def counted(call: Call) -> Whole:
    """The request's tokens in OpenAI's vocabulary (exact for OpenAI's models)."""
    return Whole(count_body(tokens.estimate(call.body, CHAT)))
