"""The official ``openai`` package against POST /v1/chat/completions."""

import base64
import json
from typing import Any

import pytest
from pydantic import BaseModel

from e2e.client import Client
from e2e.sdk import done, items, said, user
from upstream.plan import Plan
from upstream.server import Upstream

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TOOL_CALLS = [
    {
        "id": f"call_{n}",
        "type": "function",
        "function": {"name": "get_weather", "arguments": json.dumps({"city": city})},
    }
    for n, city in enumerate(["Paris", "Oslo"])
]
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 5,
    "total_tokens": 25,
    "prompt_tokens_details": {"cached_tokens": 12},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


class Point(BaseModel):
    x: int
    y: int


async def test_plain(sdk: Any, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=4, usage=USAGE))
    answer = await done(sdk.chat.completions.create(model=model, messages=user("hi")))
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content == "w0 w1 w2 w3 "
    assert answer.choices[0].finish_reason == "stop"
    assert answer.system_fingerprint == "fp_upstream"
    assert answer.usage.prompt_tokens_details.cached_tokens == 12
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3
    (call,) = upstream.calls(model)
    assert call.path == "/v1/chat/completions"
    assert call.headers["authorization"] == "Bearer up-secret"
    assert call.json == {"model": model, "messages": user("hi")}


async def test_a_client_s_secrets_and_cookies_stay_here(
    sdk: Any, upstream: Upstream, model: str
) -> None:
    await done(
        sdk.chat.completions.create(
            model=model, messages=user("hi"), extra_headers={"Cookie": "a=b", "X-Secret": "s"}
        )
    )
    (call,) = upstream.calls(model)
    sent = json.dumps(call.headers)
    assert sdk.api_key not in sent
    assert "cookie" not in call.headers and "x-secret" not in call.headers


async def test_stream_without_usage_shows_none(sdk: Any, upstream: Upstream, model: str) -> None:
    """Usage is always asked of the provider, and kept from a client that did not ask."""
    upstream.on(model, Plan(tokens=5))
    chunks = await items(sdk.chat.completions.create(model=model, messages=user("hi"), stream=True))
    assert said(chunks) == "w0 w1 w2 w3 w4 "
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)
    (call,) = upstream.calls(model)
    assert call.json["stream_options"]["include_usage"] is True


async def test_stream_with_usage(sdk: Any, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=5, usage=USAGE))
    chunks = await items(
        sdk.chat.completions.create(
            model=model,
            messages=user("hi"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert said(chunks) == "w0 w1 w2 w3 w4 "
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 25
    assert [chunk for chunk in chunks if not chunk.choices] == chunks[-1:]
    assert len(upstream.calls(model)) == 1


def test_a_stream_asked_without_usage_is_still_billed(
    api: Client, upstream: Upstream, model: str
) -> None:
    upstream.on(model, Plan(tokens=5))
    reply = api.chat_stream(model, headers={"X-Request-ID": f"billed-{model}"}).read()
    assert reply.events[-1] == "[DONE]"
    record = api.trace(f"billed-{model}")
    assert (record["input_tokens"], record["output_tokens"]) == (10, 5)


async def test_parallel_tool_calls(sdk: Any, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tool_calls=TOOL_CALLS))
    answer = await done(
        sdk.chat.completions.create(
            model=model,
            messages=user("Paris and Oslo?"),
            tools=[TOOL],
            tool_choice="auto",
            parallel_tool_calls=True,
        )
    )
    assert answer.choices[0].finish_reason == "tool_calls"
    calls = answer.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Paris", "Oslo"]
    (sent,) = upstream.calls(model)
    assert sent.json["tools"] == [TOOL]
    assert sent.json["tool_choice"] == "auto" and sent.json["parallel_tool_calls"] is True


async def test_streamed_tool_arguments(sdk: Any, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tool_calls=TOOL_CALLS))
    chunks = await items(
        sdk.chat.completions.create(
            model=model, messages=user("Paris and Oslo?"), tools=[TOOL], stream=True
        )
    )
    arguments = ["", ""]
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or []:
            arguments[call.index] += call.function.arguments
    assert [json.loads(text)["city"] for text in arguments] == ["Paris", "Oslo"]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert len(upstream.calls(model)) == 1


async def test_a_conversation_with_tool_results_passes_whole(
    sdk: Any, upstream: Upstream, model: str
) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        *user("Paris?"),
        {"role": "assistant", "content": None, "tool_calls": TOOL_CALLS[:1]},
        {"role": "tool", "tool_call_id": "call_0", "content": "21 degrees"},
    ]
    await done(sdk.chat.completions.create(model=model, messages=messages, tools=[TOOL]))
    (call,) = upstream.calls(model)
    assert call.json["messages"] == messages


