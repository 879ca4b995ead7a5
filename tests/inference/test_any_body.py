"""Whatever a surface lets through can be counted, and the sandbox answers or refuses it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from sandbox_use import call_of, chat, read

from modelyard.inference import tokens
from modelyard.inference.providers.provider import AttemptFailed
from modelyard.inference.providers.sandbox import Sandbox
from modelyard.inference.surfaces.chat import ChatRequest, CompletionRequest, EmbeddingRequest
from modelyard.inference.transport.wire import Deadlines


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


NAMES = words("""type text refusal image_url input_audio file function custom name parameters
detail data format file_data arguments id mode tools schema json_schema properties required items
anyOf allOf oneOf $ref enum const minimum maximum exclusiveMinimum multipleOf minLength maxLength
minItems maxItems uniqueItems minProperties prefixItems pattern additionalProperties""")
WORDS = words("""text input_audio file image_url function custom object array string integer number
boolean null json_schema json_object auto required none allowed_tools f # #/properties/a date
[a-z]{3} \\ud800 \\x (""")

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.just(10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(WORDS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)


def members(names: str, values: Any = anything) -> Any:
    """An object with some of these members."""
    return st.dictionaries(st.sampled_from(words(names)), values, max_size=4)


SORTS = words("text refusal image_url input_audio file other")
part = members("text refusal image_url input_audio file").flatmap(
    lambda found: st.builds(lambda sort: {"type": sort} | found, st.sampled_from(SORTS) | anything)
)
function = st.fixed_dictionaries(
    {"type": st.just("function")}, optional={"function": members("name parameters") | anything}
)
message = st.builds(
    lambda role, more: {"role": role} | more,
    st.sampled_from(["user", "assistant", "tool", "system"]),
    st.fixed_dictionaries(
        {},
        optional={
            "content": st.lists(part, max_size=3) | anything,
            "tool_calls": st.lists(function, max_size=2) | anything,
            "tool_call_id": leaves,
            "name": leaves,
        },
    ),
)
chats = st.fixed_dictionaries(
    {"messages": st.lists(message, min_size=1, max_size=3)},
    optional={
        "tools": st.lists(function, max_size=3) | anything,
        "functions": anything,
        "tool_choice": st.sampled_from(["required", "auto"])
        | members("type function custom allowed_tools"),
        "response_format": st.builds(
            lambda schema: {"type": "json_schema", "json_schema": schema},
            st.builds(lambda inner: {"schema": inner}, anything) | anything,
        )
        | members("type json_schema"),
        "reasoning_effort": st.sampled_from(["low", "", "x"]),
        "stop": st.lists(st.text(max_size=2), max_size=2),
        "max_tokens": st.integers(1, 50),
        "logprobs": st.booleans(),
        "other": anything,
    },
)
items = st.one_of(st.text(max_size=5), st.integers(-5, 2**40), st.lists(st.integers(0, 9)))
inputs = st.text(max_size=5) | st.lists(items, max_size=4) | anything
completions = st.fixed_dictionaries({"prompt": inputs}, optional={"echo": st.booleans()})
embeddings = st.fixed_dictionaries({"input": inputs}, optional={"dimensions": leaves})


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


async def answer(body: dict[str, Any], kind: str) -> None:
    model = "sandbox-embedding" if kind == "embedding" else "sandbox"
    for stream in {False, kind != "embedding"}:
        try:
            reply = await Sandbox().call(
                call_of(body, kind, stream=stream), model, Deadlines(), "a"
            )
        except AttemptFailed as error:
            assert error.status == 400
        else:
            assert (await read(reply))[1] is None


def check(body: dict[str, Any], shape: type, kind: str, runner: asyncio.Runner) -> None:
    body = msgspec.json.decode(msgspec.json.encode(body))
    tokens.measure(body, kind)
    try:
        msgspec.convert(body, shape)
    except msgspec.ValidationError:
        return
    runner.run(answer(body, kind))


@given(body=chats)
def test_chats(body: dict[str, Any], runner: asyncio.Runner) -> None:
    check(body, ChatRequest, "chat", runner)


@given(body=completions)
def test_completions(body: dict[str, Any], runner: asyncio.Runner) -> None:
    check(body, CompletionRequest, "completion", runner)


@given(body=embeddings)
def test_embeddings(body: dict[str, Any], runner: asyncio.Runner) -> None:
    check(body, EmbeddingRequest, "embedding", runner)


@given(body=st.dictionaries(st.sampled_from(["messages", "tools", "input", "prompt"]), anything))
def test_anything_can_be_counted(body: dict[str, Any]) -> None:
    for kind in ("chat", "completion", "embedding"):
        assert tokens.measure(body, kind).bound >= 0


def test_mixed_inputs_are_refused() -> None:
    for mixed in (["a", 5], [5, "a"], [1, [2]], [[2], 1]):
        call = call_of({"input": mixed}, "embedding")
        with pytest.raises(AttemptFailed, match="input") as caught:
            asyncio.run(Sandbox().call(call, "sandbox-embedding", Deadlines(), "a"))
        assert caught.value.code == "INVALID_REQUEST"


def test_time_is_finer_than_the_loop_s() -> None:
    """uvloop's clock counts whole milliseconds."""

    async def first_bytes() -> list[float]:
        call = call_of(chat("Hello"))
        replies = [await Sandbox().call(call, "sandbox", Deadlines(), "a") for _ in range(10)]
        return [reply.first_byte_seconds for reply in replies]

    assert all(seconds > 0 for seconds in uvloop.run(first_bytes()))
