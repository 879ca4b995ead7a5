"""Bad input to every POST route: a 4xx that names the field and the way out, never a 500."""

import contextlib
import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from e2e.client import Client, Reply, chat_body
from patience import LONG, until
from upstream.server import Upstream

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
NATIVE = "/v1/ai-inference/inference"
KEYS = "/v1/auth/keys"
VENDOR = [CHAT, COMPLETIONS, EMBEDDINGS]
INFERENCE = [*VENDOR, NATIVE]
POSTS = [*INFERENCE, KEYS]


def good(path: str, model: str) -> dict[str, Any]:
    """A body that the route accepts."""
    bodies: dict[str, dict[str, Any]] = {
        CHAT: {"model": model, "messages": [{"role": "user", "content": "a"}]},
        COMPLETIONS: {"model": model, "prompt": "a"},
        EMBEDDINGS: {"model": model, "input": "a"},
        NATIVE: {"model_name": model, "prompt": "a"},
        KEYS: {"name": "a key"},
    }
    return bodies[path]


def is_refusal(reply: Reply, *statuses: int) -> None:
    """A clean refusal: one of the statuses, an envelope with a symbol and a message."""
    assert reply.status in (statuses or (400,)), (reply.status, reply.body[:500])
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers["x-request-id"]
    error = reply.json["error"]
    assert error["code"].isupper() and len(error["message"]) > 10
    text = reply.body.decode()
    assert "Traceback" not in text and 'File "' not in text and "modelyard." not in text


