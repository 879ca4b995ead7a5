"""An independent emulator as the provider: what we take for OpenAI's wire format is not only our
own idea of it. The official package speaks to the gateway, the gateway to the emulator.
"""

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from e2e.client import Client
from e2e.sdk import done, items, said, user
from serving import Server

FOLDER = Path(__file__).parents[1] / "aimock"
PROGRAM = FOLDER / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object"}},
}


class Emulator:
    """The emulator's address and its journal."""

    def __init__(self, url: str) -> None:
        self.url = url

    def requests(self, text: str) -> list[dict[str, Any]]:
        """The bodies of the requests that mention ``text``."""
        with urllib.request.urlopen(self.url + "/__aimock/journal?limit=1000") as answer:
            journal = json.load(answer)
        entries = journal["entries"] if isinstance(journal, dict) else journal
        return [entry["body"] for entry in entries if text in json.dumps(entry["body"])]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    node = shutil.which("node")
    if node is None or not PROGRAM.exists():
        pytest.skip("the emulator is not installed: 'make emulator' (needs Node 20 and npm)")
    process = subprocess.Popen(
        [node, str(PROGRAM), "-p", "0", "-f", str(FOLDER / "fixtures.json"), "--strict"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Emulator(_address(process))
    finally:
        process.kill()
        process.wait(10)


def _address(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    told = ""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        told += line
        if found := re.search(r"listening on (http://\S+)", line):
            return found[1]
        if not line:
            break
    raise AssertionError(f"the emulator did not start:\n{told}")


@pytest.fixture(scope="module")
def server(emulator: Emulator) -> Iterator[Server]:
    config = (
        f'[providers.emulator]\nbase_url = "{emulator.url}/v1"\napi_key = "k"\nretries = 1\n'
        '[[models]]\nname = "m"\ntargets = ["emulator/gpt-4o"]\n'
        "price = { input = 2.0, output = 10.0 }\n"
        '[[models]]\nname = "e"\ntargets = ["emulator/text-embedding-3-small"]\n'
    )
    with Server(config) as running:
        yield running


async def test_chat(sdk: Any, emulator: Emulator) -> None:
    before = len(emulator.requests("greet me"))
    answer = await done(sdk.chat.completions.create(model="m", messages=user("greet me")))
    assert answer.choices[0].message.content.startswith("Hello from the emulator")
    assert answer.choices[0].finish_reason == "stop"
    (sent,) = emulator.requests("greet me")[before:]
    assert sent["model"] == "gpt-4o"


async def test_stream(sdk: Any, emulator: Emulator) -> None:
    before = len(emulator.requests("greet me"))
    plain = await items(
        sdk.chat.completions.create(model="m", messages=user("greet me"), stream=True)
    )
    assert said(plain) == "Hello from the emulator, one piece after the other."
    assert all(chunk.choices for chunk in plain)
    with_usage = await items(
        sdk.chat.completions.create(
            model="m",
            messages=user("greet me"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert with_usage[-1].usage is not None and with_usage[-1].choices == []
    assert said(with_usage) == said(plain)
    assert len(emulator.requests("greet me")) == before + 2


async def test_tools_and_their_results(sdk: Any) -> None:
    messages = user("use the tools")
    answer = await done(sdk.chat.completions.create(model="m", messages=messages, tools=[TOOL]))
    calls = answer.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Paris", "Oslo"]
    messages.append(answer.choices[0].message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "20"} for call in calls]
    final = await done(sdk.chat.completions.create(model="m", messages=messages, tools=[TOOL]))
    assert final.choices[0].message.content == "Warm in Paris, cold in Oslo."


async def test_streamed_tools(sdk: Any) -> None:
    chunks = await items(
        sdk.chat.completions.create(
            model="m", messages=user("use the tools"), tools=[TOOL], stream=True
        )
    )
    arguments = {0: "", 1: ""}
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or []:
            arguments[call.index] += (call.function and call.function.arguments) or ""
    assert [json.loads(text)["city"] for text in arguments.values()] == ["Paris", "Oslo"]


async def test_structured_output(sdk: Any) -> None:
    class Point(BaseModel):
        x: int
        y: int

    answer = await done(
        sdk.chat.completions.parse(
            model="m", messages=user("give me a point"), response_format=Point
        )
    )
    assert answer.choices[0].message.parsed == Point(x=1, y=2)


async def test_reasoning(sdk: Any) -> None:
    create = sdk.chat.completions.create
    answer = await done(create(model="emulator/deepseek-reasoner", messages=user("think first")))
    assert answer.choices[0].message.content == "Four."
    assert "Two and two." in answer.model_dump_json()


async def test_embeddings(sdk: Any, emulator: Emulator) -> None:
    answer = await done(sdk.embeddings.create(model="e", input=["embed this"]))
    assert answer.data[0].embedding == pytest.approx([0.5, -0.25, 0.125])


@pytest.mark.parametrize(
    ("text", "code", "calls"),
    [
        ("too fast", ("RATE_LIMITED", "PROVIDER_UNAVAILABLE"), 2),
        ("too long", ("CONTEXT_TOO_LONG",), 1),
        ("break down", ("PROVIDER_UNAVAILABLE",), 2),
    ],
)
async def test_errors(
    sdk: Any, emulator: Emulator, text: str, code: tuple[str, ...], calls: int
) -> None:
    before = len(emulator.requests(text))
    with pytest.raises(openai.APIStatusError) as caught:
        await done(sdk.chat.completions.create(model="m", messages=user(text)))
    assert caught.value.code in code
    assert len(emulator.requests(text)) == before + calls


def test_usage_becomes_cost(server: Server) -> None:
    api = Client(server.url, server.key)
    reply = api.chat("m", "bill me", headers={"X-Request-ID": "billed"})
    assert reply.headers["x-modelyard-cost"] == "0.000270000"
    record = api.trace("billed")
    assert (record["input_tokens"], record["output_tokens"]) == (100, 7)
    assert record["actual_cost"] == pytest.approx((100 * 2 + 7 * 10) / 1e6)


def test_the_native_surface(server: Server) -> None:
    api = Client(server.url, server.key)
    answer = api.infer("greet me", model_name="m").json
    assert answer["response"].startswith("Hello from the emulator")
    assert answer["provider_used"] == "emulator"
