"""An installation with the audit trail and provenance, over either database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kernel.client import Client
from modelyard.auth.credentials import presented
from modelyard.governance.audit import routes as audit
from modelyard.governance.facets import facets
from modelyard.governance.provenance import routes as provenance
from modelyard.identity.keys.bootstrap import read_secrets
from modelyard.identity.sessions import routes as sessions
from modelyard.installation import Installation
from modelyard.kernel import compiling
from modelyard.kernel.http import Application
from modelyard.kernel.principal import Principal
from modelyard.resources import RESOURCES
from modelyard.settings import Settings
from modelyard.storage.store import Store

ADMIN_KEY = "my-admin-key-of-the-tests"


class Office:
    """One process of an installation."""

    def __init__(self, home: Path, store: Store) -> None:
        self.store = store
        secrets = read_secrets(home, ADMIN_KEY)
        self.installation = Installation(Settings(home=home), home, store, secrets)
        resources = [each for one in RESOURCES for each in compiling.routes(one, facets(one.camel))]
        self.app = Application(
            [*sessions.routes(), *resources, *audit.routes(), *provenance.routes()],
            authenticate=self.authenticate,
            ports=self.installation.ports,
            committed=self.installation.committed,
        )

    async def authenticate(self, headers: list[tuple[bytes, bytes]]) -> Principal:
        return self.installation.directory.find(presented(dict(headers)) or "")

    async def ask(
        self, method: str, path: str, body: Any = None, key: str = ADMIN_KEY, status: int = 200
    ) -> Any:
        """The JSON of an answer with that status; what was done before is sealed."""
        await self.store.seal()
        reply = await Client(self.app, key).request(method, f"/v1/{path}", body)
        assert reply.status == status, (path, reply.status, reply.body)
        return reply.json if reply.headers.get("content-type") == "application/json" else reply.body

    async def get(self, path: str, **more: Any) -> Any:
        return await self.ask("GET", path, **more)

    async def key(self, *scopes: str, **more: Any) -> dict[str, Any]:
        """A new key."""
        body = {"name": "a key", "scopes": list(scopes)} | more
        made: dict[str, Any] = await self.ask("POST", "auth/keys", body, status=201)
        return made

    async def user(self, login: str, key: str = ADMIN_KEY, **more: Any) -> dict[str, Any]:
        """A new user."""
        body = {"login": login} | more
        made: dict[str, Any] = await self.ask("POST", "auth/users", body, key, status=201)
        return made
