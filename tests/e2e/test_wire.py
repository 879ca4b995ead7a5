"""The same content in other bytes: the forms that servers and clients on the wire may use."""

import json
import socket
from urllib.parse import urlsplit

import pytest

from e2e.client import Client, chat_body
from e2e.outcome import chat
from upstream.plan import Plan
from upstream.server import Upstream

WRITTEN = {
    "CRLF": Plan(newline=b"\r\n"),
    "CR": Plan(newline=b"\r"),
    "CRLF, one byte a write": Plan(newline=b"\r\n", split=1),
    "CR, one byte a write": Plan(newline=b"\r", split=1),
    "one byte a write": Plan(split=1),
    "seven bytes a write, compressed": Plan(split=7, gzip=True),
    "no blank after the colon": Plan(space=False),
    "byte order mark": Plan(prefix=b"\xef\xbb\xbf"),
    "byte order mark, one byte a write": Plan(prefix=b"\xef\xbb\xbf", split=1),
    "comments first": Plan(prefix=b": OPENROUTER PROCESSING\n\n: PROCESSING\n\n"),
    "a comment in each event": Plan(dress=b": still here\n"),
    "named events with ids": Plan(dress=b"event: message\nid: 7\nretry: 1000\n"),
    "an interim answer": Plan(before=b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
}


@pytest.mark.parametrize("plan", WRITTEN.values(), ids=WRITTEN)
def test_a_stream_in_any_way_of_writing(
    api: Client, upstream: Upstream, model: str, plan: Plan
) -> None:
    upstream.on(model, plan)
    outcome = chat(api, model)
    assert outcome.whole(3), outcome
    assert json.loads(outcome.events[-2])["choices"], "the usage chunk was taken out"
    assert len(upstream.calls(model)) == 1


def test_text_in_any_script(api: Client, upstream: Upstream, model: str) -> None:
    text = "naïve ☕ 日本語 \U0001f600 \u2028 \x00 end"
    upstream.on(model, Plan(text=text, split=1))
    outcome = chat(api, model, text)
    assert outcome.done and outcome.text == text
    assert upstream.calls(model)[0].json["messages"][0]["content"] == text


def test_an_interim_answer_before_a_plain_one(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(before=b"HTTP/1.1 100 Continue\r\n\r\n"))
    assert api.chat(model).status == 200
    assert len(upstream.calls(model)) == 1


# -- the client's side


def bare(api: Client) -> socket.socket:
    parts = urlsplit(api.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def request(api: Client, model: str, text: str, *fields: str) -> bytes:
    body = json.dumps(chat_body(model, text)).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "host: x",
        f"authorization: Bearer {api.key}",
        "content-type: application/json",
        *(fields or (f"content-length: {len(body)}",)),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def read_until(sock: socket.socket, mark: bytes, times: int = 1) -> bytes:
    data = b""
    while data.count(mark) < times:
        piece = sock.recv(65536)
        assert piece, f"closed after {data[-300:]!r}"
        data += piece
    return data


def test_many_requests_on_one_connection(api: Client, model: str) -> None:
    with bare(api) as sock:
        for number in range(30):
            sock.sendall(request(api, model, str(number)))
            told = read_until(sock, b'"total_tokens"')
            assert told.startswith(b"HTTP/1.1 200")


def test_requests_sent_ahead_are_answered_in_order(
    api: Client, upstream: Upstream, model: str
) -> None:
    slow = f"main/slow-{model}"
    upstream.on(slow.removeprefix("main/"), Plan(headers_after=0.3, id="slow"))
    upstream.on(model, Plan(id="quick"))
    with bare(api) as sock:
        sock.sendall(request(api, slow, "a") + request(api, model, "b"))
        told = read_until(sock, b'"total_tokens"', 2)
    assert told.index(b'"slow"') < told.index(b'"quick"')


def test_a_chunked_request_body(api: Client, upstream: Upstream, model: str) -> None:
    body = json.dumps(chat_body(model)).encode()
    head = request(api, model, "", "transfer-encoding: chunked").partition(b"\r\n\r\n")[0]
    with bare(api) as sock:
        sock.sendall(head + b"\r\n\r\n")
        for start in range(0, len(body), 10):
            piece = body[start : start + 10]
            sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        sock.sendall(b"0\r\n\r\n")
        assert read_until(sock, b'"total_tokens"').startswith(b"HTTP/1.1 200")
    assert len(upstream.calls(model)) == 1


def test_expect_100_continue(api: Client, model: str) -> None:
    body = json.dumps(chat_body(model)).encode()
    fields = (f"content-length: {len(body)}", "expect: 100-continue")
    head = request(api, model, "", *fields).partition(b"\r\n\r\n")[0]
    with bare(api) as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        sock.sendall(body)
        assert read_until(sock, b'"total_tokens"').startswith(b"HTTP/1.1 200")


def test_a_client_of_http_1_0(api: Client, model: str) -> None:
    with bare(api) as sock:
        sock.sendall(request(api, model, "x").replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        told = b""
        while piece := sock.recv(65536):
            told += piece
    assert b" 200 " in told.partition(b"\r\n")[0] and b'"total_tokens"' in told
    assert b"transfer-encoding" not in told.lower()


@pytest.mark.parametrize(
    "fields",
    [
        ("content-length: 5", "transfer-encoding: chunked"),
        ("content-length: 5", "content-length: 6"),
        ("content-length: -1",),
        ("content-length: 5x",),
        ("transfer-encoding: chunked, identity",),
        ("transfer-encoding : chunked",),
    ],
    ids=str,
)
def test_a_doubtful_length_is_refused(
    api: Client, upstream: Upstream, model: str, fields: tuple[str, ...]
) -> None:
    """What two servers may read differently is how requests are smuggled (RFC 9112, 11.2)."""
    with bare(api) as sock:
        sock.sendall(request(api, model, "x", *fields))
        told = sock.recv(65536)
    assert told[:10] in (b"HTTP/1.1 4", b"HTTP/1.1 5", b""), told[:200]
    assert upstream.calls(model) == []


def test_the_other_base_path(api: Client, upstream: Upstream, model: str) -> None:
    reply = api.post("/api/v1/chat/completions", chat_body(model))
    assert reply.status == 200
    assert api.get("/api/v1/models").status == 200
    assert len(upstream.calls(model)) == 1


@pytest.mark.parametrize(
    "given", ["00-" + "a" * 32 + "-" + "b" * 16 + "-01", "garbage", "00-0-0-0"]
)
def test_traceparent(api: Client, upstream: Upstream, model: str, given: str) -> None:
    reply = api.chat(model, headers={"traceparent": given})
    out, up = reply.headers["traceparent"], upstream.calls(model)[0].headers["traceparent"]
    assert out.split("-")[1] == up.split("-")[1]
    assert (out.split("-")[1] == "a" * 32) == given.startswith("00-aaa")
    assert len(out) == 55 and out.split("-")[1] != "0" * 32


def test_api_version(api: Client, model: str) -> None:
    reply = api.chat(model, headers={"API-Version": "2026-01-15"})
    assert reply.headers["api-version"] == "2026-01-15"
    bad = api.chat(model, headers={"API-Version": "latest"})
    assert (bad.status, bad.code) == (400, "INVALID_REQUEST")
    assert "API-Version" in bad.message


@pytest.mark.parametrize("stream", [False, True])
def test_the_provider_gets_the_correlation_id(
    api: Client, upstream: Upstream, model: str, stream: bool
) -> None:
    reply = api.chat(model, headers={"X-Correlation-ID": f"c-{model}"}, stream=stream)
    assert reply.status == 200 and reply.headers["x-correlation-id"] == f"c-{model}"
    assert upstream.calls(model)[0].headers["x-correlation-id"] == f"c-{model}"
