"""The sandbox's answer to a chat or completion, before it is written as JSON or as a stream."""

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from modelyard.inference import tokens
from modelyard.inference.call import CHAT
from modelyard.inference.providers import sandbox_text, sandbox_tools
from modelyard.inference.providers.sandbox_directives import Directives, refused
from modelyard.inference.providers.sandbox_json import mapping, objects
from modelyard.inference.providers.sandbox_schema import NoInstance, instance

_encode = msgspec.json.Encoder(order="deterministic").encode
MOST_CHOICES = 128
MOST_TOKENS = 131_072
_UNHASHED = {"stream", "stream_options"}  # both ways of answering give the same answer


class Choice(Struct):
    """One answer, in tokens."""

    index: int
    reasoning: list[str]
    text: list[str]
    calls: list[sandbox_tools.ToolCall]
    finish: str


class Written(Struct):
    """Everything that was answered. ``digest`` names the request."""

    digest: str
    choices: list[Choice]
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int


def write(body: dict[str, Any], kind: str, prompt: str, directives: Directives) -> Written:
    """The answer to a validated request. Raises AttemptFailed (INVALID_REQUEST)."""
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    stops = body.get("stop") or []
    stops = [stops] if isinstance(stops, str) else stops
    prompts = [prompt] if kind == CHAT else _prompts(body, prompt)
    count = body.get("n") or 1
    total = count * len(prompts)
    if total > MOST_CHOICES or total * (directives.tokens or 0) > MOST_TOKENS:
        raise refused(
            f"The sandbox gives at most {MOST_CHOICES} choices, of {MOST_TOKENS} tokens in all.",
            "n",
        )
    choices: list[Choice] = []
    for each in prompts:
        for variant in range(count):
            choice = _choice(body, kind, each, variant, directives)
            choice.index = len(choices)
            _stop(choice, stops)
            _limit(choice, most)
            choices.append(choice)
    return Written(
        digest(body),
        choices,
        tokens.estimate(body, kind),
        sum(size(choice) for choice in choices),
        sum(len(choice.reasoning) for choice in choices),
    )


def digest(body: dict[str, Any]) -> str:
    """24 hexadecimal digits that stand for the request."""
    known = {key: value for key, value in body.items() if key not in _UNHASHED}
    return hashlib.sha256(_encode(known)).hexdigest()[:24]


def size(choice: Choice) -> int:
    """Tokens of a choice, reasoning and arguments included."""
    calls = sum(len(call.pieces) for call in choice.calls)
    return len(choice.reasoning) + len(choice.text) + calls


def _prompts(body: dict[str, Any], last: str) -> list[str]:
    """The prompts of a completion; the last one without its directives."""
    given = body.get("prompt")
    if not isinstance(given, list) or not given or isinstance(given[0], int):
        return [last or _tokens_prompt(given)]
    texts = [item if isinstance(item, str) else _tokens_prompt(item) for item in given]
    return [*texts[:-1], last or texts[-1]]


def _tokens_prompt(given: Any) -> str:
    return f"{len(given)} tokens" if isinstance(given, list) else ""


def _choice(
    body: dict[str, Any], kind: str, prompt: str, variant: int, directives: Directives
) -> Choice:
    if kind != CHAT:
        text = sandbox_text.answer(prompt, [], variant, directives.tokens)
        if body.get("echo"):
            text = tokens.split(prompt) + text
        return Choice(variant, [], text, [], "stop")
    effort = body.get("reasoning_effort")
    reasoning = sandbox_text.thoughts(prompt, effort) if effort else []
    if calls := sandbox_tools.calls(body, prompt):
        return Choice(variant, reasoning, [], calls, "tool_calls")
    text = sandbox_text.answer(prompt, objects(body.get("messages")), variant, directives.tokens)
    form = mapping(body.get("response_format"))
    if form.get("type") in ("json_object", "json_schema"):
        text = tokens.split(_structured(form, "".join(text)))
    return Choice(variant, reasoning, text, [], "stop")


def _structured(form: dict[str, Any], text: str) -> str:
    """The answer as JSON: an instance of the schema, or an object with the text."""
    if form["type"] == "json_object":
        return _encode({"answer": text, "sandbox": True}).decode()
    schema = mapping(form.get("json_schema")).get("schema")
    try:
        return _encode(instance(schema if schema is not None else {"type": "object"})).decode()
    except NoInstance as error:
        field = "response_format.json_schema.schema"
        raise refused(f"The sandbox can make no instance of {field}: {error}.", field) from error


def _stop(choice: Choice, stops: list[str]) -> None:
    """End the text before the first stop sequence."""
    if not stops or not choice.text:
        return
    text = "".join(choice.text)
    found = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    if found:
        choice.text = tokens.split(text[: min(found)])


def _limit(choice: Choice, most: int | None) -> None:
    """End everything after ``most`` tokens."""
    if most is None or size(choice) <= most:
        return
    choice.finish = "length"
    choice.reasoning, most = choice.reasoning[:most], max(0, most - len(choice.reasoning))
    choice.text, most = choice.text[:most], max(0, most - len(choice.text))
    kept = []
    for call in choice.calls:
        if most <= 0:
            break
        call.pieces = call.pieces[:most]
        most -= len(call.pieces)
        kept.append(call)
    choice.calls = kept
