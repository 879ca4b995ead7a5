"""The official ``google-genai`` package, whoever answers."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from dialects.clients import CITY, PNG
from dialects.providers import PROVIDERS, scripted
from dialects.upstream import Provider
from serving import Server

TOOL = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(name="get_weather", parameters_json_schema=CITY)
    ]
)
BY_HAND: Any = types.AutomaticFunctionCallingConfig(disable=True)


@pytest.fixture(params=["v1beta", "v1"])
def sdk(request: pytest.FixtureRequest, server: Server) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=server.url, api_version=request.param)
    with genai.Client(api_key=server.key, http_options=options) as made:
        yield made


@pytest.fixture(params=list(PROVIDERS))
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Point(BaseModel):
    x: int
    y: int


def test_plain(sdk: genai.Client, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "plain"))
    config = types.GenerateContentConfig(system_instruction="Be brief.", max_output_tokens=50)
    answer = sdk.models.generate_content(model=f"to-{dialect}", contents="Hello", config=config)
    assert answer.text == "Hi there"
    assert answer.candidates and answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata and answer.usage_metadata.prompt_token_count == 9
    assert answer.usage_metadata.candidates_token_count == 2


def test_stream(sdk: genai.Client, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "stream"))
    chunks = list(sdk.models.generate_content_stream(model=f"to-{dialect}", contents="Hello"))
    assert "".join(chunk.text or "" for chunk in chunks) == "Hi there"
    assert chunks[-1].usage_metadata and chunks[-1].usage_metadata.total_token_count == 11


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_parallel_tools(
    sdk: genai.Client, provider: Provider, dialect: str, streamed: bool
) -> None:
    provider.script(scripted(dialect, "tools_stream" if streamed else "tools"))
    config = types.GenerateContentConfig(tools=[TOOL], automatic_function_calling=BY_HAND)
    asked: Any = {"model": f"to-{dialect}", "contents": "Paris and Oslo?", "config": config}
    if streamed:
        answers = list(sdk.models.generate_content_stream(**asked))
    else:
        answers = [sdk.models.generate_content(**asked)]
    calls = [call for answer in answers for call in answer.function_calls or []]
    assert [call.args for call in calls] == [{"city": "Paris"}, {"city": "Oslo"}]


def test_results_of_tools_go_back(sdk: genai.Client, provider: Provider, dialect: str) -> None:
    """What the model said goes back as it came, signatures included."""
    provider.script(scripted(dialect, "tools"), scripted(dialect, "plain"))
    config = types.GenerateContentConfig(tools=[TOOL], automatic_function_calling=BY_HAND)
    asked = types.Content(role="user", parts=[types.Part(text="Paris and Oslo?")])
    first = sdk.models.generate_content(model=f"to-{dialect}", contents=asked, config=config)
    assert first.candidates and first.candidates[0].content
    said = first.candidates[0].content
    results = [
        types.Part(
            function_response=types.FunctionResponse(
                id=call.id, name=call.name, response={"result": "21"}
            )
        )
        for call in first.function_calls or []
    ]
    answered = types.Content(role="user", parts=results)
    second = sdk.models.generate_content(
        model=f"to-{dialect}", contents=[asked, said, answered], config=config
    )
    assert second.text == "Hi there"
    sent = provider.asked[1].body.decode()
    assert "Paris" in sent and sent.count('"21"') >= 2


def test_an_image(sdk: genai.Client, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "image"))
    image = types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")
    sdk.models.generate_content(model=f"to-{dialect}", contents=[image, "What?"])
    sent = provider.asked[0].body.decode()
    assert PNG in sent.translate(str.maketrans("-_", "+/"))  # the package's alphabet is another


def test_structured_output(sdk: genai.Client, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "structured"))
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=Point
    )
    answer = sdk.models.generate_content(model=f"to-{dialect}", contents="A point.", config=config)
    assert answer.parsed == Point(x=3, y=-4)
    assert b"properties" in provider.asked[0].body


def test_thinking(sdk: genai.Client, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "thinking"))
    thinking = types.ThinkingConfig(thinking_budget=1024, include_thoughts=True)
    config = types.GenerateContentConfig(thinking_config=thinking)
    answer = sdk.models.generate_content(model=f"to-{dialect}", contents="Think.", config=config)
    assert answer.text == "42"
    assert answer.candidates and answer.candidates[0].content
    parts = answer.candidates[0].content.parts or []
    assert [part.text for part in parts if part.thought and part.text] == ["Hm."]


def test_an_error(sdk: genai.Client, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "error"))
    with pytest.raises(errors.ClientError) as caught:
        sdk.models.generate_content(model=f"to-{dialect}", contents="Hello")
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert "Slow down." in str(caught.value.message)


def test_a_retry(server: Server, provider: Provider, dialect: str) -> None:
    error = scripted(dialect, "error")
    provider.script(error, scripted(dialect, "plain"))
    retry = types.HttpRetryOptions(attempts=2, initial_delay=0.01, http_status_codes=[429])
    options = types.HttpOptions(base_url=server.url, retry_options=retry)
    with genai.Client(api_key=server.key, http_options=options) as sdk:
        answer = sdk.models.generate_content(model=f"to-{dialect}", contents="Hello")
    assert answer.text == "Hi there"
    assert len(provider.asked) == 2


def test_a_count(sdk: genai.Client, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "count"))
    counted = sdk.models.count_tokens(model=f"to-{dialect}", contents="Hello, world")
    assert counted.total_tokens == (14 if provider.asked else 10)


def test_embeddings(sdk: genai.Client, provider: Provider) -> None:
    for dialect in ("openai", "gemini"):
        provider.script(scripted(dialect, "embeddings"))
        answer = sdk.models.embed_content(model=f"to-{dialect}", contents=["a", "b"])
        assert [one.values for one in answer.embeddings or []] == [[0.25, -0.5], [1.25, -0.5]]


async def test_the_asynchronous_client(server: Server, provider: Provider, dialect: str) -> None:
    provider.script(scripted(dialect, "stream"))
    options = types.HttpOptions(base_url=server.url)
    client = genai.Client(api_key=server.key, http_options=options)
    stream = await client.aio.models.generate_content_stream(
        model=f"to-{dialect}", contents="Hello"
    )
    texts = [chunk.text or "" async for chunk in stream]
    await client.aio.aclose()
    assert "".join(texts) == "Hi there"


def test_models(server: Server) -> None:
    options = types.HttpOptions(base_url=server.url)
    with genai.Client(api_key=server.key, http_options=options) as sdk:
        names = [model.name for model in sdk.models.list(config={"page_size": 2})]
        assert {"models/sandbox", "models/to-gemini"} <= set(names)
        assert sdk.models.get(model="to-gemini").name == "models/to-gemini"
        with pytest.raises(errors.ClientError) as caught:
            sdk.models.get(model="none")
        assert caught.value.status == "NOT_FOUND"


def test_what_is_wrong_is_named(sdk: genai.Client, server: Server) -> None:
    with pytest.raises(errors.ClientError) as caught:
        sdk.models.generate_content(model="none/such", contents="a")
    assert caught.value.code == 404
    options = types.HttpOptions(base_url=server.url)
    with (
        genai.Client(api_key="wrong", http_options=options) as other,
        pytest.raises(errors.ClientError) as refused,
    ):
        other.models.generate_content(model="to-openai", contents="a")
    assert refused.value.status == "UNAUTHENTICATED"


def test_the_sandbox_answers_too(sdk: genai.Client) -> None:
    answer = sdk.models.generate_content(model="sandbox", contents="Hello")
    chunks = list(sdk.models.generate_content_stream(model="sandbox", contents="Hello"))
    assert answer.text and answer.text == "".join(chunk.text or "" for chunk in chunks)
