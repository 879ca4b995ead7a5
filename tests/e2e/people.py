"""Users, service accounts and their tokens, made through the API."""

import secrets
from typing import Any
from urllib.parse import urlencode

from e2e.client import Client

USERS = "/v1/auth/users"
PASSWORD = "a horse in the corridor"


def login_name() -> str:
    return f"u-{secrets.token_hex(6)}@example.com"


def new_user(api: Client, *roles: str, attributes: Any = None, **more: Any) -> dict[str, Any]:
    """A user with a password, or what ``more`` says, and these roles and attributes."""
    ask: dict[str, Any] = {"login": login_name()} | more
    if ask.get("kind") != "service_account":
        ask = {"password": PASSWORD} | ask
    reply = api.post(USERS, ask)
    assert reply.status == 201, reply.body
    made = dict(reply.json)
    if roles or attributes:
        set_roles(api, made["id"], *roles, attributes=attributes)
    return made


def set_roles(api: Client, user_id: str, *roles: str, attributes: Any = None) -> None:
    ask = {"roles": list(roles), "attributes": attributes or {}}
    reply = api.request("PUT", f"{USERS}/{user_id}/roles", ask)
    assert reply.status == 200, reply.body


def sign_in(api: Client, login: str, password: str = PASSWORD) -> Client:
    """A client with the user's token."""
    reply = api.with_key(None).post("/v1/auth/login", {"login": login, "password": password})
    assert reply.status == 200, reply.body
    return api.with_key(reply.json["access_token"])


def somebody(api: Client, *roles: str, attributes: Any = None) -> Client:
    """A new user, signed in."""
    return sign_in(api, new_user(api, *roles, attributes=attributes)["login"])


def service(api: Client, *roles: str, **key: Any) -> tuple[str, dict[str, Any]]:
    """A new service account's id, and a key of its own as it was answered."""
    made = new_user(api, *roles, kind="service_account")
    reply = api.post("/v1/auth/keys", {"name": "of a service", "owner": made["id"]} | key)
    assert reply.status == 201, reply.body
    return made["id"], dict(reply.json)


def exchange(api: Client, client_id: str, secret: str, **more: str) -> Any:
    """What the token endpoint answers, the client named in the body."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    return token_form(api, form | more)


def token_form(api: Client, form: dict[str, str], headers: dict[str, str] | None = None) -> Any:
    fields = {"content-type": "application/x-www-form-urlencoded"} | (headers or {})
    return api.with_key(None).post("/v1/auth/token", urlencode(form).encode(), fields)


def me(caller: Client) -> dict[str, Any]:
    reply = caller.get("/v1/auth/me")
    assert reply.status == 200, reply.body
    return dict(reply.json)


def status(caller: Client) -> tuple[int, int]:
    """How the control plane and the data plane answer a caller."""
    return caller.get("/v1/auth/me").status, caller.chat("sandbox").status
