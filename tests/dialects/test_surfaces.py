"""What the surfaces themselves decide: who shares an answer, which key counts, what is refused."""

import json
import urllib.request
from typing import Any

import pytest

from dialects.providers import scripted
from dialects.upstream import Provider, Scripted
from e2e.client import Client
from serving import Server

GEMINI = "/v1beta/models/to-gemini:"
ON = {"X-Modelyard-Cache": "on"}


def text(said: str) -> dict[str, Any]:
    return {"parts": [{"text": said}]}


def test_one_text_and_many_are_answered_each_in_its_shape(api: Client, provider: Provider) -> None:
    """The same text twice, at the two methods that embed."""
    provider.script(
        Scripted(b'{"embeddings":[{"values":[1.0]}]}'), Scripted(b'{"embedding":{"values":[2.0]}}')
    )
    many = api.post(GEMINI + "batchEmbedContents", {"requests": [{"content": text("shape")}]})
    single = api.post(GEMINI + "embedContent", {"content": text("shape")})
    assert many.json == {"embeddings": [{"values": [1.0]}]}
    assert single.json == {"embedding": {"values": [2.0]}}


def image(data: str) -> dict[str, Any]:
    return {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": data}}]}}


def test_an_image_to_embed(api: Client, provider: Provider) -> None:
    """Two of them are two requests; who embeds texts alone refuses."""
    provider.script(
        Scripted(b'{"embedding":{"values":[1.0]}}'), Scripted(b'{"embedding":{"values":[2.0]}}')
    )
    for data, value in (("aaaa", 1.0), ("bbbb", 2.0)):
        reply = api.post(GEMINI + "embedContent", image(data))
        assert reply.json == {"embedding": {"values": [value]}}
    for dialect in ("openai", "bedrock"):
        refused = api.post(f"/v1beta/models/to-{dialect}:embedContent", image("aaaa"))
        assert refused.status == 400
        assert refused.json["error"]["details"][0]["reason"] == "MODEL_NOT_SUPPORTED"
        assert "'content.parts'" in refused.json["error"]["message"]
    assert len(provider.asked) == 2


def test_what_only_the_vendor_knows_is_not_shared(api: Client, provider: Provider) -> None:
    """Requests that differ where the canonical call has no place, or in a header."""
    provider.script(scripted("gemini", "plain"))
    for thoughts in (True, False, True):
        config = {"temperature": 0, "thinkingConfig": {"includeThoughts": thoughts}}
        body = {"contents": [text("thoughts")], "generationConfig": config}
        assert api.post(GEMINI + "generateContent", body, ON).status == 200
    assert len(provider.asked) == 2
    provider.script(scripted("anthropic", "plain"))
    asked = {"model": "to-anthropic", "max_tokens": 5, "temperature": 0, "messages": [
        {"role": "user", "content": "beta"}]}  # fmt: skip
    for beta in ("a", "b", "a"):
        assert api.post("/v1/messages", asked, ON | {"anthropic-beta": beta}).status == 200
    assert len(provider.asked) == 2


@pytest.mark.parametrize(
    ("path", "more", "field"),
    [
        ("/v1beta/models/to-openai:generateContent", {"toolConfig": {"retrievalConfig": {}}},
         "retrieval_config"),
        ("/v1/messages", {"output_config": {"task_budget": {"total": 5}}}, "task_budget"),
    ],
)  # fmt: skip
def test_what_nobody_else_has_is_refused_by_name(
    api: Client, path: str, more: dict[str, Any], field: str
) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    body = {"model": "to-openai", "max_tokens": 5, "messages": messages} | more
    reply = api.post(path, {"contents": [text("Hello")]} | more if "beta" in path else body)
    assert reply.status == 400
    assert f"cannot take '{field}'" in reply.json["error"]["message"]


def test_a_picture_in_a_function_s_response(api: Client, provider: Provider) -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "aaaa"}}
    response = {"name": "f", "response": {"result": "seen"}, "parts": [picture]}
    body = {
        "contents": [
            text("Look"),
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": response}]},
        ]
    }
    provider.script(scripted("anthropic", "plain"))
    assert api.post("/v1beta/models/to-anthropic:generateContent", body).status == 200
    (result,) = json.loads(provider.asked[0].body)["messages"][2]["content"]
    assert result["content"] == [
        {"type": "text", "text": "seen"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aaaa"}},
    ]


@pytest.mark.parametrize("path", ["?key={key}", "?alt=json&key={key}"])
def test_google_s_key_in_the_query(server: Server, provider: Provider, path: str) -> None:
    provider.script(scripted("gemini", "plain"))
    url = server.url + GEMINI + "generateContent" + path.format(key=server.key)
    body = json.dumps({"contents": [text("Hello")]}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        assert reply.status == 200
    assert server.key not in provider.asked[0].path
    assert server.key not in server.log()


@pytest.mark.parametrize("model", ["to-openai", "to-gemini", "to-anthropic", "sandbox"])
@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"generationConfig": {"maxOutputTokens": "100"}}, "generationConfig.maxOutputTokens"),
        ({"generation_config": {"stop_sequences": 3}}, "generationConfig.stopSequences"),
        ({"generationConfig": {"candidateCount": "x"}}, "generationConfig.candidateCount"),
        ({"max_completion_tokens": "x"}, "body"),
        ({"stop": 5}, "body"),
        ({"messages": 5}, "body"),
    ],
)
def test_a_wrong_type_is_named(api: Client, model: str, more: dict[str, Any], field: str) -> None:
    body = {"contents": [text("Hello")]} | more
    reply = api.post(f"/v1beta/models/{model}:generateContent", body)
    assert reply.status == 400
    told = reply.json["error"]["details"][0]
    assert (told["reason"], told["metadata"]["field"]) == ("INVALID_REQUEST", field)


