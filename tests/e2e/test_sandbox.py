"""The sandbox: deterministic, free, marked as what it is, and as faulty as a client wants it."""

import json
import time
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from e2e.client import Client
from e2e.outcome import chat
from e2e.sdk import done, items, said, user

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}


class Person(BaseModel):
    name: str
    age: int
    tags: list[str]


def test_a_fresh_server_answers_without_any_provider(serve: Any) -> None:
    server = serve("")
    answer = Client(server.url, server.key).infer("Is anybody there?")
    assert answer.status == 200, answer.body
    assert answer.json["provider_used"] == "sandbox"
    assert answer.json["metadata"]["sandbox"] is True
    assert answer.json["actual_cost"] == 0
    assert any("sandbox" in warning.lower() for warning in answer.json["metadata"]["warnings"])


async def test_the_same_question_has_the_same_answer(sdk: Any) -> None:
    async def ask(text: str) -> str:
        create = sdk.chat.completions.create
        answer = await done(create(model="sandbox", messages=user(text), temperature=1))
        return str(answer.choices[0].message.content)

    assert await ask("one") == await ask("one") != await ask("two")


async def test_streams_token_by_token(sdk: Any) -> None:
    create = sdk.chat.completions.create
    whole = await done(create(model="sandbox", messages=user("stream this")))
    chunks = await items(
        create(
            model="sandbox",
            messages=user("stream this"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert said(chunks) == whole.choices[0].message.content
    assert len(chunks) > 5
    assert chunks[-1].usage == whole.usage


async def test_honours_max_tokens_and_stop(sdk: Any) -> None:
    create = sdk.chat.completions.create
    cut = await done(create(model="sandbox", messages=user("long"), max_tokens=3))
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage.completion_tokens == 3
    whole = (await done(create(model="sandbox", messages=user("long")))).choices[0].message.content
    word = whole.split()[2]
    stopped = await done(create(model="sandbox", messages=user("long"), stop=[word]))
    assert stopped.choices[0].finish_reason == "stop"
    assert stopped.choices[0].message.content == whole[: whole.index(word)]


async def test_honours_tools(sdk: Any) -> None:
    create = sdk.chat.completions.create
    answer = await done(
        create(model="sandbox", messages=user("Weather?"), tools=[TOOL], tool_choice="required")
    )
    (call, *_) = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    given = json.loads(call.function.arguments)
    assert set(given) == {"city", "unit"} and given["unit"] in ("celsius", "fahrenheit")
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_honours_json_schemas(sdk: Any) -> None:
    answer = await done(
        sdk.chat.completions.parse(
            model="sandbox", messages=user("Somebody."), response_format=Person
        )
    )
    assert isinstance(answer.choices[0].message.parsed, Person)


async def test_completions_and_embeddings(sdk: Any) -> None:
    text = await done(sdk.completions.create(model="sandbox", prompt="Once", max_tokens=4))
    assert text.choices[0].text and text.usage.completion_tokens <= 4
    create = sdk.embeddings.create
    answer = await done(create(model="sandbox-embedding", input=["a", "b", "a"]))
    first, second, third = (item.embedding for item in answer.data)
    assert first == third != second
    small = await done(create(model="sandbox-embedding", input="a", dimensions=16))
    assert len(small.data[0].embedding) == 16


@pytest.mark.parametrize("status", [429, 503])
async def test_can_be_told_to_fail(sdk: Any, status: int) -> None:
    create = sdk.chat.completions.create
    with pytest.raises(openai.APIStatusError) as caught:
        await done(create(model="sandbox", messages=user(f"x [sandbox fail={status}]")))
    assert caught.value.status_code == status


def test_can_be_told_to_fail_once(api: Client, model: str) -> None:
    """The first attempt fails and the second is answered: the trace shows both."""
    headers = {"X-Request-ID": f"once-{model}"}
    reply = api.chat("sandbox", f"{model} [sandbox fail=500 times=1]", headers=headers)
    assert reply.status == 200, reply.body
    attempts = api.trace(f"once-{model}")["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["http_500", "ok"]


def test_can_be_told_to_be_slow(api: Client, model: str) -> None:
    started = time.monotonic()
    assert api.chat("sandbox", f"{model} [sandbox delay=0.5]").status == 200
    assert time.monotonic() - started > 0.5


@pytest.mark.parametrize("how", ["cut=5", "error_after=5"])
def test_can_be_told_to_break_a_stream(api: Client, model: str, how: str) -> None:
    assert chat(api, "sandbox", f"{model} [sandbox {how}]").clean_error()


def test_an_unknown_directive_is_named(api: Client) -> None:
    reply = api.chat("sandbox", "x [sandbox explode=1]")
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
    assert "explode" in reply.message
