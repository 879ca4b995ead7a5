"""Nobody gets beyond their workspace, their permissions, or what they may read."""

import json
import secrets
from collections.abc import Iterator

import pytest

from e2e.client import Client, Stream
from e2e.people import USERS, new_user, somebody
from patience import until
from serving import Server

KEYS, POLICIES = "/v1/auth/keys", "/v1/auth/policies"
OPEN = {"policy": "permit (principal, action, resource);"}
JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


@pytest.fixture(scope="module")
def house() -> Iterator[Client]:
    with Server() as server:
        yield Client(server.url, server.key)


def key(house: Client, *scopes: str, workspace: str = "default") -> Client:
    ask = {"name": "narrow", "scopes": list(scopes), "workspace": workspace}
    reply = house.post(KEYS, ask)
    assert reply.status == 201, reply.body
    return house.with_key(reply.json["key"])


def test_a_policy_opens_no_other_workspace(house: Client) -> None:
    author = key(house, "policy:*", workspace="w" + secrets.token_hex(4))
    assert author.post(POLICIES, OPEN).status == 201
    assert author.get(USERS).status == 200  # its own workspace's
    for refused in (
        author.get(f"{USERS}?workspace=default"),
        author.get("/v1/governance/audit?workspace=-"),
        author.post(KEYS, {"name": "x", "workspace": "default", "scopes": ["user:read"]}),
        author.post("/v1/auth/workspaces", {"id": "w" + secrets.token_hex(4)}),
    ):
        assert refused.status == 403
        assert refused.json["error"]["details"]["permission"].startswith("workspace:")
    for scope in ("*:*", "workspace:write", "workspace:*"):
        refused = author.post(KEYS, {"name": "x", "scopes": [scope]})
        assert refused.status == 403
        assert refused.json["error"]["details"]["permission"] == scope


def test_a_signing_key_is_changed_by_those_who_may_do_as_much(house: Client) -> None:
    boss, narrow = new_user(house, "admin"), key(house, "user:*", "key:*")
    refused = narrow.request("PATCH", f"{USERS}/{boss['id']}", {"signing_key": JWK})
    assert refused.status == 403
    assert refused.json["error"]["details"] == {"field": "signing_key", "permission": "*:*"}
    wide = house.post(KEYS, {"name": "wide", "scopes": ["*:*"]}).json["id"]
    refused = narrow.request("PATCH", f"{KEYS}/{wide}", {"signing_key": JWK})
    assert refused.status == 403
    assert refused.json["error"]["details"]["permission"] == "*:*"
    account = new_user(house, "admin", kind="service_account")["id"]
    owned = house.post(KEYS, {"name": "owned", "owner": account, "scopes": ["model:read"]}).json
    near = key(house, "user:*", "key:*", "model:read")
    refused = near.request("PATCH", f"{KEYS}/{owned['id']}", {"signing_key": JWK})
    assert refused.status == 403, refused.body
    assert refused.json["error"]["details"] == {"field": "owner", "permission": "*:*"}
    plain = new_user(house)
    assert narrow.request("PATCH", f"{USERS}/{plain['id']}", {"signing_key": JWK}).status == 200
    assert house.request("PATCH", f"{USERS}/{boss['id']}", {"signing_key": JWK}).status == 200


def test_a_follower_does_not_see_what_left_its_sight(house: Client) -> None:
    mark = "m" + secrets.token_hex(4)
    text = (
        'permit (principal, action == Action::"user:read", resource) '
        f'when {{ resource.labels has team && resource.labels.team == "{mark}" }};'
    )
    assert house.post(POLICIES, {"policy": text}).status == 201
    made = new_user(house, labels={"team": mark})
    path = f"{USERS}/{made['id']}"
    until(lambda: house.get(f"{path}/history").json["entries"])  # the stream begins after it
    reader = somebody(house, "data_scientist")
    stream = Stream(reader.open("GET", f"{USERS}/watch"))
    try:
        shown = {"display_name": "shown"}
        assert house.request("PATCH", path, shown).status == 200
        hidden = {"display_name": "hidden", "labels": {"team": "other"}}
        assert house.request("PATCH", path, hidden).status == 200
        assert reader.get(path).status == 403
        events = stream.events()
        changes = [json.loads(next(events).data) for _ in range(2)]
        assert [change["name"] for change in changes] == [f"auth/users/{made['id']}"] * 2
        assert changes[0]["resource"]["display_name"] == "shown"
        assert changes[1]["resource"] is None
    finally:
        stream.close()


def test_history_hides_the_states_that_its_reader_may_not_see(house: Client) -> None:
    mark = "m" + secrets.token_hex(4)
    text = (
        'permit (principal, action == Action::"user:read", resource) '
        f'when {{ resource.labels has team && resource.labels.team == "{mark}" }};'
    )
    assert house.post(POLICIES, {"policy": text}).status == 201
    made = new_user(house, labels={"team": "secret"})
    path = f"{USERS}/{made['id']}"
    for name, team in (("between", "secret"), ("arrived", mark), ("stayed", mark)):
        change = {"display_name": name, "labels": {"team": team}}
        assert house.request("PATCH", path, change).status == 200
    reader = somebody(house, "data_scientist")
    until(lambda: len(house.get(f"{path}/history").json["entries"]) == 4)
    entries = reader.get(f"{path}/history").json["entries"]
    states = [(entry["before"], entry["after"]) for entry in entries]
    shown = [tuple(view and view["display_name"] for view in pair) for pair in states]
    assert shown == [("arrived", "stayed"), (None, "arrived")]
    assert "secret" not in reader.get(f"{path}/history").body.decode()
