"""Records to write, and what the ledger's database holds of them."""

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from modelyard.storage.ledger.record import Attempt, Record

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z
TARGETS = ("openai/gpt-4o", "openai/gpt-4o-mini", "local/llama3:8b", "router/meta/llama")


def record(number: int, **changes: Any) -> Record:
    """One record; its id and time follow from ``number``."""
    values: dict[str, Any] = {
        "id": f"rec_{number:08d}",
        "request_id": f"req_{number}",
        "at": START + number,
        "workspace": "default",
        "key_id": "key_a",
        "surface": "chat",
        "model": "gpt-4o",
        "status": 200,
        "seconds": 0.25,
        "cache": "miss",
        "target": "openai/gpt-4o",
        "provider": "openai",
        "input_tokens": 10,
        "output_tokens": 5,
        "cost": 75_000,
        "timings": {"first_token": 12.5},
        "attempts": [attempt()],
    }
    return Record(**values | changes)


def attempt(target: str = "openai/gpt-4o", outcome: str = "ok", **changes: Any) -> Attempt:
    """One attempt."""
    values: dict[str, Any] = {"status": 200 if outcome == "ok" else None, "duration": 200.0}
    return Attempt(id="att", target=target, started=0.1, outcome=outcome, **values | changes)


def various(count: int, seed: int = 1, days: float = 9.0) -> list[Record]:
    """Records of all kinds: hits, followers, failures, unknown prices, two workspaces."""
    chance = random.Random(seed)
    return [_any(number, chance, days) for number in range(count)]


def _any(number: int, chance: random.Random, days: float) -> Record:
    target = chance.choice(TARGETS)
    kind = chance.choice(("answer", "answer", "answer", "hit", "follower", "failed", "refused"))
    changes: dict[str, Any] = {
        "at": START + chance.random() * days * 86_400,
        "workspace": chance.choice(("default", "default", "team-b")),
        "key_id": chance.choice(("key_a", "key_b", "key_c")),
        "model": chance.choice(("gpt-4o", "small", "local/llama3:8b")),
        "target": target,
        "provider": target.partition("/")[0],
        "seconds": chance.random() * 3,
        "cache": chance.choice(("miss", "off")),
        "stream": chance.random() < 0.5,
        "input_tokens": chance.randrange(2000),
        "output_tokens": chance.randrange(500),
        "cached_tokens": chance.randrange(100),
        "cost": chance.choice((None, 0, chance.randrange(10**9), chance.randrange(10**6))),
        "user_id": chance.choice((None, "ada", "bob")),
        "attempts": [attempt(target, duration=chance.random() * 900)],
    }
    return record(number, **changes | _kind(kind, target, chance))


def _kind(kind: str, target: str, chance: random.Random) -> dict[str, Any]:
    saved = chance.choice((None, chance.randrange(10**8)))
    if kind == "hit":
        return {"cache": "l1", "cost": 0, "saved": saved, "attempts": []}
    if kind == "follower":
        return {"shared": True, "cost": 0, "saved": saved, "attempts": []}
    if kind == "failed":
        failures = [attempt(chance.choice(TARGETS), "http_503", status=503) for _ in range(2)]
        if chance.random() < 0.5:  # answered elsewhere
            return {"attempts": [*failures, attempt(target, duration=50.0)]}
        nobody = {"target": None, "provider": None, "cost": 0, "input_tokens": 0}
        return nobody | {"status": 503, "error": "PROVIDER_UNAVAILABLE", "attempts": failures}
    if kind == "refused":
        nobody = {"target": None, "provider": None, "cost": 0, "cache": "off", "attempts": []}
        return nobody | {"status": 429, "error": "RATE_LIMITED"}
    return {}


def loaded(database: Path | str, columns: str = "record") -> list[Any]:
    """The rows of ``request`` in the order of loading; records are decoded."""
    found = rows(database, f"SELECT {columns} FROM request ORDER BY number")
    if columns == "record":
        return [msgspec.json.decode(row[0], type=Record) for row in found]
    return found


def rows(database: Path | str, sql: str, *values: Any) -> list[Any]:
    """Rows of a query."""
    if isinstance(database, str):
        return asyncio.run(_remote_rows(database, sql))
    with closing(sqlite3.connect(database)) as db:
        return db.execute(sql, values).fetchall()


async def _remote_rows(url: str, sql: str) -> list[Any]:
    connection = await asyncpg.connect(url, server_settings={"search_path": "ledger"})
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()
