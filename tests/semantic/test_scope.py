"""What is compared at all: requests that differ in one text, and in nothing else."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelyard.auth.keys import Key
from modelyard.inference.call import CHAT, COMPLETION, COUNT, EMBEDDING, Call, Terms
from modelyard.inference.pipeline import lookup_of
from modelyard.inference.providers.sandbox import Sandbox
from modelyard.inference.semantic.scope import LONGEST, framed
from modelyard.inference.snapshot import Model, single
from modelyard.inference.snapshot import make_target as target
from modelyard.settings import ProviderSettings


def model(name: str) -> Model:
    return single(target(Sandbox(), ProviderSettings(dialect="sandbox"), name), name)


def call(body: dict[str, Any], **more: Any) -> Call:
    workspace = more.pop("workspace", "w")
    key = Key(id="id", workspace=workspace, scopes=())
    given: dict[str, Any] = {
        "id": "r", "record_id": "r", "key": key, "surface": "chat", "kind": CHAT, "model": "m",
        "body": body, "started": 0.0, "at": 0.0,
    }  # fmt: skip
    return Call(**(given | more))


def scope(asked: Call, name: str = "m") -> tuple[str, bytes] | None:
    """The text that varies, and the digest of all else, as the pipeline makes it."""
    parts = framed(asked)
    return parts and (parts.text, lookup_of(model(name), asked, parts.frame).key)


def chat(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": said} for role, said in turns]} | more


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
words = st.text(min_size=1, max_size=30).filter(lambda text: bool(text.strip()))


@given(one=words, other=words)
def test_only_the_last_text_may_differ(one: str, other: str) -> None:
    for turns in ((), (("system", "Be brief."),), (("user", "Hi"), ("assistant", "Hello"))):
        first = scope(call(chat(*turns, ("user", one))))
        second = scope(call(chat(*turns, ("user", other))))
        assert first is not None and second is not None
        assert first == (one, second[1])


# Each changes a request in a way that may change its answer.
CHANGES: dict[str, Any] = {
    "a system prompt": lambda body: body["messages"].insert(0, {"role": "system", "content": "S"}),
    "an earlier turn": lambda body: body["messages"].insert(0, {"role": "user", "content": "S"}),
    "a name": lambda body: body["messages"][-1].update(name="bob"),
    "an image before": lambda body: body["messages"].insert(
        0, {"role": "user", "content": [IMAGE]}
    ),
    "tools": lambda body: body.update(tools=[TOOL]),
    "the tool's choice": lambda body: body.update(tool_choice="none"),
    "a response format": lambda body: body.update(response_format={"type": "json_object"}),
    "temperature": lambda body: body.update(temperature=0.5),
    "max_tokens": lambda body: body.update(max_tokens=7),
    "stop": lambda body: body.update(stop=["."]),
    "seed": lambda body: body.update(seed=1),
    "n": lambda body: body.update(n=2),
    "an unknown field": lambda body: body.update(whatever={"deep": [1]}),
    "parts in place of a text": lambda body: body["messages"][-1].update(
        content=[{"type": "text", "text": body["messages"][-1]["content"]}]
    ),
}  # fmt: skip


@given(text=words, names=st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, unique=True))
def test_whatever_else_differs_is_another_scope(text: str, names: list[str]) -> None:
    plain = chat(("user", text))
    changed = copy.deepcopy(plain)
    for name in names:
        CHANGES[name](changed)
    before = copy.deepcopy(changed)
    first, second = scope(call(plain)), scope(call(changed))
    assert first is not None and second is not None
    assert first[0] == second[0] == text
    assert first[1] != second[1]
    assert changed == before, "the request itself stays as it is"


@given(text=words)
def test_workspace_model_stream_and_namespace_are_scopes(text: str) -> None:
    body = chat(("user", text))
    asked = [
        (call(body), "m"),
        (call(body, workspace="other"), "m"),
        (call(body), "m2"),
        (call(body, stream=True), "m"),
        (call(body, terms=Terms(namespace="n")), "m"),
        (call(body, assumed=("temperature",)), "m"),
        (call({"prompt": text}, kind=COMPLETION), "m"),
        (call(body, dialect="anthropic", native=body, surface="messages"), "m"),
        (call(body, dialect="anthropic", native=body, forward=b"anthropic-beta: a\r\n"), "m"),
    ]
    scopes = {found[1] for one, name in asked if (found := scope(one, name)) is not None}
    assert len(scopes) == len(asked)


def test_dialects_have_their_texts_elsewhere() -> None:
    turn = {"role": "user", "content": [{"type": "text", "text": "a"}]}
    anthropic = {"system": "S", "messages": [turn]}
    gemini = {"contents": [{"parts": [{"text": "a"}]}]}
    for dialect, native in (("anthropic", anthropic), ("gemini", gemini)):
        found = scope(call({}, dialect=dialect, native=native))
        assert found is not None and found[0] == "a"


def test_what_is_not_one_text_is_not_compared() -> None:
    none = [
        call(chat(("user", [IMAGE]))),
        call(chat(("user", [{"type": "text", "text": "What is this?"}, IMAGE]))),
        call(chat(("user", "Hi"), ("assistant", "Hello"))),
        call(chat(("user", "Hi"), ("tool", "42"))),
        call(chat(("user", "   "))),
        call(chat(("user", "x" * (LONGEST + 1)))),
        call({"prompt": ["a", "b"]}, kind=COMPLETION),
        call({"prompt": [1, 2]}, kind=COMPLETION),
        call({"input": "a"}, kind=EMBEDDING),
        call(chat(("user", "a")), kind=COUNT),
        call({"messages": []}),
        call({}, dialect="gemini", native={"contents": [{"parts": [{"inlineData": {}}]}]}),
        call({}, dialect="other", native=chat(("user", "a"))),
    ]  # fmt: skip
    assert [framed(one) for one in none] == [None] * len(none)
