"""Limits that providers tell are obeyed, and chains cross dialects."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dialects.providers import scripted
from dialects.upstream import Provider
from e2e.client import Client
from serving import Server

CHAIN = (
    '[providers.one]\ndialect = "anthropic"\nbase_url = "{url}/v1"\n'
    '[providers.two]\ndialect = "gemini"\nbase_url = "{url}/v1beta"\n'
    '[[models]]\nname = "chain"\ntargets = ["one/claude-x", "two/gemini-x"]\n'
)


def test_the_last_call_that_a_provider_takes(provider: Provider) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=600)).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": soon,
    }
    first = replace(scripted("anthropic", "plain"), fields=told)
    provider.script(first, scripted("gemini", "plain"))
    with Server(CHAIN.format(url=provider.url)) as server:
        api = Client(server.url, server.key)
        for target in ("one/claude-x", "two/gemini-x", "two/gemini-x"):
            reply = api.chat("chain", headers={"X-Modelyard-Cache": "off"})
            assert reply.headers["x-modelyard-target"] == target, reply.body
            assert reply.json["choices"][0]["message"]["content"] == "Hi there"
    assert [asked.path for asked in provider.asked] == [
        "/v1/messages",
        "/v1beta/models/gemini-x:generateContent",
        "/v1beta/models/gemini-x:generateContent",
    ]


def test_what_one_target_cannot_do_the_next_may(api: Client, provider: Provider) -> None:
    provider.script(scripted("gemini", "plain"))
    reply = api.chat("chain", n=2)
    assert reply.headers["x-modelyard-target"] == "gemini-up/gemini-x"
    (asked,) = provider.asked
    assert b'"candidateCount":2' in asked.body


def test_a_stream_fails_over_before_its_first_token(api: Client, provider: Provider) -> None:
    begun = scripted("anthropic", "stream")
    overloaded = (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error",'
        b'"message":"Overloaded"}}\n\n'
    )
    cut = begun.body[: begun.body.index(b"event: content_block_delta")] + overloaded
    provider.script(replace(begun, body=cut), scripted("gemini", "stream"))
    body = {
        "model": "chain",
        "max_tokens": 5,
        "stream": True,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    reply = api.stream("/v1/messages", body).read()
    assert reply.headers["x-modelyard-target"] == "gemini-up/gemini-x"
    assert b'"text":"Hi"' in reply.body and b"claude-x" not in reply.body


def test_a_stream_that_breaks_is_never_complete(api: Client, provider: Provider) -> None:
    whole = scripted("anthropic", "stream")
    broken = whole.body[: whole.body.index(b"event: message_delta")]
    for path, body in (
        ("/v1/messages", {"max_tokens": 5, "messages": [{"role": "user", "content": "a"}]}),
        ("/v1beta/models/to-anthropic:streamGenerateContent?alt=sse",
         {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}),
        ("/v1beta/models/to-anthropic:streamGenerateContent",
         {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}),
    ):  # fmt: skip
        provider.script(replace(whole, body=broken, pause=0.1))
        asked = body | {"model": "to-anthropic", "stream": True} if "max_tokens" in body else body
        reply = api.stream(path, asked).read()
        assert reply.status == 200
        assert b"message_stop" not in reply.body and b"finishReason" not in reply.body
        assert b'"error"' in reply.body
        if path.endswith("Content"):
            assert [list(one) for one in reply.json][-1] == ["error"]
