"""Where a credential may be sent, who one is by it, and in which workspace one acts."""

import base64
import secrets
from typing import Any

import pytest

from e2e.client import Client, Reply
from e2e.people import exchange, me, new_user, service, sign_in, somebody

CHAT = "/v1/chat/completions"
ASK = {"model": "sandbox", "messages": [{"role": "user", "content": "hello"}]}
WORKSPACES = "/v1/auth/workspaces"


def new_key(api: Client, **more: Any) -> dict[str, Any]:
    reply = api.post("/v1/auth/keys", {"name": "a key", "scopes": ["*:*"]} | more)
    assert reply.status == 201, reply.body
    return dict(reply.json)


def both(api: Client, headers: dict[str, str]) -> tuple[int, int]:
    """How the control plane and the data plane answer to these header fields."""
    plain = api.with_key(None)
    return (
        plain.get("/v1/auth/me", headers).status,
        plain.post(CHAT, ASK, headers).status,
    )


# -- where it is sent


def test_a_key_or_a_token_may_be_sent_in_either_field(api: Client) -> None:
    token = str(somebody(api, "admin").key)
    for secret in (str(api.key), new_key(api)["key"], token):
        for headers in (
            {"authorization": f"Bearer {secret}"},
            {"authorization": f"bearer {secret}"},
            {"x-api-key": secret},
            {"x-goog-api-key": secret},
        ):
            assert both(api, headers) == (200, 200), headers
        assert both(api, {"x-model-key": secret}) == (401, 200), "only where models are called"


def test_a_model_key_is_for_models_alone(api: Client) -> None:
    secret = new_key(api, serving_only=True)["key"]
    for name, value in {
        "authorization": f"Bearer {secret}",
        "x-api-key": secret,
    }.items():
        assert both(api, {name: value}) == (403, 200)
    assert both(api, {"x-model-key": secret}) == (401, 200)
    told = api.with_key(secret).get("/v1/auth/keys")
    assert "model key" in told.message
    plain = api.with_key(None)
    for path, body in {
        "/v1/ai-inference/inference": {"prompt": "x"},
        "/v1/messages": ASK | {"max_tokens": 5},
    }.items():
        assert plain.post(path, body, {"x-model-key": secret}).status == 200, path


@pytest.mark.parametrize("wrong", ["my-unknown", "eyJhbGciOiJub25lIn0.e30.", ""])
def test_the_first_of_several_counts_though_it_be_wrong(api: Client, wrong: str) -> None:
    """``Authorization``, then ``X-API-Key``, then ``X-Model-Key``: none makes up for another."""
    good = str(api.key)
    for headers, expected in (
        ({"authorization": f"Bearer {wrong}", "x-api-key": good, "x-model-key": good}, (401, 401)),
        ({"x-api-key": wrong, "x-model-key": good}, (401, 401)),
        ({"authorization": f"Bearer {good}", "x-api-key": wrong, "x-model-key": wrong}, (200,) * 2),
        ({"x-api-key": good, "x-model-key": wrong}, (200, 200)),
    ):
        assert both(api, headers) == expected, headers


def test_two_good_credentials_are_one_caller(api: Client) -> None:
    first, second = new_key(api), new_key(api)
    headers = {"authorization": f"Bearer {first['key']}", "x-api-key": second["key"]}
    assert api.with_key(None).get("/v1/auth/me", headers).json["id"] == first["id"]


def test_another_scheme_is_no_credential(api: Client) -> None:
    basic = base64.b64encode(f"admin:{api.key}".encode()).decode()
    assert both(api, {"authorization": f"Basic {basic}"}) == (401, 401)
    both_sent = {"authorization": f"Basic {basic}", "x-api-key": str(api.key)}
    assert both(api, both_sent) == (200, 200)


def test_a_body_that_names_another_workspace_is_refused(api: Client) -> None:
    reply = api.post("/v1/ai-inference/inference", {"prompt": "x", "workspace_id": "elsewhere"})
    assert reply.status == 403, reply.body
    assert "workspace" in reply.body.decode()


# -- who one is


def test_me_tells_each_kind_of_caller(api: Client) -> None:
    everything = me(api)["permissions"]
    assert "key:create" in everything and "inference:create" in everything
    common = {"workspace": "default", "roles": [], "attributes": {}, "expires_at": None}

    key = new_key(api, name="app", scopes=["model:read"])
    assert me(api.with_key(key["key"])) == common | {
        "id": key["id"],
        "kind": "key",
        "name": "app",
        "subject": None,
        "scopes": ["model:read"],
        "permissions": ["model:read"],
    }

    person = new_user(api, "business_user", attributes={"department": "care"})
    told = me(sign_in(api, person["login"]))
    assert told.pop("expires_at") is not None
    assert told == {
        "id": person["id"],
        "kind": "user",
        "name": person["login"],
        "workspace": "default",
        "subject": f"auth/users/{person['id']}",
        "roles": ["business_user"],
        "attributes": {"department": "care"},
        "scopes": [],
        "permissions": ["model:read"],
    }

    account, made = service(api, "ml_ops", scopes=["model:read"])
    owned = common | {
        "id": made["id"],
        "kind": "service_account",
        "name": "of a service",
        "subject": f"auth/users/{account}",
        "roles": ["ml_ops"],
        "scopes": ["model:read"],
        "permissions": ["model:read", "monitoring:read"],
    }
    assert me(api.with_key(made["key"])) == owned
    issued = exchange(api, account, made["key"], scope="monitoring:read").json["access_token"]
    told = me(api.with_key(issued))
    assert told.pop("expires_at") is not None
    assert told == {name: value for name, value in owned.items() if name != "expires_at"} | {
        "permissions": ["monitoring:read"]
    }


