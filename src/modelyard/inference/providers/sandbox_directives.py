"""What a request tells the sandbox to do: ``[sandbox delay=2.5 fail=429]`` in its last prompt."""

import re
from math import isfinite
from typing import Any, NamedTuple

from msgspec import Struct

from modelyard.inference.call import CHAT
from modelyard.inference.providers.provider import After, AttemptFailed
from modelyard.inference.providers.sandbox_json import objects, string

MOST_TOKENS = 16_384
_BRACKET = re.compile(r"\[sandbox\b([^\]]{0,500})\]")
_PAIR = re.compile(r"([^\s,=]+)\s*(?:=\s*([^\s,=]*))?")


class Directives(Struct):
    """Everything that can be told. Seconds, tokens of the answer, and counts."""

    delay: float = 0.0  # before the first byte
    chunk_delay: float = 0.0  # before each further token
    fail: str = ""  # an HTTP status of 400 to 599, "timeout" or "disconnect"
    retry_after: float | None = None  # seconds told with a failure
    cut: int | None = None  # the connection is lost after so many tokens
    error_after: int | None = None  # an error event comes after so many tokens
    tokens: int | None = None  # how long the answer is
    times: int | None = None  # fail, cut or error_after so often for this prompt, then never

    @property
    def faulty(self) -> bool:
        """Whether any failure was asked for."""
        return bool(self.fail) or self.cut is not None or self.error_after is not None


class _Range(NamedTuple):
    low: float
    high: float
    whole: bool = False


_RANGES = {
    "delay": _Range(0, 600),
    "chunk_delay": _Range(0, 60),
    "retry_after": _Range(0, 3600),
    "cut": _Range(0, MOST_TOKENS, True),
    "error_after": _Range(0, MOST_TOKENS, True),
    "tokens": _Range(1, MOST_TOKENS, True),
    "times": _Range(1, 1000, True),
}
_KNOWN = ("delay", "chunk_delay", "fail", "retry_after", "cut", "error_after", "tokens", "times")


def refused(message: str, param: str | None = None, code: str = "INVALID_REQUEST") -> AttemptFailed:
    """A request that the sandbox cannot answer: the client is told, the sandbox is well."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return AttemptFailed(
        "refused", message, code=code, after=After.STOP, status=400, healthy=True, error=error
    )


def prompt_of(body: dict[str, Any], kind: str) -> str:
    """The text that is answered: the last user message, or the last prompt or input."""
    if kind == CHAT:
        messages = objects(body.get("messages")) or [{}]
        asked = [message for message in messages if message.get("role") == "user"]
        return content_text((asked or messages)[-1].get("content"))
    prompt = body.get("input" if "input" in body else "prompt")
    if isinstance(prompt, list):
        prompt = prompt[-1] if prompt else ""
    return prompt if isinstance(prompt, str) else ""


def content_text(content: Any) -> str:
    """The text of a message's content, its parts joined by line breaks."""
    if isinstance(content, str):
        return content
    return "\n".join(filter(None, (string(part.get("text")) for part in objects(content))))


def parse(prompt: str) -> tuple[Directives, str]:
    """The directives of a prompt, and the prompt without them.

    Raises AttemptFailed (INVALID_REQUEST) for an unknown directive or a value out of its range.
    """
    found = Directives()
    if "[sandbox" not in prompt:
        return found, prompt
    for inside in _BRACKET.findall(prompt):
        for name, value in _PAIR.findall(inside):
            _set(found, name, value)
    return found, _BRACKET.sub("", prompt).strip()


def _set(found: Directives, name: str, value: str) -> None:
    if name == "fail":
        if value not in {"timeout", "disconnect"} and not re.fullmatch("[45][0-9]{2}", value):
            raise _wrong(name, value, "an HTTP status of 400 to 599, 'timeout' or 'disconnect'")
        found.fail = value
        return
    allowed = _RANGES.get(name)
    if allowed is None:
        raise refused(
            f"The sandbox knows no directive {name[:50]!r}. It knows {', '.join(_KNOWN)}."
        )
    rule = f"a {'whole ' if allowed.whole else ''}number from {allowed.low} to {allowed.high}"
    try:
        number = int(value) if allowed.whole else float(value)
    except ValueError:
        raise _wrong(name, value, rule) from None
    if not (isfinite(number) and allowed.low <= number <= allowed.high):
        raise _wrong(name, value, rule)
    setattr(found, name, number)


def _wrong(name: str, value: str, rule: str) -> AttemptFailed:
    return refused(f"The sandbox's directive {name!r} is {rule}, not {value[:50]!r}.")
