"""The gateway's routes over a real ledger and a real memory cache."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kernel.client import Client
from modelyard.auth.policy import PolicySet
from modelyard.gateway.live import CacheState, SemanticState, TargetState, Workers
from modelyard.gateway.routes import routes
from modelyard.inference.cache.memory import MemoryCache
from modelyard.inference.call import Price
from modelyard.inference.warmer.keeping import Figures
from modelyard.kernel.context import Ports
from modelyard.kernel.events import Event
from modelyard.kernel.http import Application
from modelyard.kernel.ports import Commit
from modelyard.kernel.principal import Principal
from modelyard.protocol.errors import Failure
from modelyard.storage.ledger.file import LedgerFile, encode
from modelyard.storage.ledger.keeper import Keeper, open_ledger
from modelyard.storage.ledger.record import Record
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store
from patience import LONG, until

PRINCIPALS = {
    "admin": Principal(id="admin", workspace="default", scopes=("*:*",)),
    "other": Principal(id="other", workspace="team-b", scopes=("*:*",)),
    "monitor": Principal(id="monitor", workspace="default", scopes=("monitoring:read",)),
    "auditor": Principal(id="auditor", workspace="default", scopes=("request:read",)),
    "caller": Principal(id="caller", workspace="default", scopes=("inference:write",)),
}


class Here:
    """The live state of a process that tests can change."""

    def __init__(self) -> None:
        self.memory: MemoryCache[str] | None = MemoryCache(100, 1_000_000, 60.0)
        self.lower: dict[str, CacheState] = {}
        self.running = 3
        self.warmed: Figures | None = None
        self.found = [
            TargetState(
                provider="openai",
                model="gpt-4o",
                price=Price(2500.0, 10_000.0, cached_input=1250.0),
                latency=0.75,
                max_output_tokens=16_384,
            ),
            TargetState(provider="local", model="llama3:8b"),
        ]

    def pending_requests(self) -> int | None:
        return None

    def processing_requests(self) -> int:
        return self.running

    def workers(self) -> Workers:
        return Workers(total=2, active=1)

    def cache_levels(self) -> list[str]:
        return [*(["l1"] if self.memory is not None else []), *self.lower]

    async def cache(self, workspace: str) -> dict[str, CacheState]:
        if self.memory is None:
            return dict(self.lower)
        entries, size = self.memory.count(workspace)
        first = CacheState(
            entries=entries,
            bytes=size,
            utilization=self.memory.entries / self.memory.max_entries,
            hits=self.memory.hits,
            misses=self.memory.misses,
        )
        return {"l1": first, **self.lower}

    async def clear_cache(self, level: str, workspace: str) -> int | None:
        if level != "l1":
            return self.lower[level].entries
        return self.memory.clear(workspace) if self.memory is not None else 0

    async def semantic(self, workspace: str) -> SemanticState | None:
        return None

    async def warming(self) -> Figures | None:
        return self.warmed

    def targets(self) -> list[TargetState]:
        return self.found


class Served:
    """An application with the gateway's routes alone."""

    def __init__(self, file: LedgerFile, keeper: Keeper, store: Store) -> None:
        self.file, self.keeper = file, keeper
        self.live = Here()
        self.events: list[Event] = []
        self.app = Application(
            routes(keeper, self.live),
            authenticate=self._authenticate,
            ports=Ports(store, PolicySet(), {}, {}),
            committed=self._committed,
        )

    def write(self, *records: Record) -> None:
        """Append records, as a request does before its answer ends, and have them loaded.

        Who asks for them waits a second for that; a busy machine may take longer.
        """
        for one in records:
            self.file.append(encode(one))
        assert self.keeper.catch_up(LONG)

    def client(self, name: str | None = "admin") -> Client:
        """A client with one of the keys."""
        return Client(self.app, name)

    async def get(self, path: str, name: str = "admin") -> Any:
        """The answer's JSON, which must be a success."""
        reply = await self.client(name).get(f"/v1/ai-inference/{path}")
        assert reply.status == 200, reply.body
        return reply.json

    async def _authenticate(self, headers: list[tuple[bytes, bytes]]) -> Principal:
        name = dict(headers).get(b"x-api-key", b"").decode()
        if name not in PRINCIPALS:
            raise Failure("UNAUTHENTICATED", "No such key.")
        return PRINCIPALS[name]

    async def _committed(self, commit: Commit) -> None:
        self.events += commit.events


@contextmanager
def serving(home: Path) -> Iterator[Served]:
    """A gateway whose ledger is in ``home``. Its day does not end during a test."""
    until(lambda: time.time() % 86_400 < 86_390)
    file, keeper = open_ledger(home / "ledger", home / "ledger.db")
    database = Database(home / "control.db")
    keeper.start()
    try:
        yield Served(file, keeper, Store(database))
    finally:
        assert keeper.stop(20.0)
        database.close()
