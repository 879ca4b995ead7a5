"""The official ``anthropic`` package, whoever answers."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from pydantic import BaseModel

from dialects.clients import CITY, PNG, SIGNATURE
from dialects.providers import PROVIDERS, scripted
from dialects.upstream import Provider
from serving import Server

TOOL: Any = {"name": "get_weather", "description": "Weather.", "input_schema": CITY}


@pytest.fixture
def sdk(server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key=server.key, max_retries=0) as made:
        yield made


@pytest.fixture(params=list(PROVIDERS))
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def said(text: Any) -> Any:
    return [{"role": "user", "content": text}]


class Point(BaseModel):
    x: int
    y: int


def test_plain(sdk: anthropic.Anthropic, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "plain"))
    answer = sdk.messages.create(model=f"to-{dialect}", max_tokens=50, messages=said("Hello"))
    assert [block.text for block in answer.content if block.type == "text"] == ["Hi there"]
    assert (answer.stop_reason, answer.role, answer.type) == ("end_turn", "assistant", "message")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 2)
    assert len(provider.asked) == 1


def test_stream(sdk: anthropic.Anthropic, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "stream"))
    with sdk.messages.stream(
        model=f"to-{dialect}", max_tokens=50, messages=said("Hello")
    ) as stream:
        assert list(stream.text_stream) == ["Hi", " there"]
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (9, 2)


def test_parallel_tools(sdk: anthropic.Anthropic, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "tools"))
    answer = sdk.messages.create(
        model=f"to-{dialect}", max_tokens=50, messages=said("Paris and Oslo?"), tools=[TOOL]
    )
    used = [block for block in answer.content if block.type == "tool_use"]
    assert [block.input for block in used] == [{"city": "Paris"}, {"city": "Oslo"}]
    assert len({block.id for block in used}) == 2
    assert answer.stop_reason == "tool_use"


def test_streamed_tools(sdk: anthropic.Anthropic, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "tools_stream"))
    with sdk.messages.stream(
        model=f"to-{dialect}", max_tokens=50, messages=said("Paris and Oslo?"), tools=[TOOL]
    ) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        message = stream.get_final_message()
    used = [block for block in message.content if block.type == "tool_use"]
    assert [block.input for block in used] == [{"city": "Paris"}, {"city": "Oslo"}]
    assert "".join(pieces) == '{"city":"Paris"}{"city":"Oslo"}'
    assert message.stop_reason == "tool_use"


def test_an_image(sdk: anthropic.Anthropic, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "image"))
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What?"}]
    answer = sdk.messages.create(model=f"to-{dialect}", max_tokens=50, messages=said(content))
    assert answer.content[0].type == "text"
    assert PNG in provider.asked[0].body.decode()


def test_structured_output(sdk: anthropic.Anthropic, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "structured"))
    answer = sdk.messages.parse(
        model=f"to-{dialect}", max_tokens=50, messages=said("A point."), output_format=Point
    )
    assert answer.parsed_output == Point(x=3, y=-4)
    assert b"properties" in provider.asked[0].body


def test_thinking(sdk: anthropic.Anthropic, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "thinking_stream"))
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    with sdk.messages.stream(
        model=f"to-{dialect}", max_tokens=5000, messages=said("Think."), thinking=thinking
    ) as stream:
        message = stream.get_final_message()
    first = message.content[0]
    assert first.type == "thinking" and first.thinking == "Hm."
    assert first.signature == (SIGNATURE if dialect in ("anthropic", "bedrock") else "")
    assert [block.text for block in message.content if block.type == "text"] == ["42"]


def test_an_error(sdk: anthropic.Anthropic, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "error"))
    with pytest.raises(anthropic.RateLimitError) as caught:
        sdk.messages.create(model=f"to-{dialect}", max_tokens=50, messages=said("Hello"))
    assert caught.value.type == "rate_limit_error"
    assert "Slow down." in caught.value.message
    assert caught.value.request_id


def test_a_retry(server: Server, provider: Provider, dialect: str) -> None:
    """The package's own retry."""
    error = scripted(dialect, "error")
    soon = type(error)(error.body, error.status, error.kind, fields={"retry-after": "0"})
    provider.script(soon, scripted(dialect, "plain"))
    with anthropic.Anthropic(base_url=server.url, api_key=server.key, max_retries=1) as sdk:
        answer = sdk.messages.create(model=f"to-{dialect}", max_tokens=50, messages=said("Hello"))
    assert answer.content[0].type == "text"
    assert len(provider.asked) == 2


def test_a_count(sdk: anthropic.Anthropic, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "count"))
    counted = sdk.messages.count_tokens(model=f"to-{dialect}", messages=said("Hello, world"))
    assert counted.input_tokens == (14 if provider.asked else 10)


async def test_the_asynchronous_client(server: Server, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "stream"))
    async with anthropic.AsyncAnthropic(
        base_url=server.url, auth_token=server.key, max_retries=0
    ) as sdk:
        stream = await sdk.messages.create(
            model=f"to-{dialect}", max_tokens=50, messages=said("Hello"), stream=True
        )
        deltas = [event.delta async for event in stream if event.type == "content_block_delta"]
        pieces = [delta.text for delta in deltas if delta.type == "text_delta"]
    assert pieces == ["Hi", " there"]


@pytest.mark.parametrize(
    ("body", "error", "field"),
    [
        ({"messages": said("a")}, anthropic.BadRequestError, "max_tokens"),
        ({"max_tokens": 5, "messages": []}, anthropic.BadRequestError, "messages"),
        ({"max_tokens": 5, "messages": said(5)}, anthropic.BadRequestError, "messages"),
    ],
)
def test_what_is_wrong_is_named(
    sdk: anthropic.Anthropic, body: dict[str, Any], error: type[Exception], field: str
) -> None:
    with pytest.raises(error) as caught:
        sdk.post("/v1/messages", body=body | {"model": "to-openai"}, cast_to=object)
    assert field in str(caught.value)
    with pytest.raises(anthropic.NotFoundError):
        sdk.messages.create(model="none/such", max_tokens=5, messages=said("a"))
    with (
        anthropic.Anthropic(base_url=sdk.base_url, api_key="wrong", max_retries=0) as other,
        pytest.raises(anthropic.AuthenticationError),
    ):
        other.messages.create(model="to-openai", max_tokens=5, messages=said("a"))


def test_the_sandbox_answers_too(sdk: anthropic.Anthropic) -> None:
    answer = sdk.messages.create(model="sandbox", max_tokens=50, messages=said("Hello"))
    assert answer.content[0].type == "text" and answer.model == "sandbox"
    with sdk.messages.stream(model="sandbox", max_tokens=50, messages=said("Hello")) as stream:
        assert "".join(stream.text_stream) == answer.content[0].text


def test_models(sdk: anthropic.Anthropic) -> None:
    names = [model.id for model in sdk.models.list(limit=2)]  # more than one page
    assert {"sandbox", "to-anthropic", "to-openai"} <= set(names)
    assert len(names) == len(set(names))
    assert sdk.models.retrieve("to-anthropic").type == "model"
    with pytest.raises(anthropic.NotFoundError) as caught:
        sdk.models.retrieve("none")
    assert caught.value.type == "not_found_error"
