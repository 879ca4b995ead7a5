"""The official ``openai`` package, whoever answers."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from dialects.clients import CITY, PNG
from dialects.providers import PROVIDERS, scripted
from dialects.upstream import Provider
from serving import Server

TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": CITY}}


@pytest.fixture
def sdk(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key=server.key, max_retries=0) as made:
        yield made


@pytest.fixture(params=list(PROVIDERS))
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def said(text: Any) -> Any:
    return [{"role": "user", "content": text}]


class Point(BaseModel):
    x: int
    y: int


def test_plain(sdk: openai.OpenAI, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "plain"))
    answer = sdk.chat.completions.create(model=f"to-{dialect}", messages=said("Hello"))
    assert answer.choices[0].message.content == "Hi there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.total_tokens == 11


def test_stream(sdk: openai.OpenAI, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "stream"))
    chunks = list(
        sdk.chat.completions.create(
            model=f"to-{dialect}",
            messages=said("Hello"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert text == ["Hi", " there"]
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 2


def test_streamed_tools(sdk: openai.OpenAI, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "tools_stream"))
    with sdk.chat.completions.stream(
        model=f"to-{dialect}", messages=said("Paris and Oslo?"), tools=[TOOL]
    ) as stream:
        message = stream.get_final_completion().choices[0]
    calls = message.message.tool_calls or []
    assert [call.function.arguments for call in calls] == ['{"city":"Paris"}', '{"city":"Oslo"}']
    assert len({call.id for call in calls}) == 2
    assert message.finish_reason == "tool_calls"


def test_parallel_tools(sdk: openai.OpenAI, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "tools"))
    answer = sdk.chat.completions.create(
        model=f"to-{dialect}", messages=said("Paris and Oslo?"), tools=[TOOL]
    )
    calls: Any = answer.choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"city":"Paris"}', '{"city":"Oslo"}']


def test_an_image(sdk: openai.OpenAI, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "image"))
    url = {"url": f"data:image/png;base64,{PNG}"}
    sdk.chat.completions.create(
        model=f"to-{dialect}", messages=said([{"type": "image_url", "image_url": url}])
    )
    assert PNG in provider.asked[0].body.decode()


def test_structured_output(sdk: openai.OpenAI, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "structured"))
    answer = sdk.chat.completions.parse(
        model=f"to-{dialect}", messages=said("A point."), response_format=Point
    )
    assert answer.choices[0].message.parsed == Point(x=3, y=-4)
    assert b"properties" in provider.asked[0].body


def test_thoughts_come_back_with_their_signature(
    sdk: openai.OpenAI, provider: Provider, dialect: str
) -> None:
    provider.script(scripted(dialect, "thinking"), scripted(dialect, "plain"))
    model = f"to-{dialect}"
    first = sdk.chat.completions.create(
        model=model, messages=said("Think."), reasoning_effort="low"
    )
    message: Any = first.choices[0].message
    assert message.reasoning_content == "Hm."
    sdk.chat.completions.create(
        model=model, messages=[*said("Think."), message.model_dump(), *said("More.")]
    )
    if signed := getattr(message, "thinking_blocks", None):
        assert signed[0]["signature"] in provider.asked[1].body.decode()
    else:
        assert dialect in ("openai", "azure", "gemini")


def test_an_error(sdk: openai.OpenAI, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "error"))
    with pytest.raises(openai.RateLimitError, match=r"Slow down\."):
        sdk.chat.completions.create(model=f"to-{dialect}", messages=said("Hello"))


def test_a_retry(server: Server, provider: Provider, dialect: str) -> None:
    error = scripted(dialect, "error")
    soon = type(error)(error.body, error.status, error.kind, fields={"retry-after": "0"})
    provider.script(soon, scripted(dialect, "plain"))
    with openai.OpenAI(base_url=server.url + "/v1", api_key=server.key, max_retries=1) as sdk:
        answer = sdk.chat.completions.create(model=f"to-{dialect}", messages=said("Hello"))
    assert answer.choices[0].message.content == "Hi there"
    assert len(provider.asked) == 2