# -- workspaces


@pytest.fixture
def place(api: Client) -> str:
    """A new workspace."""
    own_id = "w-" + secrets.token_hex(5)
    reply = api.post(WORKSPACES, {"id": own_id, "display_name": "Vision"})
    assert reply.status == 201, reply.body
    return own_id


def users(caller: Client, query: str = "") -> list[str]:
    reply = caller.get(f"/v1/auth/users?page_size=1000{query}")
    assert reply.status == 200, reply.body
    return [user["id"] for user in reply.json["users"]]


def test_an_operator_acts_in_another_workspace(api: Client, place: str) -> None:
    login = f"{place}@example.com"
    path, there = "/v1/auth/users", f"?workspace={place}"
    made = api.post(path + there, {"login": login, "password": "a horse in the corridor"})
    assert (made.status, made.json["workspace"]) == (201, place)
    one = f"{path}/{made.json['id']}"
    assert api.get(one).status == 404
    assert api.get(one + there).status == 200
    granted = api.request("PUT", f"{one}/roles{there}", {"roles": ["admin"]})
    assert granted.status == 200, granted.body
    assert users(api, f"&workspace={place}") == [made.json["id"]]
    theirs = sign_in(api, login)
    assert me(theirs)["workspace"] == place
    assert users(theirs) == [made.json["id"]]


def test_what_is_elsewhere_is_not_found(api: Client, place: str) -> None:
    scopes = ["user:*", "key:*", "policy:*", "role:*", "workspace:read", "inference:*"]
    foreign = api.with_key(new_key(api, workspace=place, scopes=scopes)["key"])
    mine = new_user(api)
    path = f"/v1/auth/users/{mine['id']}"
    replies: list[Reply] = [
        foreign.get(path),
        foreign.request("PATCH", path, {"disabled": True}),
        foreign.request("PUT", f"{path}/roles", {"roles": []}),
        foreign.request("DELETE", path),
        foreign.get(f"{WORKSPACES}/default"),
    ]
    for reply in replies:
        assert (reply.status, reply.code) == (404, "NOT_FOUND"), reply.body
    key = {"name": "n", "scopes": ["key:*"], "owner": mine["id"]}
    owned = foreign.post("/v1/auth/keys", key | {"owner": mine["id"]})
    assert (owned.status, owned.json["error"]["details"]["field"]) == (400, "owner")
    unknown = foreign.post("/v1/auth/keys", key | {"owner": "user_none"})
    assert owned.message.replace(mine["id"], "user_none") == unknown.message
    assert mine["id"] not in users(foreign)
    asked = foreign.get(f"{path}?workspace=default")
    assert (asked.status, asked.json["error"]["details"]["permission"]) == (403, "workspace:write")
    listed = foreign.get(WORKSPACES).json["workspaces"]
    assert [one["id"] for one in listed] == [place]
    assert foreign.get(f"{WORKSPACES}/{place}").status == 200


def test_nobody_acts_in_a_workspace_that_does_not_exist(api: Client) -> None:
    there = "?workspace=none-such"
    body = {"login": "ghost@example.com", "password": "a horse in the corridor"}
    for reply in (
        api.get("/v1/auth/users" + there),
        api.get("/v1/auth/users/user_x" + there),
        api.post("/v1/auth/users" + there, body),
        api.post("/v1/auth/keys" + there, {"name": "n"}),
    ):
        assert (reply.status, reply.code) == (404, "NOT_FOUND"), reply.body
        assert "none-such" in reply.message


def test_a_workspace_is_deleted_when_it_is_empty(api: Client, place: str) -> None:
    path = f"{WORKSPACES}/{place}"
    key = new_key(api, workspace=place)
    used = api.request("DELETE", path)
    assert (used.status, used.code) == (409, "CONFLICT")
    assert key["id"] in used.message
    own = api.request("DELETE", f"{WORKSPACES}/default")
    assert own.status == 409
    assert api.request("DELETE", f"/v1/auth/keys/{key['id']}?workspace={place}").status == 204
    assert api.request("DELETE", path).status == 204
    assert api.get(path).status == 404
    assert api.get(f"/v1/auth/users?workspace={place}").status == 404
