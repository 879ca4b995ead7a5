import asyncio
import threading
import time

import pytest
from argon2 import PasswordHasher

from modelyard.auth.passwords import (
    QUEUE,
    THREADS,
    Passwords,
    check_password,
    outdated,
)
from modelyard.protocol.errors import Failure

RIGHT = "a horse in the corridor"


@pytest.fixture
def passwords() -> Passwords:
    return Passwords()


async def test_the_right_password_and_no_other(passwords: Passwords) -> None:
    kept = await passwords.hash(RIGHT)
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert RIGHT not in kept
    assert await passwords.verify(kept, RIGHT)
    for wrong in ("", RIGHT + " ", RIGHT.upper(), RIGHT[:-1], "x" * 5000):
        assert not await passwords.verify(kept, wrong)


async def test_hashes_differ(passwords: Passwords) -> None:
    assert await passwords.hash(RIGHT) != await passwords.hash(RIGHT)


async def test_a_password_typed_in_another_unicode_form_is_the_same(passwords: Passwords) -> None:
    kept = await passwords.hash("caf\u00e9 au lait, sucre")
    assert await passwords.verify(kept, "cafe\u0301 au lait, sucre")


async def test_an_unknown_user_is_never_right_and_costs_the_same(passwords: Passwords) -> None:
    kept = await passwords.hash(RIGHT)

    async def seconds(one: str | None) -> float:
        start = time.perf_counter()
        assert not await passwords.verify(one, "not this one")
        return time.perf_counter() - start

    assert not await passwords.verify(None, "")
    known = unknown = float("inf")
    for turn in range(64):  # by turns; what else runs makes it slower, so the best of each counts
        known, unknown = min(known, await seconds(kept)), min(unknown, await seconds(None))
        if turn >= 4 and 0.5 < unknown / known < 2:
            return
    raise AssertionError(known, unknown)


@pytest.mark.parametrize("kept", ["", "x", "$argon2id$v=19$m=19456,t=2,p=1$x$y", "$2b$12$abc"])
async def test_a_damaged_hash_is_wrong_and_outdated(passwords: Passwords, kept: str) -> None:
    assert not await passwords.verify(kept, RIGHT)
    if not kept.startswith("$argon2id"):
        assert outdated(kept)


async def test_other_parameters_are_verified_and_outdated(passwords: Passwords) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(RIGHT)
    assert outdated(old)
    assert await passwords.verify(old, RIGHT)
    assert not outdated(await passwords.hash(RIGHT))


async def test_the_event_loop_goes_on_and_threads_are_few(passwords: Passwords) -> None:
    kept = await passwords.hash(RIGHT)
    before = threading.active_count()
    logins = [asyncio.create_task(passwords.verify(kept, RIGHT)) for _ in range(8)]
    turns = 0
    while not all(login.done() for login in logins):
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 8, "the loop stood still while passwords were hashed"
    assert threading.active_count() - before < THREADS
    assert all(login.result() for login in logins)


async def test_too_many_logins_at_once_are_shed(passwords: Passwords) -> None:
    results = await asyncio.gather(
        *(passwords.verify(None, RIGHT) for _ in range(THREADS + QUEUE + 5)),
        return_exceptions=True,
    )
    shed = [one for one in results if isinstance(one, Failure)]
    assert [one.code.symbol for one in shed] == ["SYSTEM_OVERLOADED"] * 5
    assert shed[0].retry_after == 1
    assert not await passwords.verify(None, RIGHT)
    passwords.close()


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("", "length"),
        ("x" * 11, "length"),
        ("x" * 129, "length"),
        ("Ada@Example.com", "differs"),
        (" ada@example.com ", "differs"),
        ("e\u0301" * 11, "length"),
        ("x" * 12, None),
        ("x" * 128, None),
        ("ada@example.com!", None),
        ("ü" * 12, None),
    ],
)
def test_what_may_be_a_password(password: str, rule: str | None) -> None:
    if rule is None:
        check_password(password, "ada@example.com")
        return
    with pytest.raises(Failure) as raised:
        check_password(password, "ada@example.com")
    assert raised.value.status == 400
    assert raised.value.details["field"] == "password"
    assert raised.value.details["rule"] == rule
    assert not password or password not in raised.value.message
