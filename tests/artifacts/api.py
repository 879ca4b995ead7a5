"""Requests with bodies of bytes, as a client sends them."""

import base64
import hashlib
import http.client
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from patience import LONG

PART = 8 * 1024 * 1024


@dataclass
class Reply:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


class Api:
    """One server, one key."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key

    def send(
        self, method: str, path: str, body: Any = None, *, query: Any = None, **headers: str
    ) -> Reply:
        """A request; ``body`` is bytes, chunks of them, or what becomes JSON."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        fields["Authorization"] = f"Bearer {self.key}"
        if isinstance(body, dict):
            body, fields["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            connection.request(
                method, path + (f"?{urlencode(query)}" if query else ""), body, fields
            )
            answer = connection.getresponse()
            pairs = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, pairs, answer.read())
        finally:
            connection.close()

    def put(self, body: bytes | Iterable[bytes], **query: str) -> Any:
        """Upload in one request."""
        reply = self.send("POST", "/v1/artifacts", body, query=query)
        assert reply.status == 201, reply
        return reply.json

    def get(self, digest: str, **headers: str) -> Reply:
        return self.send("GET", f"/v1/artifacts/{digest}/content", **headers)

    def start(self, **declared: Any) -> str:
        reply = self.send("POST", "/v1/artifacts/uploads", declared)
        assert reply.status == 201, reply
        return str(reply.json["id"])

    def part(self, upload: str, number: int, body: bytes, **headers: str) -> Reply:
        path = f"/v1/artifacts/uploads/{upload}/parts"
        return self.send("PUT", path, body, query={"number": number}, **headers)

    def progress(self, upload: str) -> Any:
        return self.send("GET", f"/v1/artifacts/uploads/{upload}").json

    def complete(self, upload: str, **more: str) -> Reply:
        return self.send("POST", f"/v1/artifacts/uploads/{upload}/complete", dict(more))

    def usage(self) -> Any:
        return self.send("GET", "/v1/artifacts/usage").json

    def other(self, workspace: str) -> "Api":
        """The same server, with a key of another workspace."""
        made = self.send(
            "POST",
            "/v1/auth/keys",
            {"name": "other", "workspace": workspace, "scopes": ["artifact:*"]},
        )
        assert made.status == 201, made
        return Api(self.url, made.json["key"])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content_digest(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def noise(size: int, seed: str) -> bytes:
    """So many bytes that look like chance, the same each time."""
    return hashlib.shake_128(seed.encode()).digest(size)


def until(true: Callable[[], object], seconds: float = LONG) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.02)
