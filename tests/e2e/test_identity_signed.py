"""Signed requests on two workers and on both databases: a nonce is good once in all of them."""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

import postgres
from auth.signer import public, signed
from e2e.client import Client, together
from e2e.people import USERS, exchange, new_user, sign_in
from e2e.test_signed_requests import send
from modelyard.auth.signed import Request
from patience import until
from serving import Server

pytestmark = pytest.mark.slow
KEYS = "/v1/auth/keys"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Server, dict[str, Any]]]:
    """Two workers that demand signatures for keys; and an admin's key that can sign."""
    env = {}
    if request.param == "postgresql":
        database: postgres.Server = request.getfixturevalue("postgresql")
        env = {"MODELYARD_DATABASE_URL": database.create()}
    with Server(workers=2, env=env) as server:
        ask = {"name": "operator", "scopes": ["*:*"], "signing_key": public("p256")}
        made = Client(server.url, server.key).post(KEYS, ask).json
        server.stop()
        config = '[auth]\nsigned_permissions = ["key:*", "user:delete"]\n'
        (server.directory / "modelyard.toml").write_text(config)
        server.start()
        yield server, made


def request(
    server: Server, keyid: str, method: str, path: str, body: Any = None, **more: Any
) -> Request:
    data = b"" if body is None else json.dumps(body).encode()
    options = {"nonce": secrets.token_hex(8), "at": time.time(), "name": "p256"} | more
    host = {"Host": f"127.0.0.1:{server.port}"}
    covered = ("@method", "@target-uri", *(["content-digest"] if data else []))
    return signed(
        method=method,
        url=server.url + path,
        body=data,
        keyid=keyid,
        headers=host,
        covered=covered,
        **options,
    )


def test_a_nonce_is_good_once_in_all_workers(pair: tuple[Server, dict[str, Any]]) -> None:
    server, key = pair
    for _ in range(3):
        one = request(server, key["id"], "POST", KEYS, {"name": "n"})
        replies = together(12, lambda _, one=one: send(server, one, key["key"]))
        assert sorted(reply.status for reply in replies) == [201] + [401] * 11
        reasons = {r.json["error"]["details"]["reason"] for r in replies if r.status == 401}
        assert reasons == {"replayed"}


def test_every_action_of_a_pattern_is_demanded(pair: tuple[Server, dict[str, Any]]) -> None:
    server, key = pair
    path = f"{KEYS}/{key['id']}"
    for method, where, body in (
        ("GET", KEYS, None),
        ("GET", path, None),
        ("POST", f"{path}/rotate", {}),
        ("PATCH", path, {"name": "x"}),
        ("DELETE", path, None),
    ):
        data = b"" if body is None else json.dumps(body).encode()
        reply = send(server, Request(method, server.url + where, [], data), key["key"])
        assert (reply.status, reply.code) == (401, "UNAUTHENTICATED"), (method, where)
        digest = ' "content-digest"' if data else ""
        wanted = f'sig1=("@method" "@target-uri"{digest});created;keyid;nonce;tag="modelyard"'
        assert reply.headers["accept-signature"] == wanted
    listed = send(server, request(server, key["id"], "GET", f"{KEYS}?page_size=5"), key["key"])
    assert listed.status == 200, listed.body
    changed = request(server, key["id"], "PATCH", path, {"name": "renamed"})
    assert send(server, changed, key["key"]).json["name"] == "renamed"


def test_a_signature_is_of_this_address_and_method(pair: tuple[Server, dict[str, Any]]) -> None:
    server, key = pair
    good = request(server, key["id"], "GET", KEYS + "?page_size=5")
    for method, url in (
        ("GET", good.target_uri + "0"),
        ("GET", server.url + KEYS),
        ("DELETE", f"{server.url}{KEYS}/{key['id']}"),
    ):
        reply = send(server, Request(method, url, good.headers, b""), key["key"])
        assert (reply.status, reply.json["error"]["details"]["reason"]) == (401, "signature")
    assert send(server, good, key["key"]).status == 200


def test_a_person_signs_with_the_key_of_the_account(pair: tuple[Server, dict[str, Any]]) -> None:
    server, _ = pair
    api = Client(server.url, server.key)
    boss = new_user(api, "admin", signing_key=public("ed25519"))
    token = str(sign_in(api, boss["login"]).key)
    victim = new_user(api)
    path = f"{USERS}/{victim['id']}"

    def known() -> bool:  # by both workers: each request is a connection of its own
        asked = [request(server, boss["id"], "GET", path, name="ed25519") for _ in range(24)]
        return all(send(server, one, token).status == 200 for one in asked)

    until(known)
    assert send(server, Request("DELETE", server.url + path, []), token).status == 401
    other = request(server, "user_other", "DELETE", path, name="ed25519")
    assert send(server, other, token).status == 403, "no key of this id is registered"
    forged = request(server, boss["id"], "DELETE", path, name="p256")
    reply = send(server, forged, token)
    assert (reply.status, reply.json["error"]["details"]["reason"]) == (401, "signature")
    good = request(server, boss["id"], "DELETE", path, name="ed25519")
    assert send(server, good, token).status == 204


def test_a_token_of_a_key_signs_with_the_accounts_key(pair: tuple[Server, dict[str, Any]]) -> None:
    server, key = pair
    api = Client(server.url, server.key)
    account = new_user(api, "admin", kind="service_account", signing_key=public("p384"))["id"]
    ask = {"name": "of a service", "owner": account, "scopes": ["key:read"]}
    made = send(server, request(server, key["id"], "POST", KEYS, ask), key["key"])
    assert made.status == 201, made.body

    def exchanged() -> Any:
        time.sleep(0.5)  # wrong secrets are counted
        return exchange(api, account, made.json["key"]).json.get("access_token")

    token = until(exchanged)

    def good() -> int:
        return send(server, request(server, account, "GET", KEYS, name="p384"), token).status

    until(lambda: all(good() == 200 for _ in range(24)))
    assert send(server, Request("GET", server.url + KEYS, []), token).status == 401
