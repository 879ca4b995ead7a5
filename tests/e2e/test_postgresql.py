"""The server on PostgreSQL: one setting, the same behaviour."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

import postgres
from patience import until
from serving import Server


def call(server: Server, method: str, path: str, body: Any = None, key: str = "") -> Any:
    request = urllib.request.Request(
        server.url + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {key or server.key}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or "null")


def status(server: Server, method: str, path: str, key: str) -> int:
    try:
        call(server, method, path, key=key)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def agreed(server: Server, key: str, expected: int) -> None:
    """Wait until each of 20 new connections is answered so."""
    until(lambda: {status(server, "GET", "/v1/auth/keys", key) for _ in range(20)} == {expected})


def test_keys_live_in_the_database_and_are_obeyed_by_all_workers(
    postgresql: postgres.Server,
) -> None:
    url = postgresql.create()
    with Server(workers=2, env={"MODELYARD_DATABASE_URL": url}) as server:
        made = call(server, "POST", "/v1/auth/keys", {"name": "ünï", "scopes": ["*:*"]})
        secret, name = made["key"], made["id"]
        agreed(server, secret, 200)
        server.stop()
        server.start()
        assert call(server, "GET", f"/v1/auth/keys/{name}")["name"] == "ünï"
        agreed(server, secret, 200)
        call(server, "DELETE", f"/v1/auth/keys/{name}")
        agreed(server, secret, 401)
        assert not (server.home / "modelyard.db").exists()


def test_models_are_called_while_the_database_is_away() -> None:
    database = postgres.Server(("max_connections=40",))
    body = {"model": "sandbox", "messages": [{"role": "user", "content": "hi"}]}
    try:
        with Server(env={"MODELYARD_DATABASE_URL": database.create()}) as server:
            secret = call(server, "POST", "/v1/auth/keys", {"name": "a", "scopes": ["*:*"]})["key"]
            call(server, "POST", "/v1/chat/completions", body, secret)
            database.stop()
            assert call(server, "POST", "/v1/chat/completions", body, secret)["choices"]
            assert status(server, "GET", "/v1/auth/keys", secret) == 503
            assert not server.ready()
            assert status(server, "GET", "/health/live", secret) == 200
            database.start()
            until(server.ready)
            assert call(server, "POST", "/v1/auth/keys", {"name": "b", "scopes": ["*:*"]})["key"]
            log = call(server, "GET", "/v1/ai-inference/requests")["requests"]
            assert len(log) == 2
    finally:
        database.close()


@pytest.mark.parametrize(
    "url, told",
    [
        ("postgresql://x@127.0.0.1:1/x", "cannot be reached"),
        ("postgresql://postgres@/nowhere?host={}", '"nowhere" does not exist'),
    ],
)
def test_a_database_that_cannot_be_opened_is_told(
    postgresql: postgres.Server, url: str, told: str
) -> None:
    server = Server(env={"MODELYARD_DATABASE_URL": url.format(postgresql.folder)})
    with pytest.raises(AssertionError, match=f"cannot start.*{told}"), server:
        pass
