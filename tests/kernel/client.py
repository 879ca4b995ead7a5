"""Requests straight into an ASGI application: every message is seen, nothing is in between."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.principal import Principal
from modelyard.protocol.errors import Failure

KEYS = {
    "root": Principal(id="root", workspace="default", scopes=("*:*",)),
    "reader": Principal(id="reader", workspace="default", scopes=("note:read",)),
    "nobody": Principal(id="nobody", workspace="default", scopes=()),
}


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]

    @property
    def code(self) -> str:
        return self.error["code"]


async def by_name(headers: list[tuple[bytes, bytes]]) -> Principal:
    """Authenticate by the name in ``X-API-Key``."""
    name = dict(headers).get(b"x-api-key", b"").decode()
    if name not in KEYS:
        raise Failure("UNAUTHENTICATED", "unknown")
    return KEYS[name]


class Client:
    """One application, one key."""

    def __init__(self, app: Any, key: str | None = None) -> None:
        self.app = app
        self.key = key

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        receive: Callable[[], Any] | None = None,
    ) -> Reply:
        """``body`` is sent as it is when bytes, else as JSON."""
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        fields = {"content-type": "application/json"} if body is not None else {}
        fields |= {"x-api-key": self.key} if self.key else {}
        fields |= {name.lower(): value for name, value in (headers or {}).items()}
        raw_path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": raw_path,
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode("latin-1")) for k, v in fields.items() if v],
        }
        sent: list[dict[str, Any]] = []

        async def all_at_once() -> dict[str, Any]:
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive or all_at_once, send)
        if not sent:
            raise ConnectionError("no answer was sent")
        start, *rest = sent
        names = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        return Reply(start["status"], names, b"".join(part["body"] for part in rest))

    async def get(self, path: str, **more: Any) -> Reply:
        return await self.request("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> Reply:
        return await self.request("POST", path, body, **more)

    async def delete(self, path: str, **more: Any) -> Reply:
        return await self.request("DELETE", path, **more)


async def never() -> Any:
    """A receive that waits for ever: a client that sends nothing."""
    await asyncio.Event().wait()
