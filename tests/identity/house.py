"""An installation in a folder: database, keys, and the application over them."""

import time
from pathlib import Path
from typing import Any

from kernel.client import Client, Reply
from modelyard.auth.credentials import presented
from modelyard.auth.keys import Key, KeyRing
from modelyard.identity.keys import routes
from modelyard.identity.keys.bootstrap import bootstrap
from modelyard.identity.keys.ring import live
from modelyard.kernel.events import Event
from modelyard.kernel.http import Application
from modelyard.kernel.principal import Principal
from modelyard.storage import events
from modelyard.storage.database import Database
from modelyard.storage.keys import KeyStore

ADMIN_KEY = "my-admin-key-of-the-tests"


class House:
    """One process of an installation. ``late`` is added to the clock of its key ring."""

    def __init__(self, home: Path, admin_key: str | None = ADMIN_KEY) -> None:
        self.home = home
        self.late = 0.0
        self.database = Database(home / "control.db")
        self.store = KeyStore(self.database)
        self.start = bootstrap(home, self.database, admin_key)
        self.ring: KeyRing
        self.load()
        self.app = Application(
            routes(self.store, self.start.pepper, self.load, home / "admin.key"),
            authenticate=self.authenticate,
            audit=self.audit,
        )

    def load(self) -> None:
        self.ring = KeyRing(self.start.pepper, live(self.store) | self.start.fixed)

    def find(self, secret: str) -> Key:
        return self.ring.find(secret, time.time() + self.late)

    def authenticate(self, headers: list[tuple[bytes, bytes]]) -> Principal:
        return self.find(presented(dict(headers)) or "")

    async def audit(self, event: Event) -> None:
        await events.append(self.database, event)

    def client(self, key: str | None = ADMIN_KEY) -> Client:
        return Client(self.app, key)

    async def new(self, key: str = ADMIN_KEY, **more: Any) -> dict[str, Any]:
        """Create a key; what was answered."""
        reply = await self.client(key).post("/v1/auth/keys", {"name": "n"} | more)
        assert reply.status == 201, reply.body
        return dict(reply.json)

    async def rotate(self, key_id: str, key: str = ADMIN_KEY, **ask: Any) -> Reply:
        return await self.client(key).post(f"/v1/auth/keys/{key_id}/rotate", ask)

    def events(self) -> list[tuple[Any, ...]]:
        return self.database.read(
            "SELECT verb, actor, workspace, resource, request_id, before, after FROM event "
            "ORDER BY at, id"
        )

    def close(self) -> None:
        self.database.close()
