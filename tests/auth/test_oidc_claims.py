"""Tokens as no real issuer gives them out: forged, damaged, or of odd contents."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry

from auth.issuer import AUDIENCE, CLAIMS, refusal
from modelyard.auth.foreign import owner
from modelyard.auth.oidc import Issuer
from modelyard.protocol.errors import Failure
from modelyard.settings.auth import OidcSettings

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
KEY = RSAKey.generate_key(2048, private=True)
ISSUER = "https://login.example.com"


async def made(*keys: dict[str, Any], **changes: Any) -> Issuer:
    """An issuer with these keys whose documents come from here: for tokens it never gives out."""

    async def fetch(url: str) -> bytes:
        return json.dumps({"keys": list(keys) or [public(KEY)]}).encode()

    more = {"default_workspace": "w", "jwks_uri": ISSUER + "/jwks"} | changes
    one = Issuer(OidcSettings(issuer=ISSUER, audience=AUDIENCE, **more), fetch)
    await one.refresh(0)
    return one


def public(key: Any, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": "k"} | more


def token(key: Any = KEY, head: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": 2_000_000_000}
    header = {"alg": "RS256", "kid": "k"} | (head or {})
    told = {name: value for name, value in (claims | changes).items() if value is not None}
    names = ["RS256", "RS512", "PS256", "ES256", "ES384", "HS256"]
    lenient = JWSRegistry(algorithms=names, strict_check_header=False)
    return jwt.encode(header, told, key, registry=lenient, default_type=None)


def critical() -> str:
    """A token with a critical header parameter that nobody knows (RFC 7515, section 4.1.11)."""
    _, body, _ = token().split(".")
    head = json.dumps({"alg": "RS256", "kid": "k", "crit": ["exp"], "exp": 1}).encode()
    signed = base64.urlsafe_b64encode(head).rstrip(b"=") + b"." + body.encode()
    raw = KEY.private_key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return (signed + b"." + base64.urlsafe_b64encode(raw).rstrip(b"=")).decode()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (token(), None),
        (token(head={"typ": "JWT", "x5t": "a", "nonce": "b"}), None),
        (token(aud=["x", AUDIENCE]), None),
        (token(exp=1_999_999_999.5), None),
        (token(sub=None), "subject"),
        (token(sub=""), "subject"),
        (token(sub="x" * 256), "subject"),
        (token(sub=5), "subject"),
        (token(exp=None), "malformed"),
        (token(exp="soon"), "malformed"),
        (token(exp=True), "malformed"),
        (token(exp=1e308), "malformed"),
        (token(nbf=[]), "malformed"),
        (token(iat=1_900_000_000), "not_yet_valid"),
        (token(aud=[]), "audience"),
        (token(aud=None), "audience"),
        (token(aud=AUDIENCE + "x"), "audience"),
        (token(iss=None), "issuer"),
        (token(iss=ISSUER + "/"), "issuer"),
        (token(head={"typ": "logout+jwt"}), "algorithm"),
        (token(head={"alg": "RS512"}), "algorithm"),
        (token(head={"alg": "PS256"}), "algorithm"),
        (token(head={"kid": "other"}), "unknown_key"),
        (token(RSAKey.generate_key(2048, private=True)), "signature"),
        (token(ECKey.generate_key("P-256", private=True), {"alg": "ES256"}), "unknown_key"),
        (critical(), "signature"),
    ],
)
async def test_what_is_refused_and_why(sent: str, expected: str | None) -> None:
    one = await made()
    if expected is None:
        assert one.read(sent, 1_800_000_000).name == "ada"
    else:
        assert refusal(one, sent, 1_800_000_000) == expected


async def test_no_algorithm_is_confused() -> None:
    one = await made()
    secret = OctKey.import_key(json.dumps(public(KEY)).encode())
    assert refusal(one, token(secret, {"alg": "HS256"}), 1_800_000_000) == "algorithm"
    body = token().split(".")[1]
    for alg in ("none", "None", "NONE"):
        head = base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": "k"}).encode()).decode()
        assert refusal(one, f"{head.rstrip('=')}.{body}.", 1_800_000_000) == "algorithm"


async def test_nobody_is_taken_for_another() -> None:
    now = 1_800_000_000
    one = await made()
    names = {one.read(token(sub=sub), now).sub for sub in ("ada", "bob", "user_1")}
    assert len(names) == 3
    assert owner(ISSUER, "ada") != owner(ISSUER + "/", "ada")
    assert f"auth/users/{owner(ISSUER, 'ada')}" in names


@pytest.mark.parametrize(
    ("level", "expected"),
    [(3, 3), ("3", 3), ("x", None), (True, None), ([3], None), (2.5, None), ("9" * 10, None)],
)
async def test_a_clearance_is_a_whole_number(level: Any, expected: int | None) -> None:
    one = await made(claims={"clearance_level": "level"})
    assert one.read(token(level=level), 1_800_000_000).attributes.get("clearance_level") == expected


async def test_which_key_verifies() -> None:
    other = RSAKey.generate_key(2048, private=True)
    now = 1_800_000_000
    alone = await made(public(KEY, kid="only"))
    assert alone.read(token(head={"kid": ""}), now).name == "ada"
    two = await made(public(KEY, kid="a"), public(other, kid="b"))
    assert refusal(two, token(head={"kid": ""}), now) == "unknown_key"
    assert two.read(token(head={"kid": "a"}), now).name == "ada"
    for_another = await made(public(KEY, alg="PS256"), public(other, kid="b"))
    assert refusal(for_another, token(), now) == "unknown_key"
    encrypting = await made(public(KEY, use="enc"), public(other, kid="b"))
    assert refusal(encrypting, token(), now) == "unknown_key"
    short = await made(public(RSAKey.generate_key(1024, private=True)), public(other, kid="b"))
    assert refusal(short, token(), now) == "unknown_key"
    wrong_curve = ECKey.generate_key("P-384", private=True)
    curved = await made(public(wrong_curve))
    forged = token(ECKey.generate_key("P-256", private=True), {"alg": "ES256"})
    assert refusal(curved, forged, now) == "signature"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_tampered_character_is_refused(data: st.DataObject) -> None:
    one = await made()
    sent = token()
    place = data.draw(st.integers(0, len(sent) - 1))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/"
    other = data.draw(st.sampled_from(alphabet.replace(sent[place], "")))
    assert refusal(one, sent[:place] + other + sent[place + 1 :], 1_800_000_000)


@given(
    st.dictionaries(
        st.text(max_size=8).filter(lambda name: name not in ("key", "head")),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False)
            | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=4), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=4,
    )
)
async def test_any_claims_are_understood_or_refused(claims: dict[str, Any]) -> None:
    paths = {name: next(iter(claims), "a") for name in CLAIMS if name != "workspace"}
    paths |= {"name": "a.b", "scopes": "sub"}
    one = await made(claims=paths)
    sent = token(**claims)
    try:
        found = one.read(sent, 1_800_000_000)
    except Failure as failure:
        assert failure.status == 401
    else:
        assert all(type(role) is str for role in found.roles)
        assert all(type(value) in (str, int) for value in found.attributes.values())
