"""Signed requests on a real server: the published library signs, the server demands it."""

import http.client
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

from auth.signer import public, signed
from e2e.client import Reply
from modelyard.auth.signed import Request
from serving import Server

PATH = "/v1/auth/workspaces"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server('[auth]\nsigned_permissions = ["workspace:write"]\n') as server:
        yield server


def send(server: Server, request: Request, key: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    fields = {name.decode(): value.decode() for name, value in request.headers}
    fields |= {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    path = request.target_uri.removeprefix(server.url)
    try:
        connection.request(request.method, path, request.body, fields)
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, names, answer.read())
    finally:
        connection.close()


def new(server: Server, **more: Any) -> dict[str, Any]:
    """An admin's key; its id is the key id of signatures."""
    body = json.dumps({"name": "n", "scopes": ["*:*"]} | more).encode()
    reply = send(server, Request("POST", server.url + "/v1/auth/keys", [], body), server.key)
    assert reply.status == 201, reply.body
    return dict(reply.json)


def workspace(server: Server, keyid: str, name: str = "p256", **more: Any) -> Request:
    body = json.dumps({"id": "w" + secrets.token_hex(4)}).encode()
    options = {"nonce": secrets.token_hex(8), "at": time.time()} | more
    host = {"Host": f"127.0.0.1:{server.port}"}
    return signed(name, url=server.url + PATH, body=body, keyid=keyid, headers=host, **options)


def test_an_unsigned_request_is_told_how_to_sign(server: Server) -> None:
    reply = send(server, Request("POST", server.url + PATH, [], b'{"id": "w"}'), server.key)
    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")
    wanted = 'sig1=("@method" "@target-uri" "content-digest");created;keyid;nonce;tag="modelyard"'
    assert reply.headers["accept-signature"] == wanted
    details = reply.json["error"]["details"]
    assert details["missing"] == ["signature"]
    assert details["target_uri"] == server.url + PATH


def test_what_needs_no_signature_goes_on_without(server: Server) -> None:
    reply = send(server, Request("GET", server.url + PATH, []), server.key)
    assert reply.status == 200


def test_a_signed_request_works_once(server: Server) -> None:
    made = new(server, signing_key=public("p256"))
    request = workspace(server, made["id"])
    first = send(server, request, made["key"])
    assert first.status == 201, first.body
    again = send(server, request, made["key"])
    assert (again.status, again.json["error"]["details"]["reason"]) == (401, "replayed")


def test_a_changed_body_is_refused(server: Server) -> None:
    made = new(server, signing_key=public("p256"))
    good = workspace(server, made["id"])
    changed = Request(good.method, good.target_uri, good.headers, b'{"id": "mine"}')
    reply = send(server, changed, made["key"])
    assert (reply.status, reply.json["error"]["details"]["reason"]) == (401, "digest")
    assert send(server, good, made["key"]).status == 201, "its nonce is still good"


def test_an_old_signature_is_refused(server: Server) -> None:
    made = new(server, signing_key=public("p256"))
    old = workspace(server, made["id"], at=time.time() - 400)
    reply = send(server, old, made["key"])
    assert (reply.status, reply.json["error"]["details"]["reason"]) == (401, "expired")


def test_nobody_signs_with_anothers_key(server: Server) -> None:
    made, other = (
        new(server, signing_key=public("p256")),
        new(server, signing_key=public("ed25519")),
    )
    reply = send(server, workspace(server, made["id"]), other["key"])
    assert (reply.status, reply.code) == (403, "PERMISSION_DENIED")
    reply = send(server, workspace(server, other["id"]), other["key"])
    assert (reply.status, reply.json["error"]["details"]["reason"]) == (401, "signature")


def test_a_shared_secret_or_a_private_key_is_not_registered(server: Server) -> None:
    private = {**public("p256"), "d": "AAAA"}
    for jwk in (public("hmac"), private, {"kty": "EC"}):
        body = json.dumps({"name": "n", "signing_key": jwk}).encode()
        reply = send(server, Request("POST", server.url + "/v1/auth/keys", [], body), server.key)
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), reply.body
