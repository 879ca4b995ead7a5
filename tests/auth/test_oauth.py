import base64
import json
from collections.abc import Callable
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given as example
from hypothesis import strategies as st

from modelyard.auth import oauth
from modelyard.auth.keys import Key, KeyRing, digest
from modelyard.auth.oauth import Refused
from modelyard.kernel.principal import granting
from modelyard.protocol.errors import Failure

FORM = {b"content-type": b"application/x-www-form-urlencoded"}
SECRET = "my-0123456789"
PEPPER = b"p" * 32
ROBOT = Key(id="key_1", workspace="w", scopes=("model:read", "inference:*"), subject="auth/users/r")
RING = KeyRing(PEPPER, {digest(PEPPER, SECRET): ROBOT})


def basic(name: str, secret: str) -> bytes:
    pair = f"{quote_plus(name)}:{quote_plus(secret)}"
    return b"Basic " + base64.b64encode(pair.encode())


def body(**more: str) -> bytes:
    return urlencode({"grant_type": "client_credentials"} | more).encode()


def may(permission: str) -> bool:
    """What the robot's policies say."""
    return not granting(permission).isdisjoint(ROBOT.scopes)


def refusal(work: Callable[[], object]) -> tuple[int, str, str]:
    """The status, the error and the description that a client reads."""
    with pytest.raises(Refused) as raised:
        work()
    answer = oauth.refused(raised.value)
    assert answer.headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in answer.headers) == (answer.status == 401)
    told = json.loads(answer.body)
    assert set(told) == {"error", "error_description"}
    assert '"' not in told["error_description"] and told["error_description"].isascii()
    return answer.status, told["error"], told["error_description"]


def test_by_the_body() -> None:
    ask = oauth.read(FORM, body(client_id="r", client_secret=SECRET))
    assert ask == oauth.TokenRequest("r", SECRET, None)


@example(st.text(min_size=1).filter(lambda text: ":" not in text), st.text(min_size=1))
def test_by_the_header_whatever_the_characters(name: str, secret: str) -> None:
    ask = oauth.read(FORM | {b"authorization": basic(name, secret)}, body(scope="model:read"))
    assert ask == oauth.TokenRequest(name, secret, ("model:read",))


def test_the_example_of_the_rfc() -> None:
    """RFC 6749, section 4.4.2."""
    fields = {
        b"authorization": b"Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW",
        b"content-type": b"application/x-www-form-urlencoded",
    }
    ask = oauth.read(fields, b"grant_type=client_credentials")
    assert ask == oauth.TokenRequest("s6BhdRkqt3", "gX1fBat3bV", None)


BASIC = {b"authorization": basic("r", SECRET)}


@pytest.mark.parametrize(
    ("fields", "sent", "status", "error"),
    [
        ({}, body(), 400, "invalid_request"),
        ({b"content-type": b"application/json"}, b"{}", 400, "invalid_request"),
        (FORM | BASIC, b"", 400, "invalid_request"),
        (FORM | BASIC, b"grant_type=", 400, "invalid_request"),
        (FORM | BASIC, b"grant_type=a&grant_type=b", 400, "invalid_request"),
        (FORM | BASIC, body(scope="a:b") + b"&scope=c:d", 400, "invalid_request"),
        (FORM | BASIC, b"grant_type=%ff", 400, "invalid_request"),
        (FORM | BASIC, b"\xff", 400, "invalid_request"),
        (FORM | BASIC, b"a=1&" * 101, 400, "invalid_request"),
        (FORM | BASIC, body(client_secret=SECRET), 400, "invalid_request"),
        (FORM | BASIC, body(client_id="another"), 400, "invalid_request"),
        (FORM | BASIC, b"grant_type=password", 400, "unsupported_grant_type"),
        (FORM | BASIC, b"grant_type=authorization_code&code=x", 400, "unsupported_grant_type"),
        (FORM | BASIC, body(scope="openid"), 400, "invalid_scope"),
        (FORM | BASIC, body(scope='a:b "c"'), 400, "invalid_scope"),
        (FORM | BASIC, body(scope=" "), 400, "invalid_scope"),
        (FORM | BASIC, body(scope=" ".join(f"a{n}:b" for n in range(65))), 400, "invalid_scope"),
        (FORM, body(), 401, "invalid_client"),
        (FORM, body(client_id="r"), 401, "invalid_client"),
        (FORM, body(client_id="", client_secret=SECRET), 401, "invalid_client"),
        (FORM | {b"authorization": b"Bearer x"}, body(), 401, "invalid_client"),
        (FORM | {b"authorization": b"Basic"}, body(), 401, "invalid_client"),
        (FORM | {b"authorization": b"Basic ?"}, body(), 401, "invalid_client"),
        (FORM | {b"authorization": b"Basic cg=="}, body(), 401, "invalid_client"),
        (FORM | {b"authorization": b"Basic /w=="}, body(), 401, "invalid_client"),
    ],
)
def test_what_is_refused(fields: dict[bytes, bytes], sent: bytes, status: int, error: str) -> None:
    told = refusal(lambda: oauth.read(fields, sent))
    assert told[:2] == (status, error)
    assert SECRET not in told[2]


