"""Bedrock: what Amazon's own package makes of our test server, and of our signatures."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as Known

from dialects import amazon
from dialects.amazon import AMAZON
from dialects.providers import scripted
from dialects.upstream import Provider, Scripted
from e2e.client import Client
from modelyard.inference.providers.eventstream import Damaged, Splitter
from modelyard.inference.providers.sigv4 import Credentials, sign
from serving import Server

ACCESS, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-central-1"


@pytest.fixture
def amazons(provider: Provider) -> Any:
    """Amazon's package, pointed at the test server."""
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=provider.url,
        region_name=REGION,
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        config=Config(retries={"max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def signing(provider: Provider) -> Iterator[Client]:
    """A server whose provider signs."""
    config = (
        f'[providers.aws]\ndialect = "bedrock"\nbase_url = "{provider.url}"\n'
        f'aws_region = "{REGION}"\naws_access_key_id = "{ACCESS}"\n'
        f'aws_secret_access_key = "{SECRET}"\naws_session_token = "token/1=="\nretries = 0\n'
    )
    with Server(config) as server:
        yield Client(server.url, server.key)


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


@pytest.mark.parametrize("case", ["plain", "tools", "thinking", "cached"])
def test_amazon_reads_what_the_test_server_answers(
    amazons: Any, provider: Provider, case: str
) -> None:
    provider.script(scripted("bedrock", case))
    answer = amazons.converse(modelId="anthropic.claude-x-v1:0", messages=said("Hello"))
    content = answer["output"]["message"]["content"]
    expected = {
        "plain": ["text"],
        "cached": ["text"],
        "tools": ["text", "toolUse", "toolUse"],
        "thinking": ["reasoningContent", "reasoningContent", "text"],
    }[case]
    assert [next(iter(block)) for block in content] == expected
    assert answer["usage"]["totalTokens"] == 11
    assert provider.asked[0].path == "/model/anthropic.claude-x-v1%3A0/converse"


@pytest.mark.parametrize("case", ["stream", "tools_stream", "thinking_stream"])
def test_amazon_reads_the_test_server_s_streams(
    amazons: Any, provider: Provider, case: str
) -> None:
    provider.script(scripted("bedrock", case))
    answer = amazons.converse_stream(modelId="anthropic.claude-x-v1:0", messages=said("Hello"))
    events = [next(iter(event.items())) for event in answer["stream"]]
    assert events[0] == ("messageStart", {"role": "assistant"})
    assert events[-1][0] == "metadata" and events[-2][0] == "messageStop"
    ours = Splitter().feed(scripted("bedrock", case).body)
    assert [message.fields[":event-type"] for message in ours] == [name for name, _ in events]


@pytest.mark.parametrize("token", [None, "token/1=="])
@pytest.mark.parametrize(
    "path", ["/model/anthropic.claude-x-v1%3A0/converse", "/model/a%2Fb/converse-stream", "/x"]
)
def test_our_signature_is_amazon_s(path: str, token: str | None) -> None:
    body = b'{"messages":[]}'
    fields = dict(sign(Credentials(ACCESS, SECRET, REGION, token), "host:8443", path, body))
    moment = datetime.strptime(fields["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    request = AWSRequest(
        "POST", "https://host:8443" + path, {"Content-Type": "application/json"}, body
    )
    theirs = SigV4Auth(Known(ACCESS, SECRET, token), "bedrock", REGION)
    request.context["timestamp"] = fields["X-Amz-Date"]
    request.headers["X-Amz-Date"] = fields["X-Amz-Date"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    request.headers["Host"] = "host:8443"
    canonical = theirs.canonical_request(request)
    signature = theirs.signature(theirs.string_to_sign(request, canonical), request)
    assert fields["Authorization"].endswith(f"Signature={signature}")
    again = sign(Credentials(ACCESS, SECRET, REGION, token), "host:8443", path, body, at=moment)
    assert dict(again) == fields


def test_a_signed_call(signing: Client, provider: Provider) -> None:
    """What arrived is signed as Amazon would sign it."""
    provider.script(scripted("bedrock", "plain"))
    model = "eu.anthropic.claude-x-v1:0"
    body = {"model": f"aws/{model}", "messages": [{"role": "user", "content": "Hello"}]}
    reply = signing.post("/v1/chat/completions", body)
    assert reply.status == 200, reply.body
    (asked,) = provider.asked
    fields = asked.fields
    assert fields["x-amz-security-token"] == "token/1=="
    request = AWSRequest("POST", provider.url + asked.path, {}, asked.body)
    for name in ("content-type", "host", "x-amz-date", "x-amz-security-token"):
        request.headers[name] = fields[name]
    theirs = SigV4Auth(Known(ACCESS, SECRET, fields["x-amz-security-token"]), "bedrock", REGION)
    request.context["timestamp"] = fields["x-amz-date"]
    text = theirs.string_to_sign(request, theirs.canonical_request(request))
    assert fields["authorization"].endswith("Signature=" + theirs.signature(text, request))


def test_an_exception_in_a_stream(api: Client, provider: Provider) -> None:
    told = amazon.event("modelStreamErrorException", {"message": "It broke."}, "exception")
    begun = amazon.event("messageStart", {"role": "assistant"}) + amazon.event(
        "contentBlockDelta", {"delta": {"text": "Hi"}, "contentBlockIndex": 0}
    )
    assert len(told) <= len(begun)
    provider.script(Scripted(begun + told, 200, AMAZON, len(begun), pause=0.1))
    reply = api.chat_stream("to-bedrock").read()
    assert "[DONE]" not in reply.events
    assert "It broke." in reply.events[-1]
    provider.script(Scripted(b"\x00" * 40, 200, AMAZON, 11))
    reply = api.chat_stream("to-bedrock").read()
    assert (reply.status, reply.code) == (502, "PROVIDER_ERROR")


@pytest.mark.parametrize("at", [0, 5, 9, 20, 60, -1])
def test_a_damaged_message(at: int) -> None:
    good = amazon.event("contentBlockDelta", {"delta": {"text": "Hi"}, "contentBlockIndex": 0})
    bad = bytearray(good)
    bad[at] ^= 0x40
    with pytest.raises(Damaged):
        Splitter().feed(bytes(bad) + good * 100_000 if at == 0 else bytes(bad))


def test_messages_in_any_pieces() -> None:
    stream = scripted("bedrock", "tools_stream").body
    whole = Splitter().feed(stream)
    for size in (1, 2, 3, 7, 1000):
        splitter = Splitter()
        pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
        assert [message for piece in pieces for message in splitter.feed(piece)] == whole


def test_cohere_s_embeddings(api: Client, provider: Provider) -> None:
    provider.script(Scripted(b'{"embeddings":{"float":[[0.25,-0.5],[1.0,2.0]]},"id":"1"}'))
    body = {"model": "bedrock-up/cohere.embed-v4:0", "input": ["a", "b"], "dimensions": 2}
    reply = api.post("/v1/embeddings", body)
    assert [one["embedding"] for one in reply.json["data"]] == [[0.25, -0.5], [1.0, 2.0]]
    (asked,) = provider.asked
    assert asked.path == "/model/cohere.embed-v4%3A0/invoke"
    assert asked.body == (
        b'{"texts":["a","b"],"input_type":"search_document","embedding_types":["float"],'
        b'"output_dimension":2}'
    )
    provider.script(Scripted(b'{"embeddings":[[0.25,-0.5]]}'))
    path = "/v1beta/models/bedrock-up/cohere.embed-english-v3:embedContent"
    query = {"content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY"}
    assert api.post(path, query).json == {"embedding": {"values": [0.25, -0.5]}}
    assert b'"input_type":"search_query"' in provider.asked[0].body


def test_titan_s_embeddings(api: Client, provider: Provider) -> None:
    provider.script(Scripted(b'{"embedding":[0.25,-0.5],"inputTextTokenCount":3}'))
    model = "bedrock-up/amazon.titan-embed-text-v2:0"
    body = {"model": model, "input": "a", "encoding_format": "base64"}
    reply = api.post("/v1/embeddings", body)
    assert reply.json["data"][0]["embedding"] == "AACAPgAAAL8="
    assert reply.json["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert provider.asked[0].body == b'{"inputText":"a"}'
    refused = api.post("/v1/embeddings", body | {"input": ["a", "b"]})
    assert (refused.status, refused.code) == (400, "MODEL_NOT_SUPPORTED")
    refused = api.post("/v1/embeddings", body | {"model": "bedrock-up/amazon.nova-lite-v1:0"})
    assert (refused.status, refused.code) == (400, "MODEL_NOT_SUPPORTED")
    assert len(provider.asked) == 1
