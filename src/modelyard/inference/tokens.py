"""Tokens of a text and of a request, counted before a provider is asked.

``vocabularies`` says by which vocabulary: OpenAI's o200k_base where nothing else is known. Counts
are exact for OpenAI's models and an estimate for all others; ``measure`` therefore gives a bound
beside the estimate, which is what a reservation takes. What a call really used is what its
provider reports afterwards.
"""

import json
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import msgspec
from splintr import Tokenizer

from modelyard.inference.call import CHAT
from modelyard.inference.vocabularies import OPENAI

EXACT_CHARACTERS = 131_072  # a longer text is sampled: the event loop waits for the count
_SAMPLES, _SAMPLE = 128, 1024  # pieces, and characters in each
_CACHED_CHARACTERS = 4_000_000  # the library bounds its cache in entries, not in bytes

PER_MESSAGE = 4  # the separators, and the role
PER_NAME = 1
PER_CALL = 3
PRIMING = 3
IMAGE_LOW = 85
IMAGE = 765  # 1024 × 1024: 85, and 170 for each of 4 tiles
IMAGE_BOUND = 1600
_WAV_BYTES = 4_800  # of 16 bit mono at 24 kHz, in 100 ms, which is one token
_AUDIO_BYTES = 1_600  # of a compressed format at 128 kbit/s, likewise
_FILE_BYTES = 48  # a page of 72 kB has about 1,500 tokens

_FOREIGN = 1.5  # other vocabularies need up to so many times as many for ASCII
_TEMPLATE = 16  # and their chat templates add so many
_TOOLS = 250  # with tools, so many more


class Measure(NamedTuple):
    """Prompt tokens of a request: the estimate, and a bound for any provider's vocabulary."""

    tokens: int
    bound: int


class _Counter:
    """A vocabulary, with its memory bounded."""

    def __init__(self, vocabulary: str) -> None:
        self._tokenizer = Tokenizer.from_pretrained(vocabulary)
        self._flat: Callable[[str], bytes] = self._tokenizer.encode_flat
        self._left = _CACHED_CHARACTERS

    def count(self, text: str) -> int:
        """Tokens of a text, of which none is taken for a control token."""
        self._left -= len(text)
        if self._left < 0:
            self._left = _CACHED_CHARACTERS
            self._tokenizer.clear_cache()
        try:
            if "<|" in text:  # as control tokens are spelled, which encode_flat would match
                return len(self._tokenizer.encode_ordinary(text))
            return len(self._flat(text)) >> 2
        except UnicodeEncodeError:  # a lone surrogate
            return self.count(text.encode("utf-8", "replace").decode())

    def split(self, text: str) -> list[str]:
        """The text's tokens. One that only begins a character is empty."""
        decoder = self._tokenizer.streaming_decoder()
        ids = self._tokenizer.encode_ordinary(text.encode("utf-8", "replace").decode())
        pieces = [decoder.add_token(token) or "" for token in ids]
        if rest := decoder.flush():
            pieces[-1] += rest
        return pieces


@cache
def _counter(vocabulary: str) -> _Counter:
    return _Counter(vocabulary)


def load(vocabulary: str = OPENAI) -> None:
    """Load a vocabulary (10 to 160 ms, 41 MB at most): at the start, or with the first count."""
    # The first word that is no token builds the table of merges.
    _counter(vocabulary).count("qzxqzxwv")


def count(text: str, vocabulary: str = OPENAI) -> int:
    """Tokens of ``text`` in a vocabulary, control tokens spelled out in it taken as text.

    Exact up to 131,072 characters; of a longer text 128 pieces spread over it are counted.
    """
    if len(text) <= EXACT_CHARACTERS:
        return _counter(vocabulary).count(text)
    step = (len(text) - _SAMPLE) / (_SAMPLES - 1)
    starts = [int(step * number) for number in range(_SAMPLES)]
    counter = _counter(vocabulary)
    seen = sum(counter.count(text[start : start + _SAMPLE]) for start in starts)
    return round(seen * len(text) / (_SAMPLES * _SAMPLE))


def split(text: str) -> list[str]:
    """``text`` cut into its tokens, one string each; joined, they are the text.

    A token that ends inside a character is an empty string, and the one that completes it holds
    the character. Lone surrogates become question marks.
    """
    return _counter(OPENAI).split(text)


def estimate(body: dict[str, Any], kind: str, vocabulary: str = OPENAI) -> int:
    """Prompt tokens of a request in OpenAI's shape. See ``measure``."""
    return measure(body, kind, vocabulary).tokens


