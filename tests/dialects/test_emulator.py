"""An independent emulator of the vendors' APIs as the provider of each dialect: what we take for
their wire formats is not only our own idea of them.
"""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from e2e.test_aimock import TOOL, Emulator
from e2e.test_aimock import emulator as emulator
from serving import Server

BASES = {
    "anthropic": ("/v1", "claude-sonnet-4-5"),
    "gemini": ("/v1beta", "gemini-2.5-flash"),
    "bedrock": ("", "anthropic.claude-sonnet-4-5-v1:0"),
    "azure": ("", "gpt-4o"),
}


@pytest.fixture(scope="module")
def sdk(emulator: Emulator) -> Iterator[openai.OpenAI]:
    config = "".join(
        f'[providers.{dialect}]\ndialect = "{dialect}"\nbase_url = "{emulator.url}{base}"\n'
        f'api_key = "k"\nretries = 0\n'
        f'[[models]]\nname = "to-{dialect}"\ntargets = ["{dialect}/{model}"]\n'
        for dialect, (base, model) in BASES.items()
    )
    with (
        Server(config) as server,
        openai.OpenAI(base_url=server.url + "/v1", api_key=server.key, max_retries=0) as made,
    ):
        yield made


@pytest.fixture(params=list(BASES))
def model(request: pytest.FixtureRequest) -> str:
    return f"to-{request.param}"


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_chat(sdk: openai.OpenAI, model: str) -> None:
    answer = sdk.chat.completions.create(model=model, messages=said("greet me"))
    assert (
        answer.choices[0].message.content == "Hello from the emulator, one piece after the other."
    )
    assert answer.choices[0].finish_reason == "stop"


def test_stream(sdk: openai.OpenAI, model: str) -> None:
    chunks = list(sdk.chat.completions.create(model=model, messages=said("greet me"), stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "Hello from the emulator, one piece after the other."
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_tools_and_their_results(sdk: openai.OpenAI, model: str, streamed: bool) -> None:
    tool: Any = TOOL
    messages = said("use the tools")
    if streamed:
        with sdk.chat.completions.stream(model=model, messages=messages, tools=[tool]) as stream:
            message = stream.get_final_completion().choices[0].message
    else:
        answer = sdk.chat.completions.create(model=model, messages=messages, tools=[tool])
        message = answer.choices[0].message  # type: ignore[assignment]
    calls: Any = message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Paris", "Oslo"]
    messages.append(message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "20"} for call in calls]
    final = sdk.chat.completions.create(model=model, messages=messages, tools=[tool])
    assert final.choices[0].message.content == "Warm in Paris, cold in Oslo."


def test_an_error(sdk: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        sdk.chat.completions.create(model=model, messages=said("too fast"))
    assert caught.value.code == "RATE_LIMITED"
    assert "Rate limit reached." in str(caught.value)
