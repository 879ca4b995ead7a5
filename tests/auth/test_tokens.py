import base64
import json
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from modelyard.auth import jose, signing
from modelyard.auth.keys import Key, KeyRing, Limits, digest
from modelyard.auth.sealed import Box, Unsealable
from modelyard.auth.signing import INTRODUCED, LONGEST, PERIOD, SigningKeys, fresh
from modelyard.auth.tokens import Claims, Tokens, caller
from modelyard.protocol.errors import Failure

BOX = Box(b"p" * 32)
NOW = 1_800_000_000
ISSUER = "https://ai.example.com"
KEYS = SigningKeys(keys=(fresh(BOX, NOW - 1000),))
TOKENS = Tokens(ISSUER, KEYS, BOX)
ADA = Claims(
    sub="auth/users/user_1",
    workspace="default",
    roles=("ml_engineer",),
    attributes={"department": "care", "clearance_level": 3},
)


def reason(token: str, now: float = NOW, tokens: Tokens = TOKENS) -> str:
    with pytest.raises(Failure) as raised:
        tokens.read(token, now)
    assert raised.value.code.symbol == "UNAUTHENTICATED"
    return str(raised.value.details["reason"])


def forged(header: dict[str, Any], key: Any = None, **changes: Any) -> str:
    """A token signed by ``key`` (ours, when left out) that says something else."""
    private = jose.private_key(BOX.open(signing.purpose(KEYS.keys[0].kid), KEYS.keys[0].sealed))
    claims = {
        "iss": ISSUER,
        "aud": "modelyard",
        "sub": "auth/users/user_1",
        "workspace": "default",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 60,
    }
    head = {"alg": "ES256", "kid": KEYS.keys[0].kid, "typ": "at+jwt"} | header
    kept = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(head, kept, key or private, algorithms=["ES256", "HS256", "ES384"])


def test_a_token_says_what_it_was_issued_for() -> None:
    token = TOKENS.issue(ADA, 3600, NOW)
    claims = TOKENS.read(token, NOW + 1)
    assert (claims.sub, claims.workspace, claims.roles) == (ADA.sub, "default", ("ml_engineer",))
    assert claims.attributes == {"department": "care", "clearance_level": 3}
    assert (claims.iss, claims.aud, claims.client_id) == (ISSUER, "modelyard", "user_1")
    assert (claims.iat, claims.nbf, claims.exp) == (NOW, NOW, NOW + 3600)
    assert len(claims.jti) == 24
    assert claims.scopes is None
    assert TOKENS.read(TOKENS.issue(ADA, 3600, NOW), NOW).jti != claims.jti


def test_another_implementation_verifies_it_by_our_jwks() -> None:
    token = TOKENS.issue(ADA, 3600, NOW)
    published = signing.jwks(KEYS, BOX, NOW)
    [key] = published["keys"]
    assert {name: key[name] for name in ("kty", "crv", "use", "alg", "kid")} == {
        "kty": "EC",
        "crv": "P-256",
        "use": "sig",
        "alg": "ES256",
        "kid": KEYS.keys[0].kid,
    }
    assert "d" not in key
    found = jwt.decode(token, KeySet.import_key_set(published), algorithms=["ES256"])
    assert found.header["typ"] == "at+jwt"
    assert found.claims["sub"] == ADA.sub


def test_it_ends_when_it_ends_and_is_remembered_until_then() -> None:
    token = TOKENS.issue(ADA, 60, NOW)
    assert TOKENS.read(token, NOW + 59.9) is TOKENS.read(token, NOW + 59.9)
    assert reason(token, NOW + 60) == "expired"


def test_a_token_from_the_future_waits() -> None:
    token = TOKENS.issue(ADA, 60, NOW + 30)
    assert reason(token, NOW) == "not_yet_valid"
    assert TOKENS.read(token, NOW + 26).sub == ADA.sub


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("", "malformed"),
        ("a.b", "malformed"),
        ("a.b.c.d", "malformed"),
        ("..", "malformed"),
        ("ey.ey.ey", "malformed"),
        ("é.é.é", "malformed"),
        ("e30.e30.e30", "malformed"),
        (base64.urlsafe_b64encode(b'{"alg":5}').decode() + ".e30.e30", "malformed"),
        (base64.urlsafe_b64encode(b"[" * 900).decode() + ".e30.e30", "malformed"),
        ("ey" + "A" * 33_000 + ".e30.e30", "malformed"),
        (forged({"kid": "another"}), "unknown_key"),
        (forged({"typ": "JWT"}), "algorithm"),
        (forged({}, iss="https://evil.example"), "issuer"),
        (forged({}, iss=None), "issuer"),
        (forged({}, aud="another"), "audience"),
        (forged({}, aud=["modelyard"]), "malformed"),
        (forged({}, exp=None), "expired"),
        (forged({}, exp="9999999999"), "malformed"),
        (forged({}, sub=None), "malformed"),
        (forged({}, workspace=5), "malformed"),
        (forged({}, key=ECKey.generate_key("P-256", private=True)), "signature"),
        (forged({"alg": "ES384"}, key=ECKey.generate_key("P-384", private=True)), "algorithm"),
    ],
)
def test_what_is_refused_and_why(token: str, expected: str) -> None:
    assert reason(token) == expected


