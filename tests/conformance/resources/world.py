"""An installation with every declared resource, and desks to work at: one workspace each."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib import parse

import pytest
from msgspec import inspect, structs

from conformance.resources.samples import LEFT_OUT, sample
from conformance.resources.values import value
from conformance.resources.widgets import FAMILY
from kernel.client import Client, Reply
from modelyard.auth.credentials import presented
from modelyard.identity.keys.bootstrap import read_secrets
from modelyard.identity.sessions import routes as sessions
from modelyard.installation import Installation
from modelyard.kernel import compiling
from modelyard.kernel.fields import About
from modelyard.kernel.http import Application
from modelyard.kernel.ports import EventQuery, Sealed
from modelyard.kernel.principal import Principal
from modelyard.kernel.resource import Resource
from modelyard.kernel.route import Route
from modelyard.resources import RESOURCES
from modelyard.settings import Settings
from modelyard.storage.driver import Driver
from modelyard.storage.postgres import Postgres
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store
from patience import LONG

ADMIN = "my-admin-key-of-the-conformance-suite"
EVERY: tuple[Resource[Any], ...] = (*RESOURCES, *FAMILY)
BY_KIND = {one.kind: one for one in EVERY}
_numbers = itertools.count(1)


def over(
    wanted: Callable[[Resource[Any]], object] = lambda _: True,
) -> pytest.MarkDecorator:
    """Run a test over every resource that is declared so, of those that are made and listed."""
    whole = [one for one in EVERY if all(verb(name)(one) for name in ("create", "get", "list"))]
    whole = [one for one in whole if _made_at_once(one)]
    chosen = [one for one in whole if wanted(one)]
    return pytest.mark.parametrize("one", chosen, ids=[one.kind for one in chosen])


def _made_at_once(one: Resource[Any]) -> bool:
    """Whether a document is sent and answered: not bytes, nor by an operation."""
    own = [each for each in one.custom if each.verb == "create"]
    return not any(each.request is None or each.status != 201 for each in own)


def verb(name: str) -> Callable[[Resource[Any]], bool]:
    """Whether a resource has a standard method."""
    return lambda one: name in one.standard or any(each.verb == name for each in one.custom)


class World:
    """One process that serves the declared resources."""

    def __init__(self, home: Path, store: Store) -> None:
        self.home, self.store = home, store
        self.installation = Installation(
            Settings(home=home), home, store, read_secrets(home, ADMIN)
        )
        ports = structs.replace(self.installation.ports, resources=BY_KIND)
        self.ports = ports
        self.routes: dict[tuple[str, str], Route] = {}
        for one in EVERY:
            self.routes |= {(each.method, each.path): each for each in compiling.routes(one)}
        self.app = Application(
            [*sessions.routes(), *self.routes.values()],
            authenticate=self._authenticate,
            ports=ports,
            committed=self.installation.committed,
        )

    async def open(self) -> None:
        """Start."""
        await self.installation.open()
        await self.store.declare(one.indexed for one in EVERY)

    @asynccontextmanager
    async def another(self, place: Path | str) -> AsyncIterator[Store]:
        """The store as another process has it."""
        driver: Driver = Postgres(place, 1) if isinstance(place, str) else Database(place)
        store = Store(driver)
        await store.open()
        store.know(one.indexed for one in EVERY)
        try:
            yield store
        finally:
            await store.close()

    async def _authenticate(self, headers: list[tuple[bytes, bytes]]) -> Principal:
        return self.installation.directory.find(presented(dict(headers)))

    async def key(self, workspace: str, *scopes: str) -> Client:
        """A client with a new key of a workspace, which is made where it is new."""
        ask = {"name": "n", "workspace": workspace, "scopes": list(scopes) or ["*:*"]}
        ask["limits"] = dict.fromkeys(
            ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
        )
        reply = await Client(self.app, ADMIN).post("/v1/auth/keys", ask)
        assert reply.status == 201, reply.body
        return Client(self.app, reply.json["key"])

    async def desk(self, one: Resource[Any], *scopes: str, workspace: str = "") -> Desk:
        """A place to work with a resource, in a workspace of its own unless one is named."""
        mark = f"w{next(_numbers)}"
        workspace = workspace or mark
        client = await self.key(workspace, *scopes)
        desk = Desk(self, one, client, workspace, mark)
        await desk.settle()
        return desk

    async def events(self, **query: Any) -> list[Sealed]:
        """The sealed trail, the oldest first."""
        await self.store.seal()
        asked = EventQuery(**({"workspace": None, "ascending": True, "size": 1000} | query))
        return await self.store.events(asked)


class Desk:
    """A client that may do everything with one resource, and how to make valid ones."""

    def __init__(
        self, world: World, one: Resource[Any], client: Client, workspace: str, mark: str
    ) -> None:
        self.world, self.one, self.client = world, one, client
        self.workspace, self.mark = workspace, mark
        self.base = ""
        self.create = world.routes["POST", "/v1" + one.path]
        self.settable: dict[str, About] = {
            each.wire: each
            for each in one.about
            if each.behavior not in ("hidden", "output_only")
            and each.name in self.create.request.__struct_fields__
            and sample(one.kind, 0).get(each.wire) is not LEFT_OUT
        }

    @property
    def mutable(self) -> list[About]:
        """The fields that may be changed and are shown."""
        return [each for each in self.settable.values() if each.behavior == ""]

    async def settle(self) -> None:
        """Make what the collection's path needs above it."""
        parts = self.one.path.split("/")
        for at, part in enumerate(parts):
            if part.startswith("{"):
                kind = "/".join(each for each in parts[1:at] if not each.startswith("{"))
                above = Desk(self.world, BY_KIND[kind], self.client, self.workspace, self.mark)
                above.base = "/v1" + "/".join(parts[:at])
                parts[at] = (await above.make())["id"]
        self.base = "/v1" + "/".join(parts)

    def beside(self, client: Client) -> Desk:
        """The same collection for another client."""
        desk = Desk(self.world, self.one, client, self.workspace, self.mark)
        desk.base = self.base
        return desk

    def at(self, item: dict[str, Any] | str, tail: str = "") -> str:
        """The path of an item, or of something below it."""
        return f"{self.base}/{item if isinstance(item, str) else item['id']}{tail}"

    async def value(self, field: About, number: int) -> Any:
        """A valid value of a field."""
        if field.refers:
            target = BY_KIND[field.refers]
            desk = Desk(self.world, target, self.client, self.workspace, f"{self.mark}t")
            await desk.settle()
            found = [(await desk.make())["id"] for _ in range(2 if field.many else 1)]
            return found if field.many else found[0]
        chosen = sample(self.one.kind, number)
        if field.wire in chosen:
            return chosen[field.wire]
        return value(inspect.type_info(field.type), number)

    async def another(self, field: About, than: Any, number: int = 2000) -> Any:
        """A valid value that is not ``than``."""
        tried = [await self.value(field, number + more) for more in range(3)]
        return next(found for found in tried if found != than)

    async def body(self, *, full: bool = True, **more: Any) -> dict[str, Any]:
        """A valid document: with every field, or with those alone that it needs."""
        number, made = next(_numbers), dict[str, Any]()
        for wire, field in self.settable.items():
            if full or len(field.given) == 2:
                made[wire] = await self.value(field, number)
        for path in self.one.indexed.unique:
            if path[0] in made:
                made[path[0]] = f"{self.mark}-{number}"
        if self.one.own_ids:
            made["id"] = f"{self.mark}-{number}"
        return made | {"labels": {"batch": self.mark, "n": str(number)}} | more

    async def make(self, *, full: bool = False, **more: Any) -> dict[str, Any]:
        """Make one."""
        reply = await self.client.post(self.base, await self.body(full=full, **more))
        assert reply.status == 201, reply.body
        return self.own(reply.json)

    async def read(self, item: dict[str, Any] | str) -> dict[str, Any]:
        """Read one again."""
        reply = await self.client.get(self.at(item))
        assert reply.status == 200, reply.body
        return self.own(reply.json)

    def own(self, shown: dict[str, Any]) -> dict[str, Any]:
        """Without what a method of the resource's own making adds to its view."""
        known = {field.encode_name for field in structs.fields(self.one.types.view)}
        assert known <= set(shown)
        return {name: shown[name] for name in shown if name in known}

    def told(self, view: dict[str, Any]) -> dict[str, Any]:
        """What the audit trail, and who follows it, has of a view."""
        return {name: view[name] for name in view if name not in self.one.untold}

    async def list(self, query: str = "", path: str = "") -> Reply:
        """One page of what this desk made; ``query`` may hold its own filter in ``{}``."""
        mine = f'labels.batch = "{self.mark}"'
        if "filter=" not in query:
            query += "&filter=" + quote(mine)
        return await self.client.get(f"{self.base}{path}?{query.lstrip('&')}")

    def items(self, reply: Reply) -> list[dict[str, Any]]:
        """Those of a page."""
        assert reply.status == 200, reply.body
        name = next(key for key in reply.json if key.lower() not in ("next_page_token", TOKEN))
        return list(reply.json[name])

    def token(self, reply: Reply) -> str | None:
        """Where the list goes on."""
        found = reply.json.get("next_page_token", reply.json.get("nextPageToken"))
        return None if found is None else str(found)


TOKEN = "nextpagetoken"


def quote(text: str) -> str:
    """For a query string."""
    return parse.quote(text, safe="")


@asynccontextmanager
async def following(client: Client, path: str, **headers: str) -> AsyncIterator[asyncio.Queue[Any]]:
    """Follow a stream: its events as dicts with ``id``, ``event`` and the decoded ``data``."""
    events: asyncio.Queue[Any] = asyncio.Queue()
    gone, started = asyncio.Event(), asyncio.Event()
    raw_path, _, query = path.partition("?")
    fields = {"x-api-key": client.key or "", **{k.replace("_", "-"): v for k, v in headers.items()}}
    scope = {
        "type": "http",
        "method": "GET",
        "path": raw_path,
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), text.encode()) for name, text in fields.items()],
    }

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200, message
            return
        for block in message["body"].decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "data" in lines:
                events.put_nowait(lines | {"data": json.loads(lines["data"])})
        started.set()

    running = asyncio.create_task(client.app(scope, receive, send))
    try:
        await asyncio.wait_for(started.wait(), LONG)
        yield events
    finally:
        gone.set()
        await asyncio.wait_for(running, 60)
