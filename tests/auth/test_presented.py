import time

import pytest

from modelyard.auth.keys import Key, KeyRing, digest, new_secret, presented
from modelyard.kernel.errors import Failure


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ([], None),
        ([(b"authorization", b"Bearer my-1")], "my-1"),
        ([(b"authorization", b"bearer  my-1 ")], "my-1"),
        ([(b"x-api-key", b"my-2")], "my-2"),
        ([(b"x-api-key", b"my-2"), (b"authorization", b"Bearer my-1")], "my-1"),
        ([(b"x-api-key", b"my-2"), (b"authorization", b"Basic eDp5")], "my-2"),
        ([(b"authorization", b"Basic eDp5")], None),
        ([(b"authorization", b"Bearer")], ""),
        ([(b"x-api-key", b"\xff\x00")], "ÿ\0"),
    ],
)
def test_where_a_key_is_found(headers: list[tuple[bytes, bytes]], secret: str | None) -> None:
    assert presented(dict(headers)) == secret


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
