"""Cedar is loaded when it is first needed, which takes 0.1 s, and nobody else waits for it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from identity.house import House, living
from modelyard.auth import policy, statements
from modelyard.auth.keys import Key
from modelyard.protocol.errors import Failure

FORBID = {"id": "p", "policy": 'forbid (principal is Key, action == Action::"key:read", resource);'}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Each time that rules were given to Cedar: whether the event loop waited for it."""
    caches = (policy.built_in, statements.builtin, statements.roles)
    times: list[bool] = []

    def parse(*given: Any, real: Any = statements.parse) -> Any:
        times.append(threading.current_thread() is threading.main_thread())
        return real(*given)

    for one in caches:
        one.cache_clear()
    monkeypatch.setattr(statements, "parse", parse)
    monkeypatch.setattr(policy, "parse", parse)
    yield times
    for one in caches:
        one.cache_clear()


async def signed_in(house: House) -> str:
    user = {"login": "u@example.com", "password": "a long enough word"}
    assert (await house.client().post("/v1/auth/users", {"id": "u", **user})).status == 201
    reply = await house.client(None).post("/v1/auth/login", user)
    assert reply.status == 200, reply.body
    return str(reply.json["access_token"])


async def test_keys_that_have_what_they_need_do_without(tmp_path: Path, loaded: list[bool]) -> None:
    async with living(tmp_path) as house:
        made = await house.new(scopes=["model:read"])
        key = house.find(made["key"])
        with pytest.raises(Failure, match="lacks the permission 'key:read'"):
            house.installation.directory.check(key, "key:read")
    assert loaded == []


async def test_a_key_whose_scopes_may_not_decide(tmp_path: Path, loaded: list[bool]) -> None:
    async with living(tmp_path) as house:
        made = await house.new(scopes=["model:read"])
        client = house.client(made["key"])
        assert (await client.get("/v1/auth/keys")).code == "PERMISSION_DENIED"
    assert loaded == [False]


async def test_a_role_and_a_policy(tmp_path: Path, loaded: list[bool]) -> None:
    async with living(tmp_path) as house:
        token = await signed_in(house)
        assert (await house.client(token).get("/v1/auth/keys")).code == "PERMISSION_DENIED"
        assert loaded == [False]
        assert (await house.client().post("/v1/auth/policies", FORBID)).status == 201
        assert (await house.client().get("/v1/auth/keys")).code == "PERMISSION_DENIED"
        assert loaded == [False, False]
        await house.new()  # callers are read anew, policies are not
        assert loaded == [False, False]
    for one in (policy.built_in, statements.builtin, statements.roles):
        one.cache_clear()
    async with living(tmp_path) as house:
        assert loaded == [False] * 4
        assert (await house.client(token).get("/v1/auth/keys")).code == "PERMISSION_DENIED"
    assert loaded == [False] * 4


async def test_a_first_policy(tmp_path: Path, loaded: list[bool]) -> None:
    async with living(tmp_path) as house:
        assert (await house.client().post("/v1/auth/policies", FORBID)).status == 201
    assert loaded[0] is False


@pytest.mark.parametrize("scopes", [(), ("model:read",), ("*:read",), ("key:write", "a:*")])
@pytest.mark.parametrize("permission", ["key:read", "key:write", "model:read", "a:b", "*:*"])
def test_a_key_is_decided_about_as_cedar_does(scopes: tuple[str, ...], permission: str) -> None:
    key = Key(id="k", workspace="w", scopes=scopes)
    caller = policy.caller_of(key)
    denied = policy.built_in()._in_force.denied(caller, permission, None)
    try:
        policy.built_in().check(key, permission)
    except Failure:
        assert denied == ""
    else:
        assert denied is None
