"""A plain HTTP client for the tests: it shows every byte and hides nothing."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from patience import LONG


@dataclass
class Reply:
    """A complete answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        """The ``data`` of every server-sent event."""
        return [event.data for event in parse_events(self.body.split(b"\n"))]

    @property
    def code(self) -> str:
        """The symbol of the error, "" where there is none."""
        error = self.json.get("error") if self.body[:1] == b"{" else None
        return str(error.get("code")) if error else ""

    @property
    def message(self) -> str:
        """The message of the error."""
        return str(self.json["error"]["message"])


@dataclass
class Event:
    """One server-sent event."""

    data: str
    name: str = ""
    id: str = ""


def parse_events(lines: Any) -> Iterator[Event]:
    """Events out of lines, comments left out (WHATWG grammar, LF and CRLF)."""
    data: list[str] = []
    event = Event("")
    for raw in lines:
        line = raw.decode().rstrip("\r\n")
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "event":
                event.name = value
            elif name == "id":
                event.id = value
        elif data:
            event.data = "\n".join(data)
            yield event
            data, event = [], Event("")


class Stream:
    """An answer that is read as it comes."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._response = connection.getresponse()
        self.status = self._response.status
        self.headers = {name.lower(): value for name, value in self._response.getheaders()}

    def lines(self) -> Iterator[bytes]:
        """The lines of the body. Raises http.client.IncompleteRead when it is cut."""
        while line := self._response.readline():
            yield line

    def events(self) -> Iterator[Event]:
        """The events of the body."""
        return parse_events(self.lines())

    def read(self) -> Reply:
        """The rest of the body."""
        return Reply(self.status, self.headers, self._response.read())

    def close(self) -> None:
        """Hang up."""
        hang_up(self._connection)
        self._response.close()


def hang_up(connection: http.client.HTTPConnection) -> None:
    """Close the connection at once, whatever still holds its socket."""
    sock = connection.sock
    if sock is not None:
        sock.shutdown(socket.SHUT_RDWR)
    connection.close()


class Client:
    """Requests with one key against one server."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url
        self.key = key
        self._host = urlsplit(url).netloc

    def with_key(self, key: str | None) -> "Client":
        """The same server with another key."""
        return Client(self.url, key)

    def open(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: float = 60.0,
    ) -> http.client.HTTPConnection:
        """Send a request and return the connection, the answer not yet read."""
        connection = http.client.HTTPConnection(self._host, timeout=timeout)
        fields = {"content-type": "application/json"} if body is not None else {}
        if self.key is not None:
            fields["authorization"] = f"Bearer {self.key}"
        fields |= headers or {}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, fields)
        return connection

    def stream(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Stream:
        """POST and return once the headers are in."""
        return Stream(self.open("POST", path, body, headers))

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: float = 60.0,
    ) -> Reply:
        """Send a request and read the whole answer."""
        connection = self.open(method, path, body, headers, timeout=timeout)
        try:
            return Stream(connection).read()
        finally:
            connection.close()

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
        """POST, JSON unless ``body`` is bytes."""
        return self.request("POST", path, body, headers)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Reply:
        """GET."""
        return self.request("GET", path, None, headers)

    # -- the calls the tests are about

    def chat(
        self, model: str, text: str = "hello", headers: dict[str, str] | None = None, **more: Any
    ) -> Reply:
        """POST /v1/chat/completions with one user message, temperature 0 unless given."""
        return self.post("/v1/chat/completions", chat_body(model, text, **more), headers)

    def chat_stream(
        self, model: str, text: str = "hello", headers: dict[str, str] | None = None, **more: Any
    ) -> Stream:
        """The same, streamed."""
        body = chat_body(model, text, stream=True, **more)
        return self.stream("/v1/chat/completions", body, headers)

    def infer(
        self, prompt: str = "hello", headers: dict[str, str] | None = None, **more: Any
    ) -> Reply:
        """POST /v1/ai-inference/inference."""
        return self.post("/v1/ai-inference/inference", {"prompt": prompt} | more, headers)

    def new_key(self, name: str = "test", **more: Any) -> "Client":
        """Create a key with this one and return a client that uses it."""
        reply = self.post("/v1/auth/keys", {"name": name} | more)
        assert reply.status == 201, reply.body
        return self.with_key(reply.json["key"])

    def log(self, **query: Any) -> list[dict[str, Any]]:
        """The request log, newest first, all pages."""
        entries: list[dict[str, Any]] = []
        token = ""
        while True:
            page = "&".join(f"{k}={v}" for k, v in (query | {"page_token": token}).items() if v)
            reply = self.get(f"/v1/ai-inference/requests?page_size=100&{page}")
            assert reply.status == 200, reply.body
            entries += reply.json["requests"]
            token = reply.json.get("next_page_token") or ""
            if not token:
                return entries

    def wait_running(self, count: int, seconds: float = LONG) -> None:
        """Wait until the server (one worker) is answering exactly so many requests."""
        deadline = time.monotonic() + seconds
        while (now := self._running()) != count:
            assert time.monotonic() < deadline, f"{now:g} of {count} requests are running"
            time.sleep(0.005)

    def _running(self) -> float:
        return metric(self.get("/metrics").body.decode(), "modelyard_running_requests")

    def trace(self, request_id: str, seconds: float = LONG) -> dict[str, Any]:
        """One request's record; waits for it, as records are loaded in the background."""
        deadline = time.monotonic() + seconds
        while True:
            reply = self.get(f"/v1/ai-inference/requests/{request_id}")
            if reply.status == 200:
                return dict(reply.json)
            assert reply.status == 404 and reply.code == "NOT_FOUND", reply.body
            assert time.monotonic() < deadline, f"no record of {request_id}"
            time.sleep(0.02)


def metric(text: str, name: str) -> float:
    """One figure without labels out of ``/metrics``."""
    return next(float(line.split()[1]) for line in text.split("\n") if line.startswith(name + " "))


def chat_body(model: str, text: str = "hello", **more: Any) -> dict[str, Any]:
    """A chat request with one user message."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
    } | more


def text_of(events: list[str]) -> str:
    """The text of a streamed chat, ``[DONE]`` and errors left out."""
    chunks = [json.loads(data) for data in events if data != "[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk.get("choices", [])]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run ``work(0)`` … ``work(count - 1)`` on as many threads, started at the same moment."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait(LONG)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
