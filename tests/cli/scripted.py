"""A server that answers what a test wrote down, and keeps what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from modelyard.cli.main import main

KEY = "my-key-of-the-test"


class Asked(NamedTuple):
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Scripted:
    """Answers by "METHOD /path": a JSON value, (status, JSON value), or bytes of a stream."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[Asked] = []
        self.url = ""

    @property
    def last(self) -> Asked:
        return self.asked[-1]


def requests(scripted: Scripted) -> type[BaseHTTPRequestHandler]:
    class Requests(BaseHTTPRequestHandler):
        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            scripted.asked.append(Asked(self.command, self.path, headers, body))
            answer = scripted.answers[f"{self.command} {self.path}"]
            status, answer = answer if isinstance(answer, tuple) else (200, answer)
            payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("X-Request-ID", "req-of-the-header")
            if not isinstance(answer, bytes):
                self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_DELETE = respond  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    return Requests


@contextmanager
def serving(answers: dict[str, Any]) -> Iterator[Scripted]:
    scripted = Scripted(answers)
    server = ThreadingHTTPServer(("127.0.0.1", 0), requests(scripted))
    scripted.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def command(scripted: Scripted, *words: str) -> int:
    """Run a client command against the scripted server with its key."""
    return main([*words, "--url", scripted.url, "--key", KEY])
