"""The keys of a home that the first version made keep working, and the revoked stay revoked."""

import hashlib
import hmac
import json
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.client import Client
from e2e.people import status
from patience import until
from serving import Server

# What the first version made of an empty home: its schema.sql, word for word.
FIRST = """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE api_key (
    id TEXT NOT NULL PRIMARY KEY,
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    hint TEXT NOT NULL,
    digest BLOB NOT NULL,
    previous_digest BLOB,
    previous_expires_at DOUBLE,
    scopes TEXT NOT NULL,
    limits TEXT NOT NULL,
    cache_samples BOOLEAN NOT NULL,
    created_at DOUBLE NOT NULL,
    created_by TEXT NOT NULL,
    expires_at DOUBLE,
    rotated_at DOUBLE,
    revoked_at DOUBLE
);
CREATE UNIQUE INDEX api_key_digest ON api_key (digest);
CREATE INDEX api_key_page ON api_key (workspace, created_at, id);
CREATE TABLE event (
    id TEXT NOT NULL PRIMARY KEY,
    at DOUBLE NOT NULL,
    workspace TEXT NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    resource TEXT NOT NULL,
    request_id TEXT NOT NULL,
    before TEXT,
    after TEXT
);
CREATE INDEX event_page ON event (workspace, at, id);
CREATE INDEX event_resource ON event (workspace, resource, at);
INSERT INTO alembic_version (version_num) VALUES ('0001');
"""
PEPPER = bytes(range(32))


def key(own_id: str, secret: str, **more: Any) -> tuple[Any, ...]:
    """A row as the first version wrote it."""
    now = time.time()
    given = {"workspace": "default", "scopes": ["inference:*"], "limit": 1000} | more
    previous = given.get("previous")
    limits = {
        "requests_per_second": None,
        "requests_per_minute": given["limit"],
        "tokens_per_minute": 100_000,
        "concurrent_requests": 50,
        "requests_per_day": None,
        "payload_bytes": None,
    }
    return (
        own_id,
        given["workspace"],
        "a key of before",
        secret[-4:],
        digest(secret),
        digest(previous) if previous else None,
        now + given["overlap"] if previous else None,
        json.dumps(given["scopes"], separators=(",", ":")),
        json.dumps(limits, separators=(",", ":")),
        False,
        now - 1000,
        "admin",
        now + given["expires"] if "expires" in given else None,
        now - 10 if previous else None,
        now - 5 if given.get("revoked") else None,
    )


def digest(secret: str) -> bytes:
    return hmac.digest(PEPPER, secret.encode(), hashlib.sha256)


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[Server, Client]]:
    """A server that was started on such a home."""
    server = Server()
    (server.home / "pepper").write_bytes(PEPPER)
    (server.home / "pepper").chmod(0o600)
    connection = sqlite3.connect(server.home / "modelyard.db")
    connection.executescript(FIRST)
    rows = [
        key("key_live", "my-live", limit=7),
        key("key_other", "my-other", workspace="team-b", scopes=["*:*"]),
        key("key_revoked", "my-revoked", revoked=True),
        key("key_rotated", "my-new", previous="my-old", overlap=3600),
        key("key_ended", "my-newer", previous="my-older", overlap=-1),
        key("key_expired", "my-expired", expires=-1),
        key("key_expiring", "my-expiring", expires=3600),
    ]
    with connection:
        connection.executemany(f"INSERT INTO api_key VALUES ({', '.join('?' * 15)})", rows)
        event = ("e1", time.time(), "default", "admin", "key.create", "auth/keys/key_live", "r1")
        connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, NULL, '{}')", event)
    connection.close()
    with server:
        yield server, Client(server.url, server.key)


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("my-live", 200),
        ("my-other", 200),
        ("my-revoked", 401),
        ("my-new", 200),
        ("my-old", 200),
        ("my-newer", 200),
        ("my-older", 401),
        ("my-expired", 401),
        ("my-expiring", 200),
    ],
)
def test_a_secret_is_worth_what_it_was(
    house: tuple[Server, Client], secret: str, expected: int
) -> None:
    caller = house[1].with_key(secret)
    assert status(caller) == (expected, expected)


def test_limits_scopes_and_workspaces_are_kept(house: tuple[Server, Client]) -> None:
    _, api = house
    assert api.with_key("my-live").chat("sandbox").headers["x-ratelimit-limit"] == "7"
    assert api.with_key("my-live").get("/v1/auth/keys").status == 403
    told = api.with_key("my-other").get("/v1/auth/me").json
    assert (told["workspace"], told["scopes"]) == ("team-b", ["*:*"])
    assert api.get("/v1/auth/workspaces/team-b").status == 200
    ids = [one["id"] for one in api.get("/v1/auth/keys").json["keys"]]
    assert {"key_live", "key_rotated", "key_expired"} <= set(ids)
    assert "key_revoked" not in ids and "key_other" not in ids
    shown = api.get("/v1/auth/keys?show_deleted=true").json["keys"]
    assert next(one for one in shown if one["id"] == "key_revoked")["deleted_at"] is not None


def test_they_are_rotated_revoked_and_given_policies_as_any(house: tuple[Server, Client]) -> None:
    server, api = house
    rotated = api.post("/v1/auth/keys/key_expiring/rotate", {"overlap_seconds": 0})
    assert rotated.status == 200, rotated.body
    until(lambda: status(api.with_key("my-expiring")) == (401, 401))
    assert status(api.with_key(rotated.json["key"])) == (200, 200)
    assert api.request("DELETE", "/v1/auth/keys/key_rotated").status == 204
    until(lambda: {status(api.with_key(one)) for one in ("my-new", "my-old")} == {(401, 401)})
    server.stop()
    server.start()
    assert status(api.with_key("my-live")) == (200, 200)
    assert status(api.with_key("my-revoked")) == (401, 401)
