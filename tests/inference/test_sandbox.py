"""What the sandbox answers."""

import base64
import json
import struct
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_use import ask, call_of, chat, chunks, joined, open_stream, read

from modelyard.inference import tokens
from modelyard.inference.providers import sandbox_wire
from modelyard.inference.providers.provider import After, AttemptFailed
from modelyard.inference.providers.sandbox import Sandbox
from modelyard.inference.transport.wire import Deadlines

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time"}}


async def test_says_that_it_is_the_sandbox_and_repeats_the_request() -> None:
    answer = await ask(chat("What is the capital of France?"))
    assert answer["model"] == answer["system_fingerprint"] == "sandbox"
    assert answer["object"] == "chat.completion"
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "stop"
    text = choice["message"]["content"]
    assert text.startswith("Sandbox answer to: “What is the capital of France?”.")
    assert 20 <= answer["usage"]["completion_tokens"] == tokens.count(text) <= 60


async def test_equal_requests_get_equal_bytes_and_others_another_id() -> None:
    call = call_of(chat("Hello", temperature=1.0))
    first = await Sandbox().call(call, "sandbox", Deadlines(), "a")
    second = await Sandbox().call(call, "sandbox", Deadlines(), "b")
    assert first.body == second.body
    other = await ask(chat("Hello", temperature=0.5))
    assert other["id"] != json.loads(first.body)["id"]


async def test_a_stream_gives_the_same_answer_token_by_token() -> None:
    body = chat("Tell me of the sea", reasoning_effort="low")
    whole = await ask(body)
    pieces, error = await read(await open_stream(body))
    assert error is None
    assert pieces[-1] == b"data: [DONE]\n\n"
    events = chunks(pieces)
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    message = whole["choices"][0]["message"]
    assert joined(events) == message["content"]
    assert joined(events, "reasoning_content") == message["reasoning_content"]
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert (events[-1]["choices"], events[-1]["usage"]) == ([], whole["usage"])
    assert {event["id"] for event in events} == {whole["id"]}
    assert len(events) > 20


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_max_tokens_end_the_answer(field: str) -> None:
    answer = await ask(chat("Hello", **{field: 7}))
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 7
    assert tokens.count(answer["choices"][0]["message"]["content"]) == 7
    exact = await ask(chat("Hello"))
    enough = exact["usage"]["completion_tokens"]
    assert (await ask(chat("Hello", **{field: enough})))["choices"][0]["finish_reason"] == "stop"


async def test_reasoning_counts_and_is_limited_first() -> None:
    answer = await ask(chat("Hello", reasoning_effort="high"))
    details = answer["usage"]["completion_tokens_details"]
    message = answer["choices"][0]["message"]
    assert details["reasoning_tokens"] == tokens.count(message["reasoning_content"]) > 0
    short = await ask(chat("Hello", reasoning_effort="high", max_completion_tokens=5))
    assert short["choices"][0]["message"]["content"] == ""
    assert short["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5
    plain = await ask(chat("Hello", reasoning_effort="none"))
    assert "reasoning_content" not in plain["choices"][0]["message"]


@pytest.mark.parametrize("stop", [" is free", ["never", "free", " is free"]])
async def test_stop_sequences_are_left_out(stop: Any) -> None:
    answer = await ask(chat("Hello", stop=stop))
    text = answer["choices"][0]["message"]["content"]
    assert text.endswith("and it")
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == tokens.count(text)


async def test_choices_differ_and_take_turns_in_a_stream() -> None:
    answer = await ask(chat("Hello", n=3))
    texts = [choice["message"]["content"] for choice in answer["choices"]]
    assert len(set(texts)) == 3
    assert answer["usage"]["completion_tokens"] == sum(map(tokens.count, texts))
    events = chunks((await read(await open_stream(chat("Hello", n=3))))[0])
    order = [event["choices"][0]["index"] for event in events if event["choices"]]
    assert order[:6] == [0, 1, 2, 0, 1, 2]
    reasons = [event["choices"][0]["finish_reason"] for event in events[-4:-1]]
    assert reasons == ["stop"] * 3


async def test_length_as_asked_for() -> None:
    exact = await ask(chat("[sandbox tokens=200] Hello"))
    assert exact["usage"]["completion_tokens"] == 200
    assert exact["choices"][0]["finish_reason"] == "stop"
    words = await ask(chat("Tell me of the sea in 150 words"))
    assert len(words["choices"][0]["message"]["content"].split()) == 150


async def test_images_audio_and_files_are_acknowledged() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    body = chat([{"type": "text", "text": "What is this?"}, image, image, audio])
    text = (await ask(body))["choices"][0]["message"]["content"]
    assert "“What is this?”" in text
    assert "2 images and 1 audio clip" in text


async def test_a_tool_is_called_when_the_prompt_names_it() -> None:
    answer = await ask(chat("Get weather in Paris, please", tools=[WEATHER, CLOCK]))
    choice = answer["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    (call,) = choice["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    arguments = json.loads(call["function"]["arguments"])
    assert jsonschema_rs.is_valid(WEATHER["function"]["parameters"], arguments)
    silent = await ask(chat("How are you?", tools=[WEATHER, CLOCK]))
    assert silent["choices"][0]["finish_reason"] == "stop"


async def test_several_tools_at_once_unless_told_otherwise() -> None:
    body = chat("get_weather and then get_time", tools=[WEATHER, CLOCK])
    calls = (await ask(body))["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["get_weather", "get_time"]
    assert len({call["id"] for call in calls}) == 2
    single = await ask(body | {"parallel_tool_calls": False})
    assert len(single["choices"][0]["message"]["tool_calls"]) == 1


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ("required", "get_weather"),
        ({"type": "function", "function": {"name": "get_time"}}, "get_time"),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [CLOCK]},
            },
            "get_time",
        ),
        ("none", None),
        ("auto", None),
    ],
)
async def test_tool_choice(choice: Any, name: str | None) -> None:
    answer = await ask(chat("How are you?", tools=[WEATHER, CLOCK], tool_choice=choice))
    calls = answer["choices"][0]["message"].get("tool_calls", [])
    assert [call["function"]["name"] for call in calls] == ([name] if name else [])