def bound(body: dict[str, Any], kind: str) -> int:
    """The most prompt tokens that a provider should count. See ``measure``."""
    return measure(body, kind).bound


def measure(body: dict[str, Any], kind: str, vocabulary: str = OPENAI) -> Measure:
    """Estimate and bound of a request's prompt tokens.

    As OpenAI counts: each text by the vocabulary, 4 for each message, 1 for a name, 3 to prime
    the answer. Tools and schemas count as their JSON. An image is 85 at low detail and else 765,
    its size being unknown; audio is a token for 100 ms, judged by its bytes; a file one for 48
    bytes. What the body lacks counts nothing; it is not validated here.

    The bound is half as much again, and one for each byte beyond a character's first: foreign
    vocabularies spell other scripts in bytes. It is no proof: digits alone can take twice that.
    """
    tally = _Tally(vocabulary)
    if kind == CHAT:
        tally.chat(body)
    else:
        tally.prompts(body.get("input" if "input" in body else "prompt"))
    return tally.measure()


class _Tally:
    """What was found in a request: texts still to count, and tokens known already."""

    __slots__ = ("bound", "fixed", "texts", "vocabulary")

    def __init__(self, vocabulary: str) -> None:
        self.vocabulary = vocabulary
        self.texts: list[str] = []
        self.fixed = 0
        self.bound = 0  # beyond the margin on what is counted

    def measure(self) -> Measure:
        """Count the texts."""
        texts = self.texts
        if sum(map(len, texts)) > EXACT_CHARACTERS:
            tokens = count("\n".join(texts), self.vocabulary)
        else:
            counter = _counter(self.vocabulary)
            tokens = sum([counter.count(text) for text in texts])
        extra = 0
        for text in texts:
            if not text.isascii():
                extra += len(text.encode("utf-8", "replace")) - len(text)
        limit = -int(-_FOREIGN * (tokens + self.fixed) // 1) + extra + _TEMPLATE
        return Measure(tokens + self.fixed, limit + self.bound)

    def chat(self, body: dict[str, Any]) -> None:
        """Messages, tools and the schema of the answer."""
        self.fixed += PRIMING
        for message in _objects(body.get("messages")):
            self.message(message)
        for tools in (body.get("tools"), body.get("functions")):
            if tools:
                self.texts.append(_json(tools))
                self.bound += _TOOLS
        form = body.get("response_format")
        if isinstance(form, dict) and "json_schema" in form:
            self.texts.append(_json(form["json_schema"]))

    def message(self, message: dict[str, Any]) -> None:
        """One message of a chat."""
        self.fixed += PER_MESSAGE
        content = message.get("content")
        if isinstance(content, str):
            self.texts.append(content)
        else:
            for part in _objects(content):
                self.part(part)
        if len(message) == 2:
            return
        for field in ("name", "refusal", "reasoning_content"):
            if isinstance(text := message.get(field), str):
                self.texts.append(text)
                self.fixed += PER_NAME
        for call in _objects(message.get("tool_calls")):
            self.fixed += PER_CALL
            self.texts.append(_json(call.get("function") or call.get("custom")))

    def part(self, part: dict[str, Any]) -> None:
        """One part of a message: text, an image, audio, a file."""
        sort = part.get("type")
        if isinstance(text := part.get("text", part.get("refusal")), str):
            self.texts.append(text)
        elif sort == "input_audio":
            audio = part.get("input_audio")
            size = _WAV_BYTES if _member(audio, "format") == "wav" else _AUDIO_BYTES
            self.fixed += max(1, _decoded(_member(audio, "data")) // size)
        elif sort == "file":
            data = _member(part.get("file"), "file_data")
            self.fixed += max(IMAGE, _decoded(data) // _FILE_BYTES)
        else:
            low = _member(part.get("image_url"), "detail") == "low"
            self.fixed += IMAGE_LOW if low else IMAGE
            self.bound += IMAGE_BOUND

    def prompts(self, prompt: object) -> None:
        """The prompt or input of a completion or embedding: texts, tokens, or lists of them."""
        if isinstance(prompt, str):
            self.texts.append(prompt)
        elif isinstance(prompt, list):
            for item in prompt:
                if isinstance(item, str):
                    self.texts.append(item)
                else:
                    self.fixed += len(item) if isinstance(item, list) else 1


def _objects(value: object) -> list[dict[str, Any]]:
    """The objects in a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _member(value: object, name: str) -> object:
    """A member of an object; None where it is no object."""
    return value.get(name) if isinstance(value, dict) else None


def _decoded(data: object) -> int:
    """Bytes of base64."""
    return len(data) * 3 // 4 if isinstance(data, str) else 0


def _json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(value)