async def test_images_and_audio(sdk: Any, upstream: Upstream, model: str) -> None:
    data = base64.b64encode(bytes(range(256))).decode()
    content = [
        {"type": "text", "text": "What is this?"},
        {
            "type": "image_url",
            "image_url": {"url": f"data:image/png;base64,{data}", "detail": "low"},
        },
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
    ]
    upstream.on(model, Plan(fields={}))
    await done(
        sdk.chat.completions.create(
            model=model,
            messages=user(content),
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": "wav"},
        )
    )
    (call,) = upstream.calls(model)
    assert call.json["messages"] == user(content)
    assert call.json["audio"] == {"voice": "alloy", "format": "wav"}


async def test_structured_output(sdk: Any, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(text='{"x": 3, "y": -4}'))
    answer = await done(
        sdk.chat.completions.parse(model=model, messages=user("A point."), response_format=Point)
    )
    assert answer.choices[0].message.parsed == Point(x=3, y=-4)
    (call,) = upstream.calls(model)
    assert call.json["response_format"]["json_schema"]["strict"] is True


async def test_reasoning_content(sdk: Any, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(reasoning="First, think.", usage=USAGE))
    answer = await done(
        sdk.chat.completions.create(model=model, messages=user("hi"), reasoning_effort="low")
    )
    assert answer.choices[0].message.reasoning_content == "First, think."
    chunks = await items(sdk.chat.completions.create(model=model, messages=user("hi"), stream=True))
    thoughts = [getattr(c.choices[0].delta, "reasoning_content", None) for c in chunks]
    assert "First, think." in thoughts
    assert len(upstream.calls(model)) == 2


async def test_n_choices_and_logprobs(sdk: Any, upstream: Upstream, model: str) -> None:
    answer = await done(
        sdk.chat.completions.create(model=model, messages=user("hi"), n=3, logprobs=True)
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.choices[2].logprobs.content[0].token == "w0 "
    chunks = await items(
        sdk.chat.completions.create(
            model=model, messages=user("hi"), n=2, logprobs=True, stream=True
        )
    )
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}
    assert len(upstream.calls(model)) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 7),
        ("stop", ["END"]),
        ("max_completion_tokens", 2),
        ("frequency_penalty", 0.5),
        ("presence_penalty", -0.5),
        ("top_p", 0.9),
        ("logit_bias", {"50256": -100}),
        ("service_tier", "flex"),
        ("metadata", {"team": "a"}),
        ("user", "u-1"),
        ("store", True),
        ("prediction", {"type": "content", "content": "w0"}),
        ("some_future_field", {"deep": [1, 2.5, None]}),
    ],
)
def test_every_parameter_reaches_the_provider(
    api: Client, upstream: Upstream, model: str, field: str, value: Any
) -> None:
    reply = api.chat(model, **{field: value})
    assert reply.status == 200, reply.body
    (call,) = upstream.calls(model)
    assert call.json[field] == value


async def test_headers_of_an_answer(sdk: Any, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(usage=USAGE))
    raw = await done(
        sdk.chat.completions.with_raw_response.create(
            model=model,
            messages=user("hi"),
            extra_headers={"X-Request-ID": f"r-{model}", "X-Correlation-ID": "corr-1"},
        )
    )
    headers = raw.headers
    assert headers["x-request-id"] == f"r-{model}"
    assert headers["x-correlation-id"] == "corr-1"
    assert headers["x-modelyard-target"] == f"main/{model}"
    assert headers["x-modelyard-cache"] in ("off", "miss")
    assert float(headers["x-modelyard-cost"]) == pytest.approx((20 * 2 + 5 * 10) / 1e6)
    assert headers["x-model-version"] == model
    assert headers["x-api-version"].count(".") == 2
    assert headers["traceparent"].startswith("00-")
    assert (await done(raw.parse())).usage.total_tokens == 25
    (call,) = upstream.calls(model)
    assert call.headers["traceparent"].split("-")[1] == headers["traceparent"].split("-")[1]