async def test_custom_tools() -> None:
    tool = {"type": "custom", "custom": {"name": "run_sql"}}
    answer = await ask(chat("Please run_sql", tools=[tool]))
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["type"] == "custom"
    assert call["custom"]["input"]


async def test_an_unknown_tool_is_refused() -> None:
    choice = {"type": "function", "function": {"name": "nope"}}
    with pytest.raises(AttemptFailed, match="nope") as failed:
        await ask(chat("Hi", tools=[WEATHER], tool_choice=choice))
    assert (failed.value.code, failed.value.after) == ("INVALID_REQUEST", After.STOP)


async def test_tool_calls_stream_their_arguments() -> None:
    body = chat("get_weather, get_time", tools=[WEATHER, CLOCK])
    whole = (await ask(body))["choices"][0]["message"]["tool_calls"]
    events = chunks((await read(await open_stream(body)))[0])
    built: dict[int, dict[str, str]] = {}
    for event in events:
        for choice in event["choices"]:
            for part in choice["delta"].get("tool_calls", []):
                call = built.setdefault(part["index"], {"id": part.get("id"), "arguments": ""})
                call["arguments"] += part["function"]["arguments"]
    assert [call["id"] for call in built.values()] == [call["id"] for call in whole]
    expected = [call["function"]["arguments"] for call in whole]
    assert [call["arguments"] for call in built.values()] == expected
    assert events[-2]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_tool_result_is_answered_in_words_that_quote_it() -> None:
    asked = chat("Get weather in Paris", tools=[WEATHER])
    message = (await ask(asked))["choices"][0]["message"]
    result = {
        "role": "tool",
        "tool_call_id": message["tool_calls"][0]["id"],
        "content": "sunny, 21 °C",
    }
    answer = await ask(asked | {"messages": [*asked["messages"], message, result]})
    assert answer["choices"][0]["finish_reason"] == "stop"
    text = answer["choices"][0]["message"]["content"]
    assert "The tool get_weather answered: “sunny, 21 °C”." in text


async def test_structured_output() -> None:
    schema = WEATHER["function"]["parameters"]
    form = {"type": "json_schema", "json_schema": {"name": "w", "strict": True, "schema": schema}}
    answer = await ask(chat("Hi", response_format=form))
    value = json.loads(answer["choices"][0]["message"]["content"])
    assert jsonschema_rs.is_valid(schema, value)
    plain = await ask(chat("Hi", response_format={"type": "json_object"}))
    assert json.loads(plain["choices"][0]["message"]["content"])["sandbox"] is True
    impossible = {"type": "json_schema", "json_schema": {"name": "w", "schema": {"enum": []}}}
    with pytest.raises(AttemptFailed, match=r"response_format\.json_schema\.schema") as failed:
        await ask(chat("Hi", response_format=impossible))
    assert failed.value.after is After.STOP


