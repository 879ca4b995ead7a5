"""An installation in a folder: database, callers, and the application over them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from kernel.client import Client, Reply
from modelyard.auth.credentials import presented
from modelyard.auth.keys import Key
from modelyard.identity.keys.bootstrap import read_secrets
from modelyard.identity.sessions import routes as sessions
from modelyard.installation import Installation
from modelyard.kernel import compiling
from modelyard.kernel.http import Application
from modelyard.kernel.principal import Principal
from modelyard.resources import RESOURCES
from modelyard.settings import Settings
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store

ADMIN_KEY = "my-admin-key-of-the-tests"


class House:
    """One process of an installation; ``generated`` is the secret of a first key made now."""

    def __init__(
        self, home: Path, admin_key: str | None = ADMIN_KEY, permissions: tuple[str, ...] = ()
    ) -> None:
        self.home = home
        self.database = Database(home / "modelyard.db")
        self.store = Store(self.database)
        settings = Settings(home=home)
        secrets = read_secrets(home, admin_key)
        self.installation = Installation(settings, home, self.store, secrets, permissions)
        self.generated: str | None = None
        self.app = Application(
            [*sessions.routes(), *(each for one in RESOURCES for each in compiling.routes(one))],
            authenticate=self.authenticate,
            ports=self.installation.ports,
            committed=self.installation.committed,
        )

    @classmethod
    async def open(cls, home: Path, admin_key: str | None = ADMIN_KEY) -> House:
        """A process that has started."""
        house = cls(home, admin_key)
        house.generated = await house.installation.open()
        return house

    def later(self, seconds: float) -> None:
        """The clock by which callers are known is ahead."""
        self.installation.directory.late = seconds

    def find(self, secret: str) -> Key:
        return self.installation.directory.find(secret)

    async def authenticate(self, headers: list[tuple[bytes, bytes]]) -> Principal:
        return await self.installation.directory.authenticate(presented(dict(headers)) or "")

    def client(self, key: str | None = ADMIN_KEY) -> Client:
        return Client(self.app, key)

    async def new(self, key: str = ADMIN_KEY, **more: Any) -> dict[str, Any]:
        """Create a key; what was answered."""
        reply = await self.client(key).post("/v1/auth/keys", {"name": "n"} | more)
        assert reply.status == 201, reply.body
        return dict(reply.json)

    async def rotate(self, key_id: str, key: str = ADMIN_KEY, **ask: Any) -> Reply:
        return await self.client(key).post(f"/v1/auth/keys/{key_id}/rotate", ask)

    def events(self, kind: str = "auth/keys") -> list[tuple[Any, ...]]:
        """What was recorded about the resources of a kind."""
        with closing(sqlite3.connect(self.database.path)) as connection:
            return connection.execute(
                "SELECT verb, actor, workspace, resource, request_id, before, after FROM event "
                "WHERE kind = ? ORDER BY at, id",
                (kind,),
            ).fetchall()

    async def close(self) -> None:
        await self.installation.close()


@asynccontextmanager
async def living(home: Path, admin_key: str | None = ADMIN_KEY) -> AsyncIterator[House]:
    """A house that is left in order."""
    house = await House.open(home, admin_key)
    try:
        yield house
    finally:
        await house.close()
