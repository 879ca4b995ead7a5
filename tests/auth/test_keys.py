import hmac
import time

import pytest

from modelyard.auth.keys import Key, KeyRing, digest, new_secret
from modelyard.protocol.errors import Failure


def test_secrets_are_long_and_differ() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(secret.startswith("my-") and len(secret) == 46 for secret in made)


def test_a_ring_of_another_pepper_knows_nothing() -> None:
    secret = new_secret()
    keys = {digest(b"a" * 32, secret): Key(id="k", workspace="w", scopes=())}
    assert KeyRing(b"a" * 32, keys).find(secret).id == "k"
    with pytest.raises(Failure, match="unknown"):
        KeyRing(b"b" * 32, keys).find(secret)


@pytest.mark.parametrize("secret", [None, "", "my-x", "ü\0"])
def test_what_is_no_key_is_401(secret: str | None) -> None:
    with pytest.raises(Failure) as raised:
        KeyRing(b"a" * 32, {}).find(secret)
    assert raised.value.status == 401


def test_expiry() -> None:
    now = time.time()
    key = Key(id="k", workspace="w", scopes=(), expires_at=now + 5)
    ring = KeyRing(b"a" * 32, {digest(b"a" * 32, "s"): key})
    assert ring.find("s", now + 4.9) is key
    with pytest.raises(Failure, match="expired"):
        ring.find("s", now + 5)


def test_who_was_found_before_is_found_until_it_expires_and_in_this_ring_alone() -> None:
    now, pepper = time.time(), b"a" * 32
    key = Key(id="k", workspace="w", scopes=(), expires_at=now + 5)
    ring = KeyRing(pepper, {digest(pepper, "s"): key})
    assert [ring.find("s", now + at) for at in (0, 4.9)] == [key, key]
    for again in (5, 6):
        with pytest.raises(Failure, match="expired"):
            ring.find("s", now + again)
    for other in ("S", "s ", "t"):
        with pytest.raises(Failure, match="unknown"):
            ring.find(other, now)
    with pytest.raises(Failure, match="unknown"):
        KeyRing(pepper, {}).find("s", now)


def test_a_token_is_read_each_time_it_is_looked_for() -> None:
    readings = iter(["viewer", "admin"])

    def read(_token: str, _now: float) -> Key:
        return Key(id="user_1", workspace="w", scopes=(), roles=(next(readings),))

    ring = KeyRing(b"a" * 32, {}, read)
    assert [ring.find("eyJ.x.y", 1.0).roles for _ in range(2)] == [("viewer",), ("admin",)]


def test_the_ring_forgets_nothing_and_asks_a_tokens_reader_once() -> None:
    asked: list[tuple[str, float]] = []

    def read(token: str, now: float) -> Key:
        asked.append((token, now))
        return Key(id="user_1", workspace="w", scopes=("model:read",), expires_at=110)

    ring = KeyRing(b"a" * 32, {}, read)
    for now in (100.0, 105.0, 109.9):
        assert ring.allowed("eyJ.x.y", "model:read", now).id == "user_1"
    assert asked == [("eyJ.x.y", 100.0)]
    ring.allowed("eyJ.x.y", "model:read", 110.0)
    assert len(asked) == 2, "it had expired"
    with pytest.raises(Failure) as raised:
        ring.allowed("eyJ.x.y", "model:write", 100.0)
    assert raised.value.status == 403


@pytest.mark.parametrize("size", [0, 1, 32, 63, 64, 65, 200])
@pytest.mark.parametrize("secret", ["", "my-x", "ünï" * 50])
def test_a_digest_is_hmac_sha256(size: int, secret: str) -> None:
    pepper = bytes(range(size))
    assert digest(pepper, secret) == hmac.digest(pepper, secret.encode(), "sha256")
