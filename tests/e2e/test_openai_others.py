"""The official ``openai`` package against completions, embeddings and models."""

import base64
import struct
from typing import Any

import openai
import pytest

from e2e.client import Client
from e2e.sdk import done, items
from upstream.plan import Plan
from upstream.server import Upstream


async def test_completion(sdk: Any, upstream: Upstream, model: str) -> None:
    answer = await done(sdk.completions.create(model=model, prompt="Once", max_tokens=2))
    assert answer.object == "text_completion"
    assert answer.choices[0].text == "w0 w1 "
    assert answer.usage.completion_tokens == 2
    (call,) = upstream.calls(model)
    assert call.path == "/v1/completions"
    assert call.json == {"model": model, "prompt": "Once", "max_tokens": 2}


async def test_streamed_completion(sdk: Any, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=4))
    chunks = await items(sdk.completions.create(model=model, prompt="Once", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "w0 w1 w2 w3 "
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    with_usage = await items(
        sdk.completions.create(
            model=model, prompt="Once", stream=True, stream_options={"include_usage": True}
        )
    )
    assert with_usage[-1].usage.completion_tokens == 4
    assert len(upstream.calls(model)) == 2


async def test_embeddings_arrive_as_numbers(sdk: Any, upstream: Upstream, model: str) -> None:
    """The package asks for base64 by itself and decodes it."""
    answer = await done(sdk.embeddings.create(model=model, input=["a", "b"], dimensions=3))
    assert [item.index for item in answer.data] == [0, 1]
    assert answer.data[1].embedding == [1.0, 1.125, 1.25]
    assert answer.usage.prompt_tokens == 10
    (call,) = upstream.calls(model)
    assert call.path == "/v1/embeddings"
    assert call.json["encoding_format"] == "base64" and call.json["dimensions"] == 3


@pytest.mark.parametrize("given", ["one text", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_embedding_inputs(api: Client, upstream: Upstream, model: str, given: Any) -> None:
    reply = api.post("/v1/embeddings", {"model": model, "input": given})
    assert reply.status == 200, reply.body
    (call,) = upstream.calls(model)
    assert call.json["input"] == given


def test_embeddings_in_the_encoding_that_was_asked_for(
    api: Client, upstream: Upstream, model: str
) -> None:
    body = {"model": model, "input": "a"}
    floats = api.post("/v1/embeddings", body | {"encoding_format": "float"}).json
    assert floats["data"][0]["embedding"] == [0.0, 0.125, 0.25, 0.375]
    packed = api.post("/v1/embeddings", body | {"encoding_format": "base64"}).json
    raw = base64.b64decode(packed["data"][0]["embedding"])
    assert struct.unpack("<4f", raw) == (0.0, 0.125, 0.25, 0.375)
    assert len(upstream.calls(model)) == 2


async def test_models(sdk: Any, model: str) -> None:
    listed = await items(sdk.models.list())
    assert model in [entry.id for entry in listed]
    assert all(entry.object == "model" and entry.owned_by for entry in listed)


async def test_one_model(sdk: Any, model: str) -> None:
    entry = await done(sdk.models.retrieve(model))
    assert (entry.id, entry.object) == (model, "model")
    with pytest.raises(openai.NotFoundError) as caught:
        await done(sdk.models.retrieve("nothing-of-that-name"))
    assert caught.value.code == "MODEL_NOT_FOUND"


def test_a_model_that_cannot_is_named(api: Client, upstream: Upstream, model: str) -> None:
    """A provider's refusal keeps its reason."""
    upstream.on(model, Plan(status=404, error={"message": "no such model", "type": "x"}))
    reply = api.post("/v1/embeddings", {"model": model, "input": "a"})
    assert 400 <= reply.status < 504
    assert len(upstream.calls(model)) == 1
