"""What the cells do not show: parameters that are mapped, and where."""

from typing import Any

import msgspec
import pytest

from dialects.clients import SIGNATURE
from dialects.providers import scripted
from dialects.upstream import Provider
from e2e.client import Client

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}


def said(text: str = "Hello", **more: Any) -> dict[str, Any]:
    return {"max_tokens": 100, "messages": [{"role": "user", "content": text}]} | more


def sent(api: Client, provider: Provider, dialect: str, path: str, body: Any) -> Any:
    """What the provider was asked, and the warning."""
    provider.script(scripted(dialect, "plain"))
    reply = api.post(path, body | {"model": f"to-{dialect}"})
    assert reply.status == 200, reply.body
    return msgspec.json.decode(provider.asked[0].body), reply.headers.get("x-modelyard-warning")


@pytest.mark.parametrize("dialect", ["openai", "gemini", "bedrock"])
def test_what_only_steers_the_context_is_dropped(
    api: Client, provider: Provider, dialect: str
) -> None:
    body = said(context_management={"edits": [{"type": "clear_tool_uses_20250919"}]})
    asked, warning = sent(api, provider, dialect, "/v1/messages", body)
    assert "context_management" not in str(asked)
    assert warning is not None and warning.startswith("context_management was dropped")


def test_the_beta_s_name_of_an_output_s_form(api: Client, provider: Provider) -> None:
    body = said(output_format={"type": "json_schema", "schema": SCHEMA})
    asked, _ = sent(api, provider, "openai", "/v1/messages", body)
    assert asked["response_format"]["json_schema"]["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"type": "enabled", "budget_tokens": 1024}, "low"),
        ({"type": "enabled", "budget_tokens": 10_000}, "medium"),
        ({"type": "enabled", "budget_tokens": 30_000}, "high"),
        ({"type": "adaptive"}, None),
        ({"type": "disabled"}, None),
    ],
)
def test_a_budget_is_an_effort(
    api: Client, provider: Provider, thinking: dict[str, Any], effort: str | None
) -> None:
    asked, _ = sent(api, provider, "openai", "/v1/messages", said(thinking=thinking))
    assert asked.get("reasoning_effort") == effort and "thinking" not in asked


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("claude-sonnet-4-5-20250929", "low", {"thinking": {"type": "enabled",
                                               "budget_tokens": 1024}, "max_tokens": 5120}),
        ("claude-3-7-sonnet-latest", "high", {"thinking": {"type": "enabled",
                                              "budget_tokens": 16384}, "max_tokens": 20480}),
        ("claude-opus-4-7", "max", {"thinking": {"type": "adaptive"},
                                    "output_config": {"effort": "max"}, "max_tokens": 4096}),
        ("claude-opus-4-7", "minimal", {"thinking": {"type": "adaptive"},
                                        "output_config": {"effort": "low"}, "max_tokens": 4096}),
        ("claude-opus-4-7", "none", {"thinking": {"type": "disabled"}, "max_tokens": 4096}),
    ],
)  # fmt: skip
def test_an_effort_is_a_budget_for_older_models(
    api: Client, provider: Provider, model: str, effort: str, expected: dict[str, Any]
) -> None:
    provider.script(scripted("anthropic", "plain"))
    reply = api.chat(f"anthropic-up/{model}", reasoning_effort=effort)
    assert reply.status == 200, reply.body
    asked = msgspec.json.decode(provider.asked[0].body)
    names = ("thinking", "output_config", "max_tokens")
    assert {name: asked[name] for name in names if name in asked} == expected


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("gemini-2.5-pro", "high", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-3-pro", "low", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3-pro", "xhigh", {"thinkingLevel": "HIGH", "includeThoughts": True}),
    ],
)
def test_an_effort_of_gemini_s(
    api: Client, provider: Provider, model: str, effort: str, expected: dict[str, Any]
) -> None:
    provider.script(scripted("gemini", "plain"))
    assert api.chat(f"gemini-up/{model}", reasoning_effort=effort).status == 200
    asked = msgspec.json.decode(provider.asked[0].body)
    assert asked["generationConfig"]["thinkingConfig"] == expected


def test_google_s_signatures_survive_anthropic_s_clients(api: Client, provider: Provider) -> None:
    """They travel as redacted thoughts, and go back to the call that they belong to."""
    provider.script(scripted("gemini", "tools"), scripted("gemini", "plain"))
    first = api.post("/v1/messages", said("Paris and Oslo?") | {"model": "to-gemini"}).json
    kinds = [block["type"] for block in first["content"]]
    assert kinds == ["redacted_thinking", "tool_use", "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "21"}
        for block in first["content"]
        if block["type"] == "tool_use"
    ]
    body = said("Paris and Oslo?") | {"model": "to-gemini"}
    body["messages"] += [
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": results},
    ]
    assert api.post("/v1/messages", body).status == 200
    parts = msgspec.json.decode(provider.asked[1].body)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [SIGNATURE, None]
    assert [part["functionCall"]["args"]["city"] for part in parts] == ["Paris", "Oslo"]


def test_a_tool_s_result_that_is_an_image(api: Client, provider: Provider) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image], "is_error": True}
    used = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    body = {"model": "to-openai", "max_tokens": 5, "messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": [used]},
        {"role": "user", "content": [result]},
    ]}  # fmt: skip
    provider.script(scripted("openai", "plain"))
    refused = api.post("/v1/messages", body)
    assert refused.status == 400 and refused.json["error"]["code"] == "MODEL_NOT_SUPPORTED"
    asked, _ = sent(api, provider, "bedrock", "/v1/messages", body)
    made = asked["messages"][2]["content"][0]["toolResult"]
    assert made["status"] == "error" and made["content"][0]["image"]["format"] == "png"
    asked, _ = sent(api, provider, "gemini", "/v1/messages", body)
    parts = asked["contents"][2]["parts"]
    assert parts[0]["functionResponse"]["response"] == {"error": ""}
    assert parts[1] == {"inlineData": {"mimeType": "image/png", "data": "AA"}}
