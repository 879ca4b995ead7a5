"""What calls of other dialects cost, what is on record, what is shared and cached."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dialects.providers import scripted
from dialects.upstream import Provider
from e2e.client import Client
from serving import Server

PRICE = "price = { input = 10, output = 20, cached_input = 1, cache_write = 12.5 }\n"
COST = (2 * 10 + 4 * 1 + 3 * 12.5 + 2 * 20) / 1e6  # of 2 plain, 4 read, 3 written and 2 answered


@pytest.fixture(scope="module")
def priced(provider: Provider) -> Iterator[Client]:
    dialects = (("anthropic", "/v1"), ("bedrock", ""))
    config = "".join(
        f'[providers.{name}-up]\ndialect = "{name}"\nbase_url = "{provider.url}{base}"\n'
        f'api_key = "k"\nretries = 0\n'
        for name, base in dialects
    )
    config += "".join(
        f'[[models]]\nname = "{name}"\ntargets = ["{name}-up/x"]\n{PRICE}' for name, _ in dialects
    )
    with Server(config) as server:
        yield Client(server.url, server.key)


def asked(model: str, text: str = "Hello", **more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": text}]
    return {"model": model, "max_tokens": 20, "messages": messages} | more


@pytest.mark.parametrize("dialect", ["anthropic", "bedrock"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_cached_and_written_tokens_have_their_prices(
    priced: Client, provider: Provider, dialect: str, path: str
) -> None:
    provider.script(scripted(dialect, "cached"))
    name = f"cost-{dialect}-{path[4:8]}"
    reply = priced.post(path, asked(dialect), {"X-Request-ID": name})
    assert float(reply.headers["x-modelyard-cost"]) == pytest.approx(COST)
    record = priced.trace(name)
    assert (record["input_tokens"], record["output_tokens"]) == (9, 2)
    assert (record["cached_tokens"], record["cache_write_tokens"]) == (4, 3)
    assert record["usage_estimated"] is False


def test_a_stream_is_on_record(priced: Client, provider: Provider) -> None:
    provider.script(scripted("anthropic", "tools_stream"))
    reply = priced.stream(
        "/v1/messages", asked("anthropic", stream=True), {"X-Request-ID": "streamed"}
    ).read()
    assert reply.body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    record = priced.trace("streamed")
    assert (record["input_tokens"], record["output_tokens"]) == (9, 2)
    assert record["finish_reason"] == "tool_calls" and record["target"] == "anthropic-up/x"


def test_counting_costs_nothing(priced: Client, provider: Provider) -> None:
    provider.script(scripted("anthropic", "count"))
    body = {"model": "anthropic", "messages": [{"role": "user", "content": "Hello"}]}
    reply = priced.post("/v1/messages/count_tokens", body, {"X-Request-ID": "counted"})
    assert reply.json == {"input_tokens": 14}
    record = priced.trace("counted")
    assert (record["actual_cost"], record["input_tokens"]) == (0, 0)


@pytest.mark.parametrize("case", ["plain", "stream"])
@pytest.mark.parametrize("dialect", ["anthropic", "openai", "gemini"])
def test_the_cache_gives_the_same_bytes(
    api: Client, provider: Provider, dialect: str, case: str
) -> None:
    """Untouched and translated answers alike, and of each dialect's clients their own."""
    provider.script(scripted(dialect, case))
    body = asked(f"to-{dialect}", f"cached {dialect} {case}", temperature=0)
    body["stream"] = case == "stream"
    first = api.post("/v1/messages", body)
    second = api.post("/v1/messages", body)
    assert first.headers["x-modelyard-cache"] == "miss"
    assert second.headers["x-modelyard-cache"] == "l1"
    assert first.status == 200 and first.body == second.body
    assert len(provider.asked) == 1
    other = api.post("/v1/chat/completions", body)
    assert other.headers["x-modelyard-cache"] == "miss"
    assert b"choices" in other.body and b"event:" not in other.body


def test_followers_of_a_stream_get_the_same_bytes(api: Client, provider: Provider) -> None:
    provider.script(replace(scripted("anthropic", "stream"), pause=0.5))
    body = asked("to-anthropic", "followed", temperature=0, stream=True)
    bodies: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: bodies.append(api.stream("/v1/messages", body).read().body))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(provider.asked) == 1
    assert len(bodies) == 4 and len(set(bodies)) == 1
    assert bodies[0] == scripted("anthropic", "stream").body


def test_a_client_s_headers_of_the_dialect_are_passed_on(api: Client, provider: Provider) -> None:
    provider.script(scripted("anthropic", "plain"))
    fields = {"anthropic-version": "2099-01-01", "anthropic-beta": "a-1,b-2", "x-api-secret": "s"}
    assert api.post("/v1/messages", asked("to-anthropic"), fields).status == 200
    (one,) = provider.asked
    assert one.fields["anthropic-version"] == "2099-01-01"
    assert one.fields["anthropic-beta"] == "a-1,b-2"
    assert "x-api-secret" not in one.fields and "authorization" not in one.fields
    assert one.fields["x-api-key"] == "up-secret"


def test_bytes_that_are_passed_on_are_the_client_s_own(api: Client, provider: Provider) -> None:
    """White space, order and what nobody knows yet."""
    provider.script(scripted("anthropic", "plain"))
    raw = (
        b'{ "future": {"a": [1.50, null]},"model":"anthropic-up/claude-x", "max_tokens": 5,\n'
        b' "messages": [{"content":"\\u00e4","role":"user"}] }'
    )
    reply = api.post("/v1/messages", raw, {"content-type": "application/json"})
    assert reply.body == scripted("anthropic", "plain").body
    sent = provider.asked[0].body
    assert sent.decode() == (
        '{"future":{"a":[1.5,null]},"model":"claude-x","max_tokens":5,'
        '"messages":[{"content":"ä","role":"user"}]}'
    )
    gemini = b'{ "contents": [{"parts":[{"text":"\\u00e4"}]}], "future": 1.50 }'
    provider.script(scripted("gemini", "plain"))
    path = "/v1beta/models/to-gemini:generateContent"
    api.post(path, gemini, {"content-type": "application/json"})
    assert provider.asked[0].body == gemini
