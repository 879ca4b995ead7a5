"""Service accounts and their tokens: OAuth 2.0 client credentials, by a published client too."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.jwk import KeySet

from e2e.client import Client
from e2e.people import (
    USERS,
    exchange,
    me,
    new_user,
    service,
    set_roles,
    somebody,
    status,
    token_form,
)
from e2e.test_keys import stamp
from patience import until


def token(api: Client, account: str, key: dict[str, Any], **more: str) -> Client:
    """A client with a token that a key was exchanged for."""
    reply = exchange(api, account, key["key"], **more)
    assert reply.status == 200, reply.body
    return api.with_key(reply.json["access_token"])


@pytest.fixture(params=["client_secret_basic", "client_secret_post"])
def session(request: pytest.FixtureRequest, api: Client) -> Iterator[OAuth2Session]:
    """Authlib's client of a new service account that may call models and list them."""
    account, key = service(api)
    with OAuth2Session(
        account,
        key["key"],
        token_endpoint=api.url + "/v1/auth/token",
        token_endpoint_auth_method=request.param,
        grant_type="client_credentials",
    ) as made:
        yield made


def chat(api: Client, session: OAuth2Session) -> Any:
    body = {"model": "sandbox", "messages": [{"role": "user", "content": "hello"}]}
    return session.post(api.url + "/v1/chat/completions", json=body, timeout=30)


# -- the official flow


def test_a_published_client_calls_both_planes(api: Client, session: OAuth2Session) -> None:
    given = session.fetch_token(timeout=30)
    assert (given["token_type"], given["expires_in"]) == ("Bearer", 3600)
    assert "scope" not in given
    assert chat(api, session).json()["choices"][0]["message"]["role"] == "assistant"
    told = session.get(api.url + "/v1/auth/me", timeout=30).json()
    assert (told["kind"], told["subject"]) == (
        "service_account",
        f"auth/users/{session.client_id}",
    )
    assert told["scopes"] == ["inference:*", "model:read"]
    areas = {permission.partition(":")[0] for permission in told["permissions"]}
    assert areas == {"inference", "model"}
    assert {"inference:create", "model:read"} <= set(told["permissions"])


def test_a_published_client_renews_by_itself(api: Client, session: OAuth2Session) -> None:
    first = session.fetch_token(timeout=30)["access_token"]
    session.token["expires_at"] = int(time.time()) - 1
    assert chat(api, session).status_code == 200
    assert session.token["access_token"] != first


def test_a_published_client_narrows(api: Client, session: OAuth2Session) -> None:
    given = session.fetch_token(scope="model:read", timeout=30)
    assert given["scope"] == "model:read"
    assert session.get(api.url + "/v1/models", timeout=30).status_code == 200
    denied = chat(api, session)
    assert denied.status_code == 403
    assert "inference:create" in denied.json()["error"]["message"]


def test_a_token_says_what_others_need_to_verify_it(api: Client) -> None:
    account, key = service(api, "ml_ops")
    caller = token(api, account, key, scope="model:read")
    published = api.with_key(None).get("/v1/auth/jwks")
    assert all("d" not in one for one in published.json["keys"])
    found = jwt.decode(str(caller.key), KeySet.import_key_set(published.json), ["ES256"])
    assert found.header["typ"] == "at+jwt"
    claims = found.claims
    assert claims["exp"] - claims["iat"] == 3600
    wanted = {
        "iss": "urn:modelyard",
        "aud": "modelyard",
        "sub": f"auth/users/{account}",
        "client_id": account,
        "scope": "model:read",
        "roles": ["ml_ops"],
        "workspace": "default",
    }
    assert {name: claims[name] for name in wanted} == wanted
    assert key["key"] not in json.dumps(claims)


# -- what is refused


def test_refusals_are_those_of_the_standard(api: Client) -> None:
    account, key = service(api)
    plain = api.post("/v1/auth/keys", {"name": "without an owner"}).json
    issued = exchange(api, account, key["key"]).json["access_token"]
    grant = {"grant_type": "client_credentials"}
    good = grant | {"client_id": account, "client_secret": key["key"]}
    basic = {"authorization": "Basic " + base64.b64encode(b"x:y").decode()}
    for form, headers, wanted in [
        (good | {"client_secret": "my-wrong"}, {}, (401, "invalid_client")),
        (good | {"client_id": "user_other"}, {}, (401, "invalid_client")),
        (good | {"client_secret": issued}, {}, (401, "invalid_client")),
        (grant | {"client_id": plain["id"], "client_secret": plain["key"]}, {}, (401,)),
        (grant, {}, (401, "invalid_client")),
        (grant, basic, (401, "invalid_client")),
        (good, basic, (400, "invalid_request")),
        (good | {"grant_type": "password"}, {}, (400, "unsupported_grant_type")),
        ({"client_id": account, "client_secret": key["key"]}, {}, (400, "invalid_request")),
        (good | {"scope": "key:create"}, {}, (400, "invalid_scope")),
        (good | {"scope": "model:read everything"}, {}, (400, "invalid_scope")),
    ]:
        reply = token_form(api, form, headers)
        told = (reply.status, reply.json["error"])[: len(wanted)]
        assert told == wanted, (form, reply.body)
        assert reply.headers["cache-control"] == "no-store"
        challenged = "www-authenticate" in reply.headers
        assert challenged is (reply.status == 401)
        assert key["key"] not in reply.body.decode()
    assert token_form(api, good, {"content-type": "application/json"}).status == 400