@pytest.mark.parametrize("more", [{"max_completion_tokens": "x"}, {"stop": 5}, {"n": "x"}])
def test_a_wrong_type_of_a_member_that_anthropic_has_not(api: Client, more: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    for model in ("to-anthropic", "to-openai", "sandbox"):
        body = {"model": model, "max_tokens": 5, "messages": messages} | more
        reply = api.post("/v1/messages", body)
        assert (reply.status, reply.json["error"]["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("body", [b"{}", b'{"type":"error","error":{"type":"overloaded_error"}}'])
def test_an_answer_that_is_none(api: Client, provider: Provider, path: str, body: bytes) -> None:
    """Status 200 does not make it one."""
    provider.script(Scripted(body))
    asked = {"model": "anthropic-up/none", "max_tokens": 5, "messages": [
        {"role": "user", "content": "Hello"}]}  # fmt: skip
    reply = api.post(path, asked)
    assert (reply.status, reply.json["error"]["code"]) == (502, "PROVIDER_ERROR")


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_takes_over_a_conversation_that_gemini_began(
    api: Client, provider: Provider, stream: bool
) -> None:
    """It would refuse thoughts that it has not signed."""
    asked = {"model": "to-gemini", "max_tokens": 5, "messages": [
        {"role": "user", "content": "Hello"}]}  # fmt: skip
    provider.script(scripted("gemini", "thinking"))
    answer = api.post("/v1/messages", asked).json["content"]
    assert [one["type"] for one in answer] == ["thinking", "text", "redacted_thinking"]
    turns = [*asked["messages"], {"role": "assistant", "content": answer},
             {"role": "user", "content": "And?"}]  # fmt: skip
    provider.script(scripted("anthropic", "stream" if stream else "plain"))
    more = {"model": "to-anthropic", "max_tokens": 5, "messages": turns, "stream": stream}
    reply = api.post("/v1/messages", more)
    assert reply.status == 200 and b"Hi" in reply.body
    sent = json.loads(provider.asked[0].body)["messages"]
    assert sent[1] == {"role": "assistant", "content": "42"}


def test_a_whole_number_is_one_elsewhere(api: Client, provider: Provider) -> None:
    """Google's package sends ``topK`` as 40.0, which others refuse."""
    provider.script(scripted("anthropic", "plain"))
    config = {"topK": 40.0, "maxOutputTokens": 5}
    body = {"contents": [text("Hello")], "generationConfig": config}
    api.post("/v1beta/models/to-anthropic:generateContent", body)
    assert provider.asked[0].body.endswith(b'"top_k":40}')


def test_what_the_server_s_tools_are_given_is_no_call_of_the_client_s(
    api: Client, provider: Provider
) -> None:
    """Anthropic's own tools stream their input as the client's do; clients of it see all."""
    message = {"id": "m", "model": "c", "content": [], "usage": {"input_tokens": 3}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for index, (sort, name) in enumerate((("tool_use", "f"), ("server_tool_use", "web_search"))):
        block = {"type": sort, "id": f"t{index}", "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": f'{{"by":"{name}"}}'}
        events += [
            {"type": "content_block_start", "index": index, "content_block": block},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    end = {"stop_reason": "tool_use"}
    events += [{"type": "message_delta", "delta": end, "usage": {"output_tokens": 2}}]
    events += [{"type": "message_stop"}]
    lines = [f"event: {one['type']}\ndata: {json.dumps(one, separators=(',', ':'))}\n\n"
             for one in events]  # fmt: skip
    stream = "".join(lines).encode()
    provider.script(Scripted(stream, 200, "text/event-stream", 50))
    asked = {"model": "to-anthropic", "max_tokens": 5, "stream": True, "messages": [
        {"role": "user", "content": "Hello"}]}  # fmt: skip
    assert api.stream("/v1/messages", asked).read().body == stream
    answer = api.stream("/v1/chat/completions", asked).read().body
    assert b'{\\"by\\":\\"f\\"}' in answer
    assert b"web_search" not in answer


@pytest.mark.parametrize("dialect", ["openai", "gemini", "bedrock", "azure"])
def test_what_only_anthropic_s_tools_have_is_told(
    api: Client, provider: Provider, dialect: str
) -> None:
    provider.script(scripted(dialect, "plain"))
    tool = {
        "name": "look",
        "input_schema": {"type": "object"},
        "input_examples": [{}],
        "defer_loading": True,
    }
    body = {
        "model": f"to-{dialect}",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "look"}],
        "tools": [tool],
    }
    reply = api.post("/v1/messages", body)
    assert reply.status == 200, reply.body
    told = reply.headers["x-modelyard-warning"]
    assert "input_examples was dropped" in told
    assert "defer_loading was dropped" in told
    assert b"input_examples" not in provider.asked[-1].body