def test_no_signature_and_a_public_key_as_a_secret_are_refused() -> None:
    token = TOKENS.issue(ADA, 60, NOW)
    body = token.split(".")[1]
    for alg in ("none", "None", "NONE", ""):
        head = {"alg": alg, "kid": KEYS.keys[0].kid, "typ": "at+jwt"}
        part = base64.urlsafe_b64encode(json.dumps(head).encode()).decode().rstrip("=")
        assert reason(f"{part}.{body}.") == "algorithm"
    public = json.dumps(signing.jwks(KEYS, BOX, NOW)["keys"][0])
    confused = forged({"alg": "HS256"}, key=OctKey.import_key(public.encode()))
    assert reason(confused) == "algorithm"
    assert reason(token.rpartition(".")[0] + ".") == "signature"


@given(st.data())
def test_any_tampered_character_is_refused(data: st.DataObject) -> None:
    token = TOKENS.issue(ADA, 60, NOW)
    place = data.draw(st.integers(0, len(token) - 1))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/"
    other = data.draw(st.sampled_from(alphabet.replace(token[place], "")))
    assert reason(token[:place] + other + token[place + 1 :])


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_garbage_is_refused(head: str, body: str, signature: str) -> None:
    assert reason(f"{head}.{body}.{signature}") in ("malformed", "algorithm")


@given(st.binary(max_size=80))
def test_any_header_is_refused_or_understood(content: bytes) -> None:
    head = base64.urlsafe_b64encode(content).decode().rstrip("=")
    assert reason(f"{head}.e30.AAAA") in ("malformed", "algorithm", "unknown_key")


@pytest.mark.parametrize("lifetime", [0, -1, LONGEST + 1])
def test_lifetimes_are_bounded(lifetime: int) -> None:
    with pytest.raises(ValueError, match="seconds"):
        TOKENS.issue(ADA, lifetime, NOW)


def test_without_a_key_nothing_is_issued() -> None:
    none = Tokens(ISSUER, SigningKeys(), BOX)
    with pytest.raises(ValueError, match="no signing key"):
        none.issue(ADA, 60, NOW)
    assert reason(TOKENS.issue(ADA, 60, NOW), tokens=none) == "unknown_key"
    assert signing.due(SigningKeys(), NOW)


def test_keys_change_every_month_and_no_token_is_lost() -> None:
    first = signing.rotated(SigningKeys(), BOX, NOW)
    assert not signing.due(first, NOW + PERIOD - 1)
    change = NOW + PERIOD
    assert signing.due(first, change)
    both = signing.rotated(first, BOX, change)
    old, new = both.keys
    assert old.kid == first.keys[0].kid != new.kid
    before = Tokens(ISSUER, first, BOX)
    after = Tokens(ISSUER, both, BOX)
    # Whoever has not heard of the new key yet needs it only once it has been introduced.
    early = after.issue(ADA, LONGEST, change + INTRODUCED - 1)
    assert before.read(early, change + INTRODUCED).sub == ADA.sub
    late = after.issue(ADA, LONGEST, change + INTRODUCED)
    assert reason(late, change + INTRODUCED, before) == "unknown_key"
    end = change + INTRODUCED + LONGEST
    assert after.read(early, end - 2).sub == after.read(late, end - 2).sub == ADA.sub
    fresh_look = Tokens(ISSUER, both, BOX)
    assert fresh_look.read(early, end - 2).sub == ADA.sub
    retired = old.retires_at
    assert retired is not None and end < retired < end + 2 * 3600
    assert len(signing.jwks(both, BOX, retired - 1)["keys"]) == 2
    assert [key["kid"] for key in signing.jwks(both, BOX, retired)["keys"]] == [new.kid]
    third = signing.rotated(both, BOX, change + PERIOD)
    assert third.keys[0].kid == new.kid and len(third.keys) == 2


def test_a_second_rotation_does_not_keep_the_oldest_longer() -> None:
    one = signing.rotated(SigningKeys(), BOX, NOW)
    two = signing.rotated(one, BOX, NOW + 100)
    three = signing.rotated(two, BOX, NOW + 200)
    assert three.keys[0].retires_at == two.keys[0].retires_at
    assert len(three.keys) == 3