def test_a_changed_token_is_refused(api: Client) -> None:
    account, key = service(api)
    whole = str(token(api, account, key).key)
    head, body, sign = whole.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    more = base64.urlsafe_b64encode(json.dumps(claims | {"roles": ["admin"]}).encode())
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}')
    for changed, reason in [
        (f"{head}.{more.decode().rstrip('=')}.{sign}", "signature"),
        (f"{none.decode().rstrip('=')}.{body}.", "algorithm"),
        (f"{head}.{body}.{'A' * len(sign)}", "signature"),
        (f"{head}.{body}", None),
    ]:
        caller = api.with_key(changed)
        assert status(caller) == (401, 401), changed
        details = caller.get("/v1/auth/me").json["error"].get("details") or {}
        assert details.get("reason") == reason


def test_a_token_of_another_installation_is_refused(api: Client, serve: Any) -> None:
    other = serve("")
    foreign = somebody(Client(other.url, other.key), "admin")
    caller = api.with_key(foreign.key)
    assert status(caller) == (401, 401)
    assert caller.get("/v1/auth/me").json["error"]["details"]["reason"] == "unknown_key"


# -- a token is worth what its key is worth


def test_a_token_ends_with_its_key(api: Client) -> None:
    account, key = service(api)
    caller = token(api, account, key)
    assert status(caller) == (200, 200)
    assert api.request("DELETE", f"/v1/auth/keys/{key['id']}").status == 204
    until(lambda: status(caller) == (401, 401))
    assert caller.get("/v1/auth/me").json["error"]["details"]["reason"] == "key"


def test_a_token_of_a_secret_that_was_rotated_out_ends(api: Client) -> None:
    account, key = service(api)
    caller = token(api, account, key)
    rotated = api.post(f"/v1/auth/keys/{key['id']}/rotate", {"overlap_seconds": 3600}).json
    after = token(api, account, rotated)
    assert status(caller) == (200, 200) == status(after)
    rotated = api.post(f"/v1/auth/keys/{key['id']}/rotate", {"overlap_seconds": 3600}).json
    after = token(api, account, rotated)
    until(lambda: status(caller) == (401, 401))
    assert status(after) == (200, 200)


def test_a_token_ends_with_its_account(api: Client) -> None:
    account, key = service(api)
    caller = token(api, account, key)
    assert api.request("PATCH", f"{USERS}/{account}", {"disabled": True}).status == 200
    until(lambda: status(caller) == (401, 401))
    assert exchange(api, account, key["key"]).json["error"] == "invalid_client"


def test_a_token_expires_with_its_key(api: Client) -> None:
    account, key = service(api, expires_at=stamp(200))
    reply = exchange(api, account, key["key"])
    assert 1 <= reply.json["expires_in"] <= 200
    caller = api.with_key(reply.json["access_token"])
    assert status(caller) == (200, 200)
    path = f"/v1/auth/keys/{key['id']}"
    until(lambda: api.request("PATCH", path, {"expires_at": stamp(3)}).status == 200)
    until(lambda: status(caller) == (401, 401))


def test_a_token_has_the_limits_of_its_key(api: Client) -> None:
    account, key = service(api, limits={"requests_per_minute": 3})
    first, second = (token(api, account, key) for _ in range(2))
    callers = (first, second, api.with_key(key["key"]), first)
    statuses = [caller.chat("sandbox").status for caller in callers]
    assert statuses == [200, 200, 200, 429]


def test_a_model_keys_token_only_calls_models(api: Client) -> None:
    account, key = service(api, "admin", serving_only=True)
    caller = token(api, account, key)
    assert status(caller) == (403, 200)
    assert caller.get(USERS).status == 403


def test_roles_and_scopes_add_up(api: Client) -> None:
    account, key = service(api, "ml_ops", scopes=["model:read"])
    caller = token(api, account, key)
    assert caller.get("/v1/models").status == 200, "by the key's scope"
    assert caller.get("/v1/ai-inference/status").status == 200, "by the account's role"
    narrow = token(api, account, key, scope="monitoring:read")
    assert narrow.get("/v1/ai-inference/status").status == 200
    assert narrow.get("/v1/models").status == 403
    set_roles(api, account)
    until(lambda: caller.get("/v1/ai-inference/status").status == 403)
    assert caller.get("/v1/models").status == 200
    assert narrow.get("/v1/ai-inference/status").status == 403, "a narrowing grants nothing"


def test_a_narrowed_token_hands_on_no_more_than_it_has(api: Client) -> None:
    account, key = service(api, "admin")
    narrow = token(api, account, key, scope="key:create role:write user:write model:read")
    assert me(narrow)["permissions"] == [
        "key:create",
        "model:read",
        "role:write",
        "user:create",
        "user:delete",
        "user:read",
        "user:update",
    ]
    assert narrow.post("/v1/auth/keys", {"name": "n", "scopes": ["*:*"]}).status == 403
    assert narrow.post("/v1/auth/keys", {"name": "n", "scopes": ["model:read"]}).status == 201
    owned = {"name": "n", "scopes": ["model:read"], "owner": account}
    assert narrow.post("/v1/auth/keys", owned).status == 403, "the account is an admin"
    made = new_user(api)
    path = f"{USERS}/{made['id']}/roles"
    assert narrow.request("PUT", path, {"roles": ["admin"]}).status == 403
