"""Signed requests: signed by the published library, and by the RFC's own test cases."""

import base64
import datetime
import hashlib
from typing import Any, ClassVar

import pytest
from http_message_signatures import ContentDigest
from hypothesis import assume, given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from auth import rfc9421
from auth.signer import BODY, NOW, SIGNERS, URL, public, signed, with_field
from modelyard.auth import messages, signatures
from modelyard.auth.signatures import WINDOW, Request, accept_signature, demanded
from modelyard.auth.signed import Unsigned
from modelyard.protocol.errors import Failure

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")


class Nonces:
    """Those that were used, by key."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], float] = {}

    async def first_use(self, keyid: str, nonce: str, until: float) -> bool:
        new = (keyid, nonce) not in self.kept
        self.kept.setdefault((keyid, nonce), until)
        return new


async def verify(
    request: Request,
    name: str = "ed25519",
    *,
    now: float = NOW,
    nonces: Nonces | None = None,
    keyid: str = "k1",
) -> None:
    keys = {keyid: public(name)}
    await signatures.verify(request, keys.get, (nonces or Nonces()).first_use, now)


async def refusal(request: Request, name: str = "ed25519", **more: Any) -> str:
    with pytest.raises(Failure) as raised:
        await verify(request, name, **more)
    failure = raised.value
    assert failure.code.symbol == "UNAUTHENTICATED"
    assert failure.details["accept_signature"].startswith('sig1=("@method" "@target-uri"')
    return str(failure.details["reason"])


@pytest.mark.parametrize("name", SIGNERS)
async def test_every_algorithm(name: str) -> None:
    nonces = Nonces()
    await verify(signed(name), name, nonces=nonces)
    assert nonces.kept == {("k1", "n1"): NOW + WINDOW}
    for other in SIGNERS:
        if SIGNERS[other][1] is not SIGNERS[name][1]:
            assert await refusal(signed(name), other) == "signature"


async def test_the_algorithm_of_the_key_is_not_the_requests_choice() -> None:
    assert await refusal(signed("rsa-pss"), "rsa-v1_5") == "signature"
    assert await refusal(signed("rsa-v1_5"), "rsa-pss") == "signature"
    await verify(signed("rsa-pss", include_alg=False), "rsa-pss by the request")
    await verify(signed("rsa-v1_5", include_alg=False), "rsa-v1_5")


@pytest.mark.parametrize("case", rfc9421.CASES)
def test_the_rfcs_own_cases(case: str) -> None:
    request = rfc9421.request(case)
    stated = messages.stated(request, "modelyard")
    assert stated.created == rfc9421.CREATED
    if "content-digest" in stated.covered:
        messages.check(request, stated, rfc9421.KEYS[stated.keyid])
    with pytest.raises(Unsigned):
        messages.check(request, stated, rfc9421.KEYS["test-key-ecc-p256"])


@pytest.mark.parametrize("case", ["B.2.1", "B.2.5", "B.2.6"])
def test_the_rfcs_cases_that_do_not_cover_the_body(case: str) -> None:
    request = with_field(rfc9421.request(case, b""), b"content-digest", None)
    stated = messages.stated(request, "modelyard")
    messages.check(request, stated, rfc9421.KEYS[stated.keyid])
    changed = Request(request.method, "https://example.org/bar", request.headers)
    if case == "B.2.1":
        messages.check(changed, stated, rfc9421.KEYS[stated.keyid])  # it covers nothing at all
    else:
        with pytest.raises(Unsigned, match="does not fit"):
            messages.check(changed, stated, rfc9421.KEYS[stated.keyid])


async def test_the_rfcs_cases_are_not_enough_for_us() -> None:
    """None of them covers all that we demand."""
    missing = {}
    for case in rfc9421.CASES:
        with pytest.raises(Failure) as raised:
            await signatures.verify(
                rfc9421.request(case), rfc9421.KEYS.get, Nonces().first_use, rfc9421.CREATED
            )
        assert raised.value.details["reason"] == "incomplete"
        missing[case] = raised.value.details["missing"]
    assert missing == {
        "B.2.1": ["@method", "@target-uri", "content-digest"],
        "B.2.2": ["@method", "@target-uri", "nonce"],
        "B.2.3": ["nonce"],
        "B.2.5": ["@method", "@target-uri", "content-digest", "nonce"],
        "B.2.6": ["@target-uri", "content-digest", "nonce"],
    }


@pytest.mark.parametrize(
    ("request_", "missing"),
    [
        (signed(covered=("@target-uri", "content-digest")), ["@method"]),
        (signed(covered=("@method", "content-digest")), ["@target-uri"]),
        (signed(covered=("@method", "@path", "@query", "content-digest")), ["@target-uri"]),
        (signed(covered=("@method", "@authority", "@path", "content-digest")), ["@target-uri"]),
        (signed(covered=("@method", "@target-uri")), ["content-digest"]),
        (signed(nonce=None), ["nonce"]),
        (signed(nonce=""), ["nonce"]),
        (Request("POST", URL, [], BODY), ["signature"]),
    ],
)
async def test_what_is_missing_is_told(request_: Request, missing: list[str]) -> None:
    with pytest.raises(Failure) as raised:
        await verify(request_)
    assert raised.value.details["missing"] == missing
    assert raised.value.details["accept_signature"] == accept_signature(digested=True)


async def test_other_ways_to_cover_the_address() -> None:
    parts = ("@method", "@authority", "@path", "@query", "content-digest", "content-type")
    await verify(signed(covered=parts, headers={"Content-Type": "application/json"}))
    await verify(signed(method="GET", body=b"", covered=("@method", "@target-uri")))
    await verify(signed(method="DELETE", body=b"", url="https://ai.example.com/v1/auth/keys/k"))


@pytest.mark.parametrize(
    "changed",
    [
        Request("PUT", URL, signed().headers, BODY),
        Request("POST", URL + "x", signed().headers, BODY),
        Request("POST", URL.replace("https", "http"), signed().headers, BODY),
        Request("POST", "no address", signed().headers, BODY),
        Request("post", URL, signed().headers, BODY),
    ],
)
async def test_another_request_does_not_fit_the_signature(changed: Request) -> None:
    assert await refusal(changed) == "signature"


async def test_another_body_is_refused() -> None:
    good = signed()
    assert await refusal(Request("POST", URL, good.headers, BODY + b" ")) == "digest"
    assert await refusal(Request("POST", URL, good.headers, b"")) == "digest"
    other = hashlib.sha256(b"other").digest()
    digest = b"sha-256=:" + base64.b64encode(other) + b":"
    assert await refusal(with_field(good, b"content-digest", digest)) == "signature"


class Sha512(ContentDigest):
    algorithm = "sha-512"


class Md5(ContentDigest):
    algorithm = "md5"
    _hashers: ClassVar = {"md5": hashlib.md5}


async def test_which_digests_are_taken() -> None:
    await verify(signed(digest=Sha512))
    assert await refusal(signed(digest=Md5)) == "digest"
    hashed = [hashlib.sha512(BODY).digest(), hashlib.sha256(BODY).digest()]
    long, short = (base64.b64encode(one).decode() for one in hashed)
    both = {"Content-Digest": f"sha-512=:{long}:, sha-256=:{short}:"}
    covered = ("@method", "@target-uri", '"content-digest"')
    await verify(signed(covered=covered, headers=both, use_existing_digest=True))
    half = {"Content-Digest": f"sha-512=:{long}:, sha-256=:{short[::-1]}:"}
    assert half != both
    wrong = with_field(
        signed(covered=covered, headers=both, use_existing_digest=True),
        b"content-digest",
        half["Content-Digest"].encode(),
    )
    assert await refusal(wrong) == "signature"


async def test_a_part_of_a_field_does_not_count_as_the_field() -> None:
    digest = {
        "Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"
    }
    covered = ("@method", "@target-uri", '"content-digest";key="sha-256"')
    part = signed(covered=covered, headers=digest, use_existing_digest=True)
    assert await refusal(part) == "incomplete"


async def test_time() -> None:
    await verify(signed(at=NOW - WINDOW + 1))
    await verify(signed(at=NOW + 59))
    assert await refusal(signed(at=NOW - WINDOW)) == "expired"
    assert await refusal(signed(at=NOW + 61)) == "not_yet_valid"
    ends = datetime.datetime.fromtimestamp(NOW + 10, datetime.UTC)
    await verify(signed(expires=ends), now=NOW + 9)
    assert await refusal(signed(expires=ends), now=NOW + 10) == "expired"


async def test_sent_twice() -> None:
    nonces = Nonces()
    await verify(signed(), nonces=nonces)
    assert await refusal(signed(), nonces=nonces) == "replayed"
    await verify(signed(nonce="n2"), nonces=nonces)


async def test_a_forged_request_uses_up_no_nonce() -> None:
    nonces = Nonces()
    forged = Request("PUT", URL, signed().headers, BODY)
    assert await refusal(forged, nonces=nonces) == "signature"
    await verify(signed(), nonces=nonces)


async def test_a_key_that_the_sender_does_not_have() -> None:
    with pytest.raises(Failure) as raised:
        await verify(signed(), keyid="another")
    assert raised.value.code.symbol == "PERMISSION_DENIED"
    assert "'k1'" in raised.value.message


async def test_several_signatures_are_told_apart_by_the_tag() -> None:
    ours = signed(tag="modelyard")
    theirs = signed("p256", label="proxy", tag="proxy", nonce=None)
    both = [
        (
            name,
            b", ".join(
                value for one in (theirs, ours) for key, value in one.headers if key == name
            ),
        )
        for name in (b"Signature", b"Signature-Input")
    ]
    headers = [line for line in ours.headers if not line[0].startswith(b"Signature")] + both
    request = Request("POST", URL, headers, BODY)
    await verify(request)
    untagged = signed()
    without = [line for line in untagged.headers if not line[0].startswith(b"Signature")]
    for name in (b"Signature", b"Signature-Input"):
        values = [v for one in (theirs, untagged) for k, v in one.headers if k == name]
        without += [(name, value) for value in values]
    assert await refusal(Request("POST", URL, without, BODY)) == "malformed"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (b"signature", None, "unsigned"),
        (b"signature-input", None, "unsigned"),
        (b"signature", b"?", "signature"),
        (b"signature", b"sig1=5", "signature"),
        (b"signature", b"sig2=:AAAA:", "signature"),
        (b"signature", b"sig1=::", "signature"),
        (b"signature-input", b"", "malformed"),
        (b"signature-input", b"\xff", "malformed"),
        (b"signature-input", b"sig1=5", "malformed"),
        (b"signature-input", b"sig1=();created=x", "malformed"),
        (b"signature-input", b"sig1=();created=1.5", "malformed"),
        (b"signature-input", b"sig1=();nonce=5", "malformed"),
        (b"signature-input", b"sig1=(5)", "incomplete"),
    ],
)
async def test_damaged_fields(name: bytes, value: bytes | None, expected: str) -> None:
    assert await refusal(with_field(signed(), name, value)) == expected


async def test_a_long_nonce_is_refused() -> None:
    await verify(signed(nonce="n" * 256))
    assert await refusal(signed(nonce="n" * 257)) == "malformed"


GOOD = signed()


@given(st.data())
async def test_any_tampered_byte_is_refused(data: st.DataObject) -> None:
    names = [b"signature", b"signature-input", b"content-digest"]
    name = data.draw(st.sampled_from(names))
    value = next(line[1] for line in GOOD.headers if line[0].lower() == name)
    place = data.draw(st.integers(0, len(value) - 1))
    # Four bits of the last digit before "==:" are padding: with others it is the same signature
    # (RFC 9651, section 4.2.7), and its nonce is as used.
    assume(name != b"signature" or place != len(value) - 4)
    other = data.draw(st.sampled_from([byte for byte in range(33, 127) if byte != value[place]]))
    changed = value[:place] + bytes([other]) + value[place + 1 :]
    with pytest.raises(Failure) as raised:
        await verify(with_field(GOOD, name, changed))
    assert raised.value.status in (401, 403)


@given(st.binary(max_size=60), st.binary(max_size=60))
async def test_whatever_is_sent_is_answered(stated: bytes, signature: bytes) -> None:
    headers = [(b"signature-input", stated), (b"signature", signature)]
    with pytest.raises(Failure):
        await verify(Request("GET", URL, headers))


@pytest.mark.parametrize(
    ("jwk", "told"),
    [
        ({}, "cannot be used"),
        ({"kty": "OKP"}, "cannot be used"),
        ({"kty": "OKP", "crv": "X25519", "x": "A" * 43}, "curve"),
        ({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, "cannot be used"),
        (dict(ECKey.generate_key("P-521", private=False).as_dict()), "curve"),
        (dict(RSAKey.generate_key(1024, private=False).as_dict()), "2048 bits"),
        ({"kty": "oct", "k": "AAAA"}, "32 bytes"),
        ({"kty": "oct", "k": 5}, "cannot be used"),
        (dict(ECKey.generate_key("P-256", private=True).as_dict(private=True)), "private half"),
    ],
)
def test_keys_that_cannot_be_registered(jwk: dict[str, Any], told: str) -> None:
    with pytest.raises(Failure) as raised:
        signatures.check_signing_key(jwk)
    assert raised.value.status == 400
    assert raised.value.details["field"] == "signing_key"
    assert told in raised.value.message


@pytest.mark.parametrize("name", SIGNERS)
def test_keys_that_can(name: str) -> None:
    signatures.check_signing_key(public(name))


@pytest.mark.parametrize(
    ("permission", "patterns", "expected"),
    [
        ("key:write", [], False),
        ("key:write", ["key:write"], True),
        ("key:write", ["key:*"], True),
        ("key:write", ["*:write"], True),
        ("key:write", ["*:*"], True),
        ("key:write", ["key:read", "user:*"], False),
        ("key:rotate", ["key:write"], True),
        ("key:rotate", ["*:write"], True),
        ("key:read", ["key:write", "*:write"], False),
        ("key:read", ["*:read"], True),
    ],
)
def test_what_must_be_signed(permission: str, patterns: list[str], expected: bool) -> None:
    assert demanded(permission, patterns) is expected
