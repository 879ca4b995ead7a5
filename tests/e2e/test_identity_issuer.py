"""Another implementation's issuer: its keys change, it goes away, policies see its claims."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from auth.issuer import AUDIENCE, Provider, new_key
from e2e.client import Client, together
from e2e.people import PASSWORD, me, new_user, sign_in, status
from patience import until
from serving import Server

pytestmark = pytest.mark.slow
CONFIG = """
[auth.oidc]
issuer = "{}"
audience = "{}"
[auth.oidc.claims]
workspace = "org"
roles = "realm_access.roles"
department = "https://claims.example.com/department"
clearance_level = "clearance"
[auth.oidc.roles]
ml-team = "{}"
"""
RETRY = 30  # seconds between two looks at the issuer's keys


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    try:
        made.serve(new_key("ES256", "first"))
        yield made
    finally:
        made.close()


def caller(api: Client, provider: Provider) -> Client:
    return api.with_key(asyncio.run(provider.token()))


def test_roles_and_policies_see_what_the_issuer_tells(provider: Provider) -> None:
    with Server(CONFIG.format(provider.url, AUDIENCE, "ml_engineer")) as server:
        api = Client(server.url, server.key)
        one = caller(api, provider)
        told = me(one)
        assert (told["workspace"], told["roles"]) == ("research", ["ml_engineer"])
        assert told["attributes"] == {"department": "care", "clearance_level": 3}
        assert told["kind"] == "service_account", "a client's own token is no person's"
        assert one.get("/v1/models").status == 200
        assert one.chat("sandbox").status == 403
        there = "?workspace=research"
        assert api.get("/v1/auth/policies" + there).status == 404, "nobody has made it yet"
        assert api.post("/v1/auth/workspaces", {"id": "research"}).status == 201
        text = (
            'permit (principal, action == Action::"inference:create", resource) when '
            "{ principal has clearance_level && principal.clearance_level >= 3 };"
        )
        policy = {"id": "cleared", "policy": text}
        assert api.post("/v1/auth/policies" + there, policy).status == 201
        until(lambda: one.chat("sandbox").status == 200)
        assert api.request("DELETE", "/v1/auth/policies/cleared" + there).status == 204
        until(lambda: one.chat("sandbox").status == 403)


def test_the_issuer_takes_other_keys(provider: Provider) -> None:
    begun = time.monotonic()
    with Server(CONFIG.format(provider.url, AUDIENCE, "admin"), workers=2) as server:
        api = Client(server.url, server.key)
        old = caller(api, provider)

        def answers(one: Client) -> set[tuple[int, int]]:
            return set(together(16, lambda _: status(one)))

        assert answers(old) == {(200, 200)}
        provider.serve(new_key("RS256", "second"), new_key("ES256", "third"))
        new = caller(api, provider)
        told = answers(new), answers(old)
        if time.monotonic() < begun + RETRY:
            assert told[0] == {(401, 401)}, "nobody makes us ask the issuer all the time"
            assert told[1] == {(200, 200)}, "what is known stays known"
        time.sleep(max(0, begun + RETRY + 1 - time.monotonic()))
        answers(new)
        until(lambda: answers(new) == {(200, 200)})
        until(lambda: answers(old) == {(401, 401)})
        assert old.get("/v1/auth/me").json["error"]["details"]["reason"] == "unknown_key"


def test_an_issuer_that_is_away_ends_nothing(provider: Provider) -> None:
    with Server(CONFIG.format(provider.url, AUDIENCE, "admin")) as server:
        api = Client(server.url, server.key)
        known, fresh = caller(api, provider), caller(api, provider)
        assert status(known) == (200, 200)
        provider.close()
        assert status(known) == status(fresh) == (200, 200)
        made = new_user(api, "admin")
        assert status(sign_in(api, made["login"], PASSWORD)) == (200, 200)
        server.stop()
        server.start()
        begun = time.monotonic()
        for reply in (known.get("/v1/auth/me"), known.chat("sandbox")):
            assert (reply.status, reply.code) == (503, "SYSTEM_OVERLOADED")
            assert int(reply.headers["retry-after"]) > 0
        assert time.monotonic() - begun < RETRY, "nobody waits for it"
        assert status(api) == (200, 200)