def test_kept_as_a_document_without_any_secret_in_the_clear() -> None:
    spec = json.loads(json.dumps(signing.to_spec(KEYS)))
    assert signing.from_spec(spec) == KEYS
    assert set(spec["keys"][0]) == {"kid", "sealed", "created_at", "retires_at"}
    private = json.loads(BOX.open(signing.purpose(KEYS.keys[0].kid), KEYS.keys[0].sealed))
    assert private["d"] not in json.dumps(spec)
    with pytest.raises(ValueError):
        signing.from_spec({"keys": [{"kid": "x"}]})


def test_a_key_cannot_take_anothers_place_or_be_read_elsewhere() -> None:
    other = Box(b"q" * 32)
    token = TOKENS.issue(ADA, 60, NOW)
    assert reason(token, tokens=Tokens(ISSUER, KEYS, other)) == "unknown_key"
    with pytest.raises(Unsealable):
        signing.jwks(KEYS, other, NOW)
    spec = signing.to_spec(KEYS)
    spec["keys"][0]["kid"] = "0" * 16
    with pytest.raises(Unsealable):
        Tokens(ISSUER, signing.from_spec(spec), BOX).issue(ADA, 60, NOW)


def test_its_owner_is_a_caller_with_the_default_limits() -> None:
    token = TOKENS.issue(ADA, 60, NOW)
    key = caller(TOKENS.read(token, NOW))
    assert (key.id, key.kind, key.subject) == ("user_1", "user", "auth/users/user_1")
    assert (key.workspace, key.roles, key.scopes) == ("default", ("ml_engineer",), ())
    assert key.attributes == {"department": "care", "clearance_level": 3}
    assert (key.limits, key.expires_at) == (Limits(), NOW + 60)


def ring() -> tuple[KeyRing, list[str]]:
    """A ring with one key whose secret looks like a token, and what was read as a token."""
    read: list[str] = []

    def tokens(secret: str, now: float) -> Key:
        read.append(secret)
        return caller(TOKENS.read(secret, now))

    odd = Key(id="odd", workspace="default", scopes=("*:*",))
    return KeyRing(b"p" * 32, {digest(b"p" * 32, "ey.x.y"): odd}, tokens), read


def test_the_ring_knows_tokens_beside_keys() -> None:
    keys, read = ring()
    token = TOKENS.issue(ADA, 60, NOW)
    assert keys.find(token, NOW).id == "user_1"
    assert keys.find("ey.x.y", NOW).id == "odd"
    assert read == [token]
    with pytest.raises(Failure, match="unknown or was revoked"):
        keys.find("my-a.b.c", NOW)
    with pytest.raises(Failure, match="expired"):
        keys.find(token, NOW + 60)


def test_the_ring_without_tokens_refuses_them() -> None:
    with pytest.raises(Failure, match="unknown"):
        KeyRing(b"p" * 32, {}).find(TOKENS.issue(ADA, 60, NOW), NOW)


def test_a_narrowed_token_may_do_no_more_than_it_was_narrowed_to() -> None:
    narrow = Claims(
        sub="auth/users/sa_1",
        workspace="w",
        kind="service_account",
        grants=("*:*",),
        scope="model:read inference:*",
    )
    claims = TOKENS.read(TOKENS.issue(narrow, 60, NOW), NOW)
    assert claims.scopes == ("model:read", "inference:*")
    key = caller(claims)
    assert key.narrowed == ("model:read", "inference:*")
    assert (key.kind, key.scopes) == ("service_account", ("*:*",))
    assert not key.withheld("model:read") and not key.withheld("inference:create")
    assert key.withheld("model:write")
    none = Key(id="k", workspace="w", scopes=("*:*",), narrowed=())
    assert none.withheld("model:read")
    assert not Key(id="k", workspace="w", scopes=("*:*",)).withheld("model:write")


def test_a_repeated_token_costs_little() -> None:
    first = again = 9.0
    for _ in range(20):
        token = TOKENS.issue(ADA, 60, NOW)
        start = time.perf_counter()
        TOKENS.read(token, NOW)
        first = min(first, time.perf_counter() - start)
        start = time.perf_counter()
        for _ in range(100):
            TOKENS.read(token, NOW)
        again = min(again, (time.perf_counter() - start) / 100)
    assert again < first / 5, "it was verified again"


def test_the_server_starts_without_the_heavy_libraries() -> None:
    check = (
        "import sys, modelyard.auth.keys, modelyard.auth.tokens, modelyard.auth.signing, "
        "modelyard.auth.sealed, modelyard.auth.passwords\n"
        "print([m for m in ('joserfc', 'cryptography', 'http_message_signatures') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
