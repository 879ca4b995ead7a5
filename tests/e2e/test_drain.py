"""What SIGTERM waits for: answers on their way to slow clients, requests half received."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.client import chat_body
from e2e.conftest import models, providers
from patience import LONG
from serving import Server
from upstream.plan import Plan
from upstream.server import Upstream

SIZE = 20_000_000  # bytes of the answer's text


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream of the test's own."""
    with Upstream() as own:
        yield own


@pytest.fixture
def server(serve: Any, upstream: Upstream) -> Server:
    """A server of the test's own: it is ended."""
    started: Server = serve(providers(upstream, upstream) + models(1))
    return started


def request(server: Server) -> tuple[bytes, bytes]:
    """Head and body of a chat; the connection is closed after it."""
    body = json.dumps(chat_body("p0")).encode()
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        "host: x",
        f"authorization: Bearer {server.key}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode(), body


def large() -> bytes:
    message = {"role": "assistant", "content": "x" * SIZE}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    used = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    body = json.dumps({"model": "p0", "choices": [choice], "usage": used}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


def read_to_the_end(sock: socket.socket, pause: float = 0.0) -> bytes:
    data = bytearray()
    while piece := sock.recv(1 << 20):
        data += piece
        time.sleep(pause)
    return bytes(data)


def test_an_answer_that_is_read_slowly_arrives_whole(server: Server, upstream: Upstream) -> None:
    upstream.on("p0", Plan(raw=large()))
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.settimeout(LONG)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(b"".join(request(server)))
        told = sock.recv(1000)
        assert told.startswith(b"HTTP/1.1 200")
        server.terminate()
        time.sleep(0.5)  # nothing is read meanwhile
        told += read_to_the_end(sock, 0.001)
    head, _, body = told.partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % len(body) in head + b"\r\n"
    assert len(json.loads(body)["choices"][0]["message"]["content"]) == SIZE
    assert server.process is not None and server.process.wait(LONG) == 0


def test_a_request_that_is_half_sent_is_answered(server: Server, upstream: Upstream) -> None:
    head, body = request(server)
    with socket.create_connection(("127.0.0.1", server.port), timeout=LONG) as sock:
        asking = head.replace(b"\r\n", b"\r\nexpect: 100-continue\r\n", 1)
        sock.sendall(asking + body[:20])
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"  # so it has been read
        server.terminate()
        time.sleep(0.5)
        assert server.process is not None and server.process.poll() is None, "it waits"
        sock.sendall(body[20:])
        told = read_to_the_end(sock)
    assert told.startswith(b"HTTP/1.1 200") and b"w0 w1 w2 " in told
    assert len(upstream.calls("p0")) == 1
    assert server.process.wait(LONG) == 0
