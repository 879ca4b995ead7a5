"""Tokens of another implementation's issuer on a real server, on both planes."""

import asyncio
from collections.abc import Iterator

import pytest

from auth.issuer import AUDIENCE, Provider, new_key
from e2e.client import Client
from serving import Server

CONFIG = """
[auth.oidc]
issuer = "{}"
audience = "{}"
[auth.oidc.claims]
workspace = "org"
roles = "realm_access.roles"
department = "https://claims.example.com/department"
[auth.oidc.roles]
ml-team = "admin"
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    try:
        made.serve(new_key("ES256", "first"))
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def server(provider: Provider) -> Iterator[Server]:
    with Server(CONFIG.format(provider.url, AUDIENCE)) as server:
        yield server


def token(provider: Provider, resource: str = AUDIENCE) -> str:
    return asyncio.run(provider.token(resource))


def test_who_the_issuer_says_it_is(provider: Provider, server: Server) -> None:
    reply = Client(server.url, token(provider)).get("/v1/auth/me")
    assert reply.status == 200, reply.body
    me = reply.json
    assert (me["name"], me["workspace"], me["roles"]) == ("app", "research", ["admin"])
    assert me["attributes"] == {"department": "care"}
    assert me["id"].startswith("oidc_")


def test_models_are_called_with_it(provider: Provider, server: Server) -> None:
    client = Client(server.url, token(provider))
    ask = {"model": "sandbox", "messages": [{"role": "user", "content": "hello"}]}
    for _ in range(2):
        reply = client.post("/v1/chat/completions", ask)
        assert reply.status == 200, reply.body
        assert reply.json["choices"]


def test_a_token_for_another_service_is_401_on_both_planes(
    provider: Provider, server: Server
) -> None:
    client = Client(server.url, token(provider, "https://other.example.com/"))
    for reply in (client.get("/v1/auth/me"), client.post("/v1/chat/completions", {})):
        assert reply.status == 401, reply.body


def test_the_server_starts_while_the_issuer_is_out_of_reach() -> None:
    config = CONFIG.format("http://127.0.0.1:9", AUDIENCE)
    with Server(config) as server:
        assert Client(server.url, server.key).get("/v1/auth/me").status == 200