async def test_logprobs() -> None:
    answer = await ask(chat("Hi", logprobs=True, top_logprobs=3))
    choice = answer["choices"][0]
    content = choice["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content) == choice["message"]["content"]
    assert all(len(entry["top_logprobs"]) == 3 and entry["logprob"] < 0 for entry in content)
    assert bytes(content[0]["bytes"]).decode() == content[0]["token"]
    assert (await ask(chat("Hi")))["choices"][0]["logprobs"] is None


async def test_completions() -> None:
    body = {"model": "sandbox", "prompt": ["One", "Two"], "n": 2, "logprobs": 1, "max_tokens": 12}
    answer = await ask(body, "completion")
    assert answer["object"] == "text_completion"
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert "One" in answer["choices"][0]["text"]
    assert "Two" in answer["choices"][2]["text"]
    logprobs = answer["choices"][0]["logprobs"]
    assert "".join(logprobs["tokens"]) == answer["choices"][0]["text"]
    assert logprobs["text_offset"][1] == len(logprobs["tokens"][0])
    echo = await ask({"prompt": "Once upon", "echo": True}, "completion")
    assert echo["choices"][0]["text"].startswith("Once upon")
    numbers = await ask({"prompt": [1, 2, 3]}, "completion")
    assert "3 tokens" in numbers["choices"][0]["text"]
    assert numbers["usage"]["prompt_tokens"] == 3


def test_a_token_within_a_character_is_sent_with_the_one_that_ends_it() -> None:
    assert list(sandbox_wire._pieces(["a", "", "é", "b", ""])) == [(1, "a"), (2, "é"), (1, "b")]


async def test_completions_stream() -> None:
    whole = await ask({"prompt": "Hello"}, "completion")
    pieces, error = await read(await open_stream({"prompt": "Hello"}, "completion"))
    events = chunks(pieces)
    assert error is None
    text = "".join(choice["text"] for event in events for choice in event["choices"])
    assert text == whole["choices"][0]["text"]
    assert events[-1]["usage"] == whole["usage"]


async def test_more_choices_than_it_gives_are_refused() -> None:
    with pytest.raises(AttemptFailed, match="128 choices"):
        await ask({"prompt": ["x"] * 65, "n": 2}, "completion")
    with pytest.raises(AttemptFailed, match="131072 tokens"):
        await ask(chat("[sandbox tokens=16384]", n=9))


async def test_models() -> None:
    sandbox = Sandbox()
    for kind, model, code in (
        ("chat", "gpt-4o", "MODEL_NOT_FOUND"),
        ("chat", "sandbox-embedding", "MODEL_NOT_SUPPORTED"),
        ("embedding", "sandbox", "MODEL_NOT_SUPPORTED"),
    ):
        with pytest.raises(AttemptFailed) as failed:
            await sandbox.call(call_of(chat("Hi"), kind), model, Deadlines(), "a")
        assert (failed.value.code, failed.value.healthy) == (code, True)


async def test_embeddings() -> None:
    body = {"model": "sandbox-embedding", "input": ["reset my password", [1, 2, 3], ""]}
    answer = await ask(body, "embedding")
    assert [item["index"] for item in answer["data"]] == [0, 1, 2]
    for item in answer["data"]:
        assert len(item["embedding"]) == 256
        assert sum(value * value for value in item["embedding"]) == pytest.approx(1, abs=1e-5)
    coded = await ask(body | {"encoding_format": "base64"}, "embedding")
    raw = base64.b64decode(coded["data"][0]["embedding"])
    assert list(struct.unpack("<256f", raw)) == answer["data"][0]["embedding"]
    assert answer["usage"]["prompt_tokens"] == tokens.count("reset my password") + 3
    small = await ask(body | {"dimensions": 8}, "embedding")
    assert len(small["data"][0]["embedding"]) == 8
    with pytest.raises(AttemptFailed, match="dimensions"):
        await ask(body | {"dimensions": 5000}, "embedding")


async def test_similar_texts_are_nearer() -> None:
    texts = [
        "How do I reset my password?",
        "How can I reset the password?",
        "The best pizza of Naples",
    ]
    data = (await ask({"input": texts}, "embedding"))["data"]
    one, near, far = (item["embedding"] for item in data)

    def cosine(left: list[float], right: list[float]) -> float:
        return sum(a * b for a, b in zip(left, right, strict=True))

    assert cosine(one, near) > 0.5 > 0.3 > cosine(one, far)


@given(st.text(max_size=300), st.integers(1, 40), st.sampled_from(["low", None]))
async def test_any_text_is_answered_whole_or_streamed_alike(
    text: str, most: int, effort: str | None
) -> None:
    body = chat(text.replace("[sandbox", ""), max_tokens=most, reasoning_effort=effort)
    whole = await ask(body)
    assert whole["usage"]["completion_tokens"] <= most
    events = chunks((await read(await open_stream(body)))[0])
    assert joined(events) == (whole["choices"][0]["message"]["content"] or "")
    assert events[-1]["usage"] == whole["usage"]
