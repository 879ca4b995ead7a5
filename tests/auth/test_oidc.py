"""Tokens of an external issuer, given out by another implementation's server."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from auth.issuer import AUDIENCE, CLAIMS, Provider, Web, new_key, reason, refusal
from modelyard.auth.keys import Key, KeyRing
from modelyard.auth.oidc import REFRESH, RETRY, Issuer
from modelyard.auth.sealed import Box
from modelyard.auth.signing import SigningKeys, rotated
from modelyard.auth.tokens import Claims, Tokens, caller
from modelyard.protocol.errors import Failure
from modelyard.settings.auth import OidcSettings

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    try:
        made.serve(new_key("RS256", "first"))
        yield made
    finally:
        made.close()


@pytest.fixture
def web() -> Web:
    return Web()


def issuer(provider: Provider, web: Web, **changes: Any) -> Issuer:
    more: dict[str, Any] = {"roles": {"ml-team": "ml_engineer"}, "claims": CLAIMS} | changes
    return Issuer(OidcSettings(issuer=provider.url, audience=AUDIENCE, **more), web.fetch)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_token_of_the_issuer_is_a_caller(
    provider: Provider, web: Web, algorithm: str
) -> None:
    provider.serve(new_key(algorithm, f"key-{algorithm}"))
    one = issuer(provider, web)
    now = time.time()
    token = await provider.token()
    claims = await one.find(token, now)
    assert web.fetched == [
        provider.url + "/.well-known/openid-configuration",
        provider.url + "/jwks",
    ]
    assert (claims.workspace, claims.roles) == ("research", ("ml_engineer",))
    assert claims.attributes == {"department": "care", "clearance_level": 3}
    assert (claims.kind, claims.name, claims.iss) == ("service_account", "app", provider.url)
    assert (
        claims.sub.startswith("auth/users/oidc_")
        and len(claims.sub) == len("auth/users/oidc_") + 32
    )
    assert claims.scopes is None
    assert 600 < claims.exp - now < 635
    assert one.read(token, now) is claims, "it was verified again"
    assert len(web.fetched) == 2


async def test_the_ring_takes_both_kinds_of_tokens(provider: Provider, web: Web) -> None:
    one = issuer(provider, web)
    now = time.time()
    box = Box(b"p" * 32)
    own = Tokens("https://ai.example.com", rotated(SigningKeys(), box, now), box)

    def read(token: str, at: float) -> Key:
        return one.owner(token, at) or caller(own.read(token, at))

    ring = KeyRing(b"p" * 32, {}, read)
    theirs = await provider.token()
    await one.refresh(now)
    ours = own.issue(Claims(sub="auth/users/user_1", workspace="default"), 60, now)
    assert ring.find(ours, now).id == "user_1"
    found = ring.find(theirs, now)
    assert (found.name, found.workspace) == ("app", "research")
    assert found.limits.requests_per_minute == 1000
    with pytest.raises(Failure) as raised:
        own.read(theirs, now)
    assert reason(raised.value) in ("algorithm", "unknown_key")
    assert one.owner("no.token.", now) is None


async def test_a_token_for_another_service_is_refused(provider: Provider, web: Web) -> None:
    one = issuer(provider, web)
    await one.refresh(time.time())
    assert refusal(one, await provider.token("https://other.example.com/")) == "audience"


async def test_a_token_of_another_client_is_refused(provider: Provider, web: Web) -> None:
    one = issuer(provider, web, clients=["app"])
    await one.refresh(time.time())
    assert one.read(await provider.token(), time.time()).name == "app"
    assert refusal(one, await provider.token(client="other-app")) == "client"


async def test_an_expired_token_is_refused_after_the_leeway(provider: Provider, web: Web) -> None:
    one = issuer(provider, web, leeway=0.0)
    patient = issuer(provider, web, leeway=60.0)
    for each in (one, patient):
        await each.refresh(time.time())
    token = await provider.token()
    now = time.time()
    assert one.read(token, now + 598).workspace == "research"
    assert refusal(one, token, now + 601) == "expired"
    assert patient.read(token, now + 655).workspace == "research"
    assert refusal(patient, token, now + 662) == "expired"


async def test_a_clock_that_runs_ahead(provider: Provider, web: Web) -> None:
    one = issuer(provider, web, leeway=10.0)
    await one.refresh(time.time())
    token = await provider.token()
    assert refusal(one, token, time.time() - 20) == "not_yet_valid"
    assert one.read(token, time.time() - 5).name == "app"


async def test_keys_that_the_issuer_rotates(provider: Provider, web: Web) -> None:
    old, new = new_key("RS256", "old"), new_key("ES256", "new")
    provider.serve(old)
    one = issuer(provider, web)
    now = time.time()
    before = await provider.token()
    assert (await one.find(before, now)).name == "app"
    provider.serve(new, old)
    after = await provider.token()
    assert refusal(one, after, now + 1) == "unknown_key"
    assert not one.stale(now + 1), "it was asked a second ago"
    assert one.stale(now + RETRY), "a key was met that it does not know"
    assert (await one.find(after, now + RETRY)).name == "app"
    assert one.read(before, now + RETRY).name == "app"
    provider.serve(new)
    assert not one.stale(now + RETRY + REFRESH - 1)
    assert one.changes == 2
    assert await one.refresh(now + RETRY + REFRESH)
    assert one.changes == 3
    assert refusal(one, before) == "unknown_key", "the issuer withdrew the key"
    assert one.read(after, now).name == "app"


async def test_unknown_keys_do_not_make_us_ask_often(provider: Provider, web: Web) -> None:
    provider.serve(new_key("RS256", "first"))
    one = issuer(provider, web)
    now = time.time()
    await one.refresh(now)
    strange = jwt.encode(
        {"alg": "ES256", "kid": "strange"},
        {"iss": provider.url},
        ECKey.generate_key("P-256", private=True),
    )

    async def ask(at: float) -> str:
        with pytest.raises(Failure) as raised:
            await one.find(strange, at)
        return reason(raised.value)

    for second in range(60):
        assert await ask(now + second) == "unknown_key"
    assert len(web.fetched) == 4, "once at the start, once after 30 seconds"
    together = await asyncio.gather(*(ask(now + 100) for _ in range(20)))
    assert set(together) == {"unknown_key"}
    assert len(web.fetched) == 6


async def test_an_outage_keeps_the_known_keys(
    provider: Provider, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    one = issuer(provider, web)
    now = time.time()
    token = await provider.token()
    web.down = True
    with pytest.raises(Failure) as raised:
        await one.find(token, now)
    assert (raised.value.status, raised.value.retry_after) == (503, 5)
    assert "cannot be read" in caplog.text
    web.down = False
    assert (await one.find(token, now + RETRY)).name == "app"
    web.down = True
    later = now + RETRY + REFRESH
    assert one.stale(later)
    assert not await one.refresh(later)
    assert issuer_still_reads(one, await provider.token(), now)
    assert not one.stale(later + RETRY - 1) and one.stale(later + RETRY)


def issuer_still_reads(one: Issuer, token: str, now: float) -> bool:
    return one.read(token, now + 1).name == "app"


@pytest.mark.parametrize(
    "answers",
    [
        {"openid-configuration": b"<html>"},
        {"openid-configuration": b"[]"},
        {"openid-configuration": b'{"issuer": "https://evil.example", "jwks_uri": "%s/jwks"}'},
        {"openid-configuration": b'{"issuer": "%s", "jwks_uri": "http://10.0.0.1/jwks"}'},
        {"openid-configuration": b'{"issuer": "%s", "jwks_uri": "file:///etc/passwd"}'},
        {"openid-configuration": b'{"issuer": "%s"}'},
        {"jwks": b"{}"},
        {"jwks": b'{"keys": []}'},
        {"jwks": b'{"keys": [5, {"kty": "oct", "k": "AAAA", "kid": "first"}, {"kty": "RSA"}]}'},
        {"jwks": b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}'},
    ],
)
async def test_a_damaged_answer_of_the_issuer_changes_nothing(
    provider: Provider, answers: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    web = Web()
    provider.serve(new_key("RS256", "first"))

    async def fetch(url: str) -> bytes:
        broken = answers.get(url.rpartition("/")[2]) if damaged else None
        if broken is None:
            return await web.fetch(url)
        return broken.replace(b"%s", provider.url.encode())

    one = Issuer(OidcSettings(issuer=provider.url, audience=AUDIENCE, default_workspace="w"), fetch)
    now = time.time()
    damaged = False
    assert await one.refresh(now)
    damaged = True
    assert not await one.refresh(now + REFRESH)
    assert "cannot be read" in caplog.text
    assert all(url.startswith(provider.url) for url in web.fetched)
    assert one.read(await provider.token(), now + 1).workspace == "w"


async def test_keys_at_an_address_of_the_settings(provider: Provider, web: Web) -> None:
    one = issuer(provider, web, jwks_uri=provider.url + "/jwks")
    assert (await one.find(await provider.token(), time.time())).name == "app"
    assert web.fetched == [provider.url + "/jwks"]


async def test_no_workspace_no_entry(provider: Provider, web: Web) -> None:
    for changes, expected in (
        ({"claims": {"workspace": "nothing"}}, None),
        ({"claims": {"workspace": "realm_access"}, "default_workspace": "w"}, None),
        ({"claims": {"workspace": "nothing"}, "default_workspace": "w"}, "w"),
        ({"claims": {}, "default_workspace": "w"}, "w"),
    ):
        one = issuer(provider, web, **changes)
        await one.refresh(time.time())
        if expected is None:
            assert refusal(one, await provider.token()) == "workspace"
        else:
            assert one.read(await provider.token(), time.time()).workspace == expected


async def test_roles_and_scopes_as_the_settings_say(provider: Provider, web: Web) -> None:
    as_they_are = issuer(provider, web, roles={})
    narrowed = issuer(provider, web, claims={"workspace": "org", "scopes": "scope"})
    for one in (as_they_are, narrowed):
        await one.refresh(time.time())
    token = await provider.token()
    assert as_they_are.read(token, time.time()).roles == ("ml-team", "unknown-team")
    claims = narrowed.read(token, time.time())
    assert (claims.roles, claims.scopes) == ((), ("model:read",))
