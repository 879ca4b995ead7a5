"""The gateway's own surface: what it assumes, and what a client said."""

from typing import Any

import pytest

from dialects.clients import CLIENTS
from dialects.providers import scripted
from dialects.upstream import Provider
from e2e.client import Client


@pytest.mark.parametrize("model", ["o3-mini", "gpt-5.1"])
def test_a_temperature_that_was_asked_for_is_sent(
    api: Client, provider: Provider, model: str
) -> None:
    """A model that refuses it says so; what was only assumed is left out for it."""
    provider.script(scripted("openai", "plain"))
    options = {"model": f"openai-up/{model}", "max_tokens": 9, "use_cache": False}
    assert api.infer("Hello", temperature=0.3, **options).status == 200
    assert api.infer("Hello", **options).status == 200
    asked = [one.body for one in provider.asked]
    messages = b'"messages":[{"role":"user","content":"Hello"}]'
    end = b'"model":"%b","max_completion_tokens":9}' % model.encode()
    assert asked == [
        b"{" + messages + b',"temperature":0.3,' + end,
        b"{" + messages + b"," + end,
    ]


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini", "bedrock", "azure"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_every_dialect_answers(
    api: Client, provider: Provider, dialect: str, streamed: bool
) -> None:
    provider.script(scripted(dialect, "stream" if streamed else "plain"))
    options = {"model": f"to-{dialect}", "stream": streamed, "use_cache": False}
    reply = api.infer("Hello", temperature=1.5, **options)
    assert reply.status == 200, reply.body
    if streamed:
        assert reply.events[-1] == "[DONE]" and '"Hi"' in reply.body.decode()
        return
    answer = reply.json
    assert answer["response"] == "Hi there"
    assert (answer["input_tokens"], answer["output_tokens"]) == (9, 2)
    warned = "temperature was lowered to 1, the most that anthropic-up/claude-x takes."
    assert (warned in answer["metadata"]["warnings"]) is (dialect == "anthropic")


@pytest.mark.parametrize(
    ("surface", "case"), [(surface, case) for surface in CLIENTS for case in CLIENTS[surface]]
)
def test_the_sandbox_takes_whatever_a_surface_sends(api: Client, surface: str, case: str) -> None:
    path, body = CLIENTS[surface][case]
    model = "sandbox-embedding" if case.startswith("embedding") else "sandbox"
    asked: dict[str, Any] = body | {"model": model} if "model" in body else body
    reply = api.post(path.replace("{model}", model), asked)
    assert reply.status in (200, 400), reply.body
    if reply.status == 400:
        assert case == "unsupported" or "MODEL_NOT_SUPPORTED" in reply.body.decode()