def test_unknown_parameters_and_charsets_are_passed_over() -> None:
    fields = {b"content-type": b"Application/X-WWW-Form-Urlencoded; charset=UTF-8"} | BASIC
    ask = oauth.read(fields, body(resource="a", client_id="r") + b"&resource=b&scope=")
    assert ask == oauth.TokenRequest("r", SECRET, None)


@pytest.mark.parametrize("name", ["key_1", "auth/users/r", "r"])
def test_a_service_account_is_known_by_its_key(name: str) -> None:
    assert oauth.client(oauth.TokenRequest(name, SECRET, None), RING.find) is ROBOT


@pytest.mark.parametrize(
    ("name", "secret"),
    [("r", "wrong"), ("another", SECRET), ("", SECRET), ("r", ""), ("r", "eyJ.eyJ.x")],
)
def test_another_client_or_secret_is_401(name: str, secret: str) -> None:
    ask = oauth.TokenRequest(name, secret, None)
    assert refusal(lambda: oauth.client(ask, RING.find))[:2] == (401, "invalid_client")


def test_a_token_cannot_renew_itself() -> None:
    ring = KeyRing(PEPPER, {}, lambda token, now: ROBOT)
    ask = oauth.TokenRequest("r", "eyJ.eyJ.x", None)
    assert ring.find("eyJ.eyJ.x") is ROBOT
    assert refusal(lambda: oauth.client(ask, ring.find))[1] == "invalid_client"


def test_an_outage_is_not_a_wrong_secret() -> None:
    def find(secret: str) -> Key:
        raise Failure("SYSTEM_OVERLOADED", "busy")

    with pytest.raises(Failure, match="busy"):
        oauth.client(oauth.TokenRequest("r", SECRET, None), find)


def test_scopes_only_narrow() -> None:
    def ask(*scopes: str) -> oauth.TokenRequest:
        return oauth.TokenRequest("r", SECRET, scopes or None)

    assert oauth.narrowed(ask(), may) is None
    assert oauth.narrowed(ask("model:read"), may) == "model:read"
    wide = ask("inference:create", "inference:*")
    assert oauth.narrowed(wide, may) == "inference:create inference:*"
    for beyond in ("model:write", "*:*", "model:*", "key:read"):
        told = refusal(lambda scope=beyond: oauth.narrowed(ask("model:read", scope), may))
        assert told[:2] == (400, "invalid_scope")
        assert beyond in told[2]


def test_the_answer() -> None:
    answer = oauth.given("t", 3600, "model:read")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert json.loads(answer.body) == {
        "access_token": "t",
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "model:read",
    }
    assert "scope" not in json.loads(oauth.given("t", 3600, None).body)


@example(
    st.dictionaries(st.sampled_from([b"authorization", b"content-type"]), st.binary()), st.binary()
)
def test_whatever_is_sent_is_answered(fields: dict[bytes, bytes], sent: bytes) -> None:
    with pytest.raises(Refused):
        oauth.read(fields, sent)
    with pytest.raises(Refused):
        oauth.read(FORM | {b"authorization": b"Basic " + base64.b64encode(sent)}, sent)
