"""The tokens of a request, counted here: for providers that cannot be asked."""

import msgspec

from modelyard.inference import tokens, vocabularies
from modelyard.inference.call import CHAT, Call
from modelyard.inference.providers.reply import Whole


def count_body(count: int) -> bytes:
    """The canonical answer to a call that counts."""
    return msgspec.json.encode({"object": "tokens", "input_tokens": count})


def counted(call: Call, model: str) -> Whole:
    """The request's tokens by the model's vocabulary; a warning where that is an estimate."""
    vocabulary = vocabularies.find(model)
    warning = vocabulary.warning(model)
    count = tokens.estimate(call.body, CHAT, vocabulary.name)
    return Whole(count_body(count), warnings=(warning,) if warning else ())
