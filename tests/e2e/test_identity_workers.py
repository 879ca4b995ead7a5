"""Who may do what is the same in every worker within a second, on both databases."""

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc import jws

import postgres
from e2e.client import Client, together
from e2e.people import (
    PASSWORD,
    USERS,
    exchange,
    new_user,
    service,
    set_roles,
    sign_in,
    somebody,
    status,
)
from patience import until
from serving import Server

pytestmark = pytest.mark.slow
CALLS = 24  # each is a connection of its own, half of them at once: both workers are asked


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def pair(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Two workers that nobody has signed in at yet."""
    env = {}
    if request.param == "postgresql":
        database: postgres.Server = request.getfixturevalue("postgresql")
        env = {"MODELYARD_DATABASE_URL": database.create()}
    with Server(workers=2, env=env) as server:
        yield Client(server.url, server.key)


def answers(caller: Client) -> set[tuple[int, int]]:
    """What the workers answer on the control plane and on the data plane."""
    at_once = together(CALLS // 2, lambda _: status(caller))
    return {*at_once, *(status(caller) for _ in range(CALLS // 2))}


def agreed(probe: Callable[[], set[Any]], wanted: Any) -> None:
    """Before long all answer so."""
    until(lambda: probe() == {wanted}, told=lambda: f"{probe()} instead of {wanted}")


def test_the_first_token_of_an_installation_is_good_in_every_worker(pair: Client) -> None:
    """Must be the first of this file: no token was given before."""
    made = new_user(pair, "admin")
    caller = sign_in(pair, made["login"])
    agreed(lambda: answers(caller), (200, 200))
    kids = {one["kid"] for _ in range(CALLS) for one in pair.get("/v1/auth/jwks").json["keys"]}
    assert len(kids) == 1


def test_tokens_end_in_every_worker(pair: Client) -> None:
    for end in (
        lambda path: pair.request("PATCH", path, {"disabled": True}),
        lambda path: pair.request("DELETE", path),
        lambda path: pair.request("PATCH", path, {"password": PASSWORD + "!"}),
    ):
        made = new_user(pair, "admin")
        caller = sign_in(pair, made["login"])
        agreed(lambda caller=caller: answers(caller), (200, 200))
        assert end(f"{USERS}/{made['id']}").status in (200, 204)
        agreed(lambda caller=caller: answers(caller), (401, 401))


def test_the_new_token_of_a_changed_password_is_soon_good_everywhere(pair: Client) -> None:
    made = new_user(pair, "admin")
    caller = sign_in(pair, made["login"])
    agreed(lambda: answers(caller), (200, 200))
    ask = {"password": PASSWORD, "new_password": PASSWORD + "!"}

    def changed() -> Any:  # one that was not asked yet may not know who asks
        made = caller.post("/v1/auth/me/set-password", ask)
        assert made.status in (200, 401), made.body
        return made if made.status == 200 else None

    reply = until(changed)
    agreed(lambda: answers(caller), (401, 401))
    agreed(lambda: answers(pair.with_key(reply.json["access_token"])), (200, 200))


def test_keys_and_their_tokens_end_in_every_worker(pair: Client) -> None:
    account, key = service(pair)
    agreed(lambda: answers(pair.with_key(key["key"])), (200, 200))

    def exchanged() -> Any:
        time.sleep(0.5)  # wrong secrets are counted
        return exchange(pair, account, key["key"]).json.get("access_token")

    token = pair.with_key(until(exchanged))
    agreed(lambda: answers(token), (200, 200))
    assert pair.request("DELETE", f"/v1/auth/keys/{key['id']}").status == 204
    agreed(lambda: answers(pair.with_key(key["key"])), (401, 401))
    agreed(lambda: answers(token), (401, 401))


def test_roles_and_policies_hold_in_every_worker(pair: Client) -> None:
    mark = "d" + secrets.token_hex(4)
    made = new_user(pair, "ml_engineer", attributes={"department": mark})
    caller = sign_in(pair, made["login"])

    def chats() -> set[int]:
        return set(together(CALLS, lambda _: caller.chat("sandbox").status))

    def lists() -> set[int]:
        return set(together(CALLS, lambda _: caller.get("/v1/models").status))

    agreed(lists, 200)
    agreed(chats, 403)
    set_roles(pair, made["id"], "admin", attributes={"department": mark})
    agreed(chats, 200)
    text = f'when {{ principal has department && principal.department == "{mark}" }};'
    policy = {"id": mark, "policy": f"forbid (principal, action, resource) {text}"}
    assert pair.post("/v1/auth/policies", policy).status == 201
    agreed(chats, 403)
    agreed(lists, 403)
    assert pair.request("DELETE", f"/v1/auth/policies/{mark}").status == 204
    agreed(chats, 200)
    agreed(lists, 200)


def test_one_login_for_many_at_once(pair: Client) -> None:
    """Users of the same login who are made at the same moment: one is there."""
    login = f"{secrets.token_hex(5)}@example.com"
    body = {"login": login, "password": PASSWORD}
    replies = together(8, lambda _: pair.post(USERS, body).status)
    assert sorted(replies) == [201] + [409] * 7
    sign_in(pair, login)


# -- the keys that sign tokens


def edit(server: Server, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the stored signing keys, as if time had passed. The server must not run."""
    connection = sqlite3.connect(Path(server.home) / "modelyard.db")
    where = "WHERE kind = 'auth/signing-keys'"
    with connection:
        (spec,) = connection.execute(f"SELECT spec FROM resource {where}").fetchone()
        keys = msgspec.json.decode(spec)
        change(keys)
        connection.execute(
            f"UPDATE resource SET spec = ? {where}", (msgspec.json.encode(keys).decode(),)
        )
    connection.close()


def older(*seconds: float) -> Callable[[dict[str, Any]], None]:
    """Each key was made so much earlier."""

    def change(spec: dict[str, Any]) -> None:
        for key, by in zip(spec["keys"], seconds, strict=True):
            key["created_at"] -= int(by)

    return change


def kid(caller: Client) -> str:
    """The key that signed a caller's token."""
    return str(jws.extract_compact(str(caller.key).encode()).headers()["kid"])


def published(api: Client) -> list[str]:
    return [one["kid"] for one in api.with_key(None).get("/v1/auth/jwks").json["keys"]]


def test_signing_keys_are_replaced_and_old_tokens_stay_good(serve: Any) -> None:
    server = serve("", workers=2)
    api = Client(server.url, server.key)
    login = new_user(api, "admin")["login"]
    first = sign_in(api, login)
    assert published(api) == [kid(first)]

    def again(change: Callable[[dict[str, Any]], None]) -> None:
        server.stop()
        edit(server, change)
        server.start()

    again(older(31 * 86400))
    kids = published(api)
    assert len(kids) == 2 and kids[0] == kid(first), "the next one is introduced"
    second = sign_in(api, login)
    assert kid(second) == kid(first), "before it signs"
    again(older(0, 61))
    third = sign_in(api, login)
    assert published(api) == kids == [kid(first), kid(third)]
    for caller in (first, second, third):
        assert answers(caller) == {(200, 200)}

    def retire(spec: dict[str, Any]) -> None:
        assert spec["keys"][0]["retires_at"] - time.time() > 86400, "longer than any token"
        spec["keys"][0]["retires_at"] = int(time.time()) - 1

    again(retire)
    assert published(api) == [kid(third)]
    assert answers(first) == {(401, 401)}
    assert first.get("/v1/auth/me").json["error"]["details"]["reason"] == "unknown_key"
    assert answers(third) == {(200, 200)}


def test_a_signing_key_is_no_use_without_the_pepper(serve: Any) -> None:
    """Who has a copy of the database alone cannot make tokens; nor does it hold a JWK."""
    server = serve("")
    api = Client(server.url, server.key)
    caller = somebody(api, "admin")
    server.stop()
    kept = b"".join(one.read_bytes() for one in server.home.glob("modelyard.db*"))
    assert b'"d":"' not in kept and b'"d": "' not in kept
    (server.home / "pepper").write_bytes(secrets.token_bytes(32))
    server.start()
    assert status(caller) == (401, 401)