NOT_JSON = {
    "empty": b"",
    "text": b"hello",
    "cut": b'{"model": "m", "messages": [',
    "invalid UTF-8": b'{"model": "\xff\xfe"}',
    "lone surrogate": b'{"model": "\\ud800", "prompt": "\\ud800", "name": "\\ud800"}',
    "NaN": b'{"temperature": NaN}',
    "Infinity": b'{"temperature": Infinity}',
    "huge number": b'{"temperature": 1e999}',
    "20,000 brackets": b"[" * 20_000,
    "20,000 nested": b'{"model":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "20,000 objects": b'{"messages":' * 20_000 + b"1" + b"}" * 20_000,
    "a list": b"[]",
    "a string": b'"text"',
    "null": b"null",
    "a number": b"3",
    "two values": b"{} {}",
    "zero bytes": bytes(100),
}


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_a_body_that_is_no_request(api: Client, path: str, body: bytes) -> None:
    is_refusal(api.post(path, body))


@pytest.mark.parametrize("path", INFERENCE)
def test_deep_nesting_where_anything_may_stand(
    api: Client, upstream: Upstream, model: str, path: str
) -> None:
    """20,000 brackets inside a field that is passed through or kept."""
    field = b'"metadata": {"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}"
    body = json.dumps(good(path, model)).encode()[:-1] + b", " + field
    is_refusal(api.post(path, body))
    assert upstream.calls(model) == []


@pytest.mark.parametrize("path", VENDOR)
@pytest.mark.parametrize("levels", [100, 250, 800, 900, 920, 940, 960, 980])
def test_nesting_that_a_json_parser_still_takes(api: Client, path: str, levels: int) -> None:
    """What can be read can also be counted, hashed and answered, or is refused."""
    model = "sandbox-embedding" if path == EMBEDDINGS else "sandbox"
    field = b'"tools": [{"type": "function", "function": {"name": "f", "parameters": {"const": '
    field += b"[" * levels + b"]" * levels + b'}}}], "tool_choice": "required"'
    reply = api.post(path, json.dumps(good(path, model)).encode()[:-1] + b", " + field + b"}")
    if levels < 150:
        assert reply.status == 200, reply.body
    else:
        is_refusal(reply)
        assert "nested" in reply.message


BAD_PARTS: list[Any] = [
    "text",
    {"type": "input_audio", "input_audio": "x"},
    {"type": "file", "file": "x"},
    {"type": "text", "text": 5},
    {"type": ["x"], "text": {}},
    {"type": "image_url", "image_url": 5},
    {"text": "no type"},
]
CHAT_FIELDS: list[tuple[str, str, Any]] = [
    (CHAT, "model", 3),
    (CHAT, "model", ["a"]),
    (CHAT, "messages", None),
    (CHAT, "messages", "text"),
    (CHAT, "messages", []),
    (CHAT, "messages", [3]),
    (CHAT, "stream", "yes"),
    (CHAT, "max_tokens", -1),
    (CHAT, "max_tokens", 1.5),
    (CHAT, "max_completion_tokens", -1),
    (CHAT, "temperature", "hot"),
    (CHAT, "temperature", -1),
    (CHAT, "temperature", 100),
    (CHAT, "n", 0),
    (CHAT, "n", -1),
    (CHAT, "n", 1_000_000),
    (CHAT, "stream_options", "x"),
    *((CHAT, "messages", [{"role": "user", "content": [part]}]) for part in BAD_PARTS),
    (CHAT, "messages", [{"role": "assistant", "tool_calls": [{"function": "x"}]}]),
    (CHAT, "tools", [{"type": "function", "function": "x"}]),
    (CHAT, "tool_choice", {"type": "function", "function": "x"}),
    (COMPLETIONS, "max_tokens", -1),
    (COMPLETIONS, "stream", 5),
    (EMBEDDINGS, "input", None),
    (EMBEDDINGS, "input", {}),
    (EMBEDDINGS, "input", []),
    (EMBEDDINGS, "stream", True),
    (EMBEDDINGS, "stream", "yes"),
    (EMBEDDINGS, "dimensions", -1),
    (EMBEDDINGS, "encoding_format", "hex"),
    (KEYS, "name", None),
    (KEYS, "name", 3),
    (KEYS, "name", ""),
    (KEYS, "name", "x" * 100_000),
    (KEYS, "workspace", 3),
    (KEYS, "scopes", "all"),
    (KEYS, "scopes", ["no such scope"]),
    (KEYS, "limits", 5),
    (KEYS, "limits", {"requests_per_minute": -1}),
    (KEYS, "limits", {"requests_per_minute": "many"}),
    (KEYS, "limits", {"no_such_limit": 1}),
    (KEYS, "expires_at", "tomorrow"),
    (KEYS, "expires_at", "2001-01-01T00:00:00Z"),
    (KEYS, "cache_samples", "yes"),
    (KEYS, "no_such_field", 1),
]


@pytest.mark.parametrize(("path", "field", "value"), CHAT_FIELDS, ids=str)
def test_a_bad_field_is_named(
    api: Client, upstream: Upstream, model: str, path: str, field: str, value: Any
) -> None:
    body = good(path, model) | {field: value}
    reply = api.post(path, body)
    is_refusal(reply)
    error = reply.json["error"]
    assert error["code"] == "INVALID_REQUEST"
    named = error["param"] if path in VENDOR else error["details"]["field"]
    assert named.partition(".")[0].partition("[")[0] == field
    assert field in error["message"]
    assert upstream.calls(model) == []


@pytest.mark.parametrize("path", POSTS)
def test_a_required_field_is_named(api: Client, path: str) -> None:
    required = {
        CHAT: "messages", COMPLETIONS: "prompt", EMBEDDINGS: "input", NATIVE: "prompt",
        KEYS: "name",
    }[path]  # fmt: skip
    body = good(path, "p0")
    del body[required]
    if path == COMPLETIONS:
        pytest.skip("prompt has a default in OpenAI's API")
    reply = api.post(path, body)
    is_refusal(reply)
    assert required in reply.message


@pytest.mark.parametrize("path", POSTS)
def test_credentials(api: Client, path: str) -> None:
    body = good(path, "p0")
    for key in (None, "", "my-unknown", "x" * 5000, "my-\u00e9".encode().decode("latin-1")):
        reply = api.with_key(key).post(path, body)
        is_refusal(reply, 401)
        assert reply.code == "UNAUTHENTICATED"
        assert "www-authenticate" in reply.headers
        assert key is None or len(key) < 5 or key not in reply.body.decode()


@pytest.mark.parametrize("path", POSTS)
def test_other_forms_of_a_key(api: Client, path: str) -> None:
    nobody = api.with_key(None)
    body = good(path, "p0") | ({"model_name": "sandbox"} if path == NATIVE else {})
    accepted = nobody.post(path, body, {"X-API-Key": str(api.key)})
    assert accepted.status in (200, 201), accepted.body
    is_refusal(nobody.post(path, body, {"Authorization": "Basic YTpi"}), 401)
    is_refusal(nobody.post(path, body, {"Authorization": f"Bearer\t {api.key}x"}), 401)


def test_an_expired_key(api: Client) -> None:
    def made() -> Client | None:  # where we stand still it is over before it is asked for
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
        reply = api.post("/v1/auth/keys", {"name": "brief", "expires_at": at})
        return api.with_key(reply.json["key"]) if reply.status == 201 else None

    brief = until(made)
    until(lambda: brief.post(POSTS[0], good(POSTS[0], "p0")).status == 401)
    for path in POSTS:
        reply = brief.post(path, good(path, "p0"))
        is_refusal(reply, 401)
        assert "expired" in reply.message


@pytest.mark.parametrize("path", INFERENCE)
def test_unknown_model(api: Client, path: str) -> None:
    reply = api.post(path, good(path, "no-such-model"))
    is_refusal(reply, 404)
    assert reply.code == "MODEL_NOT_FOUND"
    assert "no-such-model" in reply.message
    is_refusal(api.post(path, good(path, "no-such-provider/x")), 404)
    is_refusal(api.post(path, good(path, "x" * 100_000)), 400, 404)
    assert "x-evil" not in api.post(path, good(path, "main/\r\nX-Evil: 1")).headers


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", ""])
def test_another_content_type(api: Client, path: str, kind: str) -> None:
    reply = api.post(path, json.dumps(good(path, "p0")).encode(), {"content-type": kind})
    is_refusal(reply, 415)
    assert reply.code == "UNSUPPORTED_MEDIA_TYPE"
    assert "application/json" in reply.body.decode()


@pytest.mark.parametrize("path", POSTS)
def test_60_megabytes(api: Client, path: str) -> None:
    """Refused by its length, before it is read."""
    started = time.monotonic()
    with raw(api) as sock:
        sock.sendall(head(api, path, "content-length: 62914560") + b'{"prompt": "')
        reply = answer(sock)
    is_refusal(reply, 413)
    assert reply.code == "PAYLOAD_TOO_LARGE"
    assert time.monotonic() - started < 50
    assert "limit" in reply.body.decode()


def test_60_megabytes_without_a_length(api: Client) -> None:
    block = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with raw(api) as sock:
        sock.sendall(head(api, CHAT, "transfer-encoding: chunked"))
        try:
            for _ in range(960):
                sock.sendall(block)
        except OSError:
            pass  # it may hang up as soon as it has refused
        else:
            sock.sendall(b"0\r\n\r\n")
        try:
            is_refusal(answer(sock), 413)
        except (ConnectionError, AssertionError) as error:
            pytest.fail(f"the refusal was not readable: {error}")


def test_a_key_s_own_payload_limit(api: Client, upstream: Upstream, model: str) -> None:
    small = api.new_key(limits={"payload_bytes": 1000})
    assert small.chat(model, "a").status == 200
    reply = small.chat(model, "a" * 1000)
    is_refusal(reply, 413)
    assert "1000" in reply.body.decode()
    assert len(upstream.calls(model)) == 1


def test_a_limit_holds_before_the_body_is_there(api: Client) -> None:
    """An unknown key is refused without waiting for 40 MB of body."""
    stranger = api.with_key("my-unknown")
    with raw(api) as sock:
        sock.sendall(head(stranger, CHAT, "content-length: 41943040"))
        is_refusal(answer(sock), 401)


def test_huge_headers(api: Client) -> None:
    with raw(api) as sock:
        fields = "\r\n".join(f"x-filler-{n}: {'f' * 1000}" for n in range(200))
        with contextlib.suppress(OSError):  # it may hang up in the middle
            sock.sendall(head(api, CHAT, "content-length: 2\r\n" + fields) + b"{}")
        status = sock.recv(65536)[:12]
    assert status[:10] == b"HTTP/1.1 4" or status == b""
    assert api.get("/health/live").status == 200


@pytest.mark.parametrize(
    "line",
    [b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00\x01\x02\x03\r\n\r\n", b"POST \r\n\r\n"],
)
def test_what_is_not_http(api: Client, line: bytes) -> None:
    with raw(api) as sock:
        sock.sendall(line)
        told = sock.recv(65536)
    assert told[:10] in (b"HTTP/1.1 4", b"HTTP/1.1 5", b"") and b"Traceback" not in told
    assert api.get("/health/live").status == 200


def test_half_a_body_and_then_nothing(api: Client, upstream: Upstream, model: str) -> None:
    """The server does not wait for ever, and serves others meanwhile."""
    with raw(api) as sock:
        sock.sendall(head(api, CHAT, "content-length: 1000") + b'{"model": "')
        assert api.chat(model).status == 200
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(LONG)
        told = sock.recv(65536)
    assert told[:10] in (b"HTTP/1.1 4", b"")
    assert len(upstream.calls(model)) == 1


@pytest.mark.parametrize("path", POSTS)
def test_another_method(api: Client, path: str) -> None:
    reply = api.request("PATCH", path, {})
    is_refusal(reply, 405)
    assert "POST" in reply.headers["allow"]


def test_another_path(api: Client) -> None:
    reply = api.post("/v1/chat/completion", chat_body("p0"))
    is_refusal(reply, 404)
    assert reply.code == "ROUTE_NOT_FOUND"
    assert CHAT in reply.body.decode(), "the nearest path is suggested"


@pytest.mark.parametrize("value", ["a\tb", "x" * 5000, "\u00fc", "a b;c\"d'", ""])
def test_odd_request_ids(api: Client, model: str, value: str) -> None:
    reply = api.chat(model, headers={"X-Request-ID": value.encode().decode("latin-1")})
    assert reply.status in (200, 400)
    assert 0 < len(reply.headers["x-request-id"]) <= 256


def test_no_bad_input_was_an_error_of_ours(server: Any) -> None:
    """Runs after the others of this file: nothing of the above reached the log as a fault."""
    assert "Traceback" not in server.log()


def raw(api: Client) -> socket.socket:
    """A connection without any client on it."""
    parts = urlsplit(api.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=LONG)


def head(api: Client, path: str, more: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {api.key}\r\n"
        f"content-type: application/json\r\n{more}\r\n\r\n"
    ).encode()


def answer(sock: socket.socket) -> Reply:
    """The answer on a bare connection, one with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    line, *fields = top.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (field.partition(":") for field in fields)}
    while len(body) < int(headers["content-length"]):
        body += sock.recv(65536)
    return Reply(int(line.split()[1]), headers, body)
