"""The sandbox's words: what it answers in, where no structure is asked for."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from modelyard.inference import tokens
from modelyard.inference.providers.sandbox_directives import content_text
from modelyard.inference.providers.sandbox_json import mapping, objects, string

MOST_WORDS = 5_000
_QUOTED = 120  # characters of the prompt that the answer repeats
_WORDS = re.compile(r"\b(\d{1,5})[ -]?words?\b", re.IGNORECASE)
_CLOSING = "No model was asked: the same request always gets this answer, and it is free."
_FILLER = (
    "This sentence fills the answer up to the length that was asked for.",
    "A model would say something about the request here.",
    "The sandbox only shows how long such an answer is.",
    "Every sentence of it is made from the request alone.",
    "Nothing in it is true or false.",
    "It streams token by token like the real thing.",
)
_PARTS = {
    "image_url": "image",
    "input_audio": "audio clip",
    "file": "file",
    "video_url": "video",
}
_EFFORT = {"minimal": 1, "low": 1, "medium": 2, "high": 3, "xhigh": 4, "max": 4}
_THOUGHTS = (
    "The request says: “{}”.",
    "No model is asked here, so there is nothing to find out.",
    "The answer should repeat the request and say that it comes from the sandbox.",
    "It should also be the same each time.",
)


def essence(text: str, most: int = _QUOTED) -> str:
    """The beginning of a text on one line."""
    text = " ".join(text[: most * 8].split())
    if len(text) <= most:
        return text
    return text[:most].rsplit(" ", 1)[0] + " …"


def answer(
    prompt: str, messages: list[dict[str, Any]], variant: int, length: int | None
) -> list[str]:
    """The tokens of the answer to ``prompt``, which ``messages`` lead to.

    ``variant`` tells the choices of one request apart. ``length`` is the exact number of tokens;
    None leaves it to the prompt: as many words as it asks for ("in 200 words"), else about 40.
    """
    number = f" (choice {variant + 1})" if variant else ""
    sentences = [f"Sandbox answer{number} to: “{essence(prompt)}”."]
    sentences += _results(messages)
    if received := _received(messages):
        sentences.append(f"It came with {received}.")
    sentences.append(_CLOSING)
    text = " ".join(sentences)
    if length is not None:
        while len(pieces := tokens.split(text)) < length:
            text += _more((length - len(pieces)) // 8 + 1)
        return pieces[:length]
    if asked := _WORDS.search(prompt[-2_000:]):
        words = text.split()
        count = min(int(asked[1]), MOST_WORDS)
        words += _more(max(0, count - len(words)) // 7 + 1).split()
        text = " ".join(words[: max(count, 1)])
    return tokens.split(text)


def thoughts(prompt: str, effort: str) -> list[str]:
    """The tokens of the reasoning, longer with more effort; none for "none"."""
    count = _EFFORT.get(effort, 0 if effort == "none" else 2)
    return tokens.split(" ".join(_THOUGHTS[:count]).format(essence(prompt, 60)))


def _more(sentences: int) -> str:
    return "".join(f" {_FILLER[number % len(_FILLER)]}" for number in range(sentences))


def _results(messages: list[dict[str, Any]]) -> Iterator[str]:
    """What the tools answered after the last message of the assistant."""
    trailing: list[dict[str, Any]] = []
    for message in reversed(messages):
        if message.get("role") not in {"tool", "function"}:
            break
        trailing.append(message)
    names = {
        string(call.get("id")): mapping(call.get("function") or call.get("custom")).get("name")
        for message in messages
        for call in objects(message.get("tool_calls"))
    }
    for message in reversed(trailing):
        name = names.get(string(message.get("tool_call_id"))) or message.get("name") or "tool"
        yield f"The tool {name} answered: “{essence(content_text(message.get('content')))}”."


def _received(messages: list[dict[str, Any]]) -> str:
    """Images, audio and files of the conversation, counted: "2 images and 1 audio clip"."""
    found = Counter(
        _PARTS[part["type"]]
        for message in messages
        for part in objects(message.get("content"))
        if string(part.get("type")) in _PARTS
    )
    counted = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in found.items()]
    return " and ".join([", ".join(counted[:-1]), counted[-1]] if counted[1:] else counted)
