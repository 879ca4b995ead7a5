import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import asdict

from identity.house import ADMIN_KEY, House, living
from modelyard.auth.keys import Limits
from modelyard.identity.keys.schema import KeyLimits
from modelyard.protocol.errors import Failure

SEED_LIMITS = {
    "requests_per_second": None,
    "requests_per_minute": 1000,
    "tokens_per_minute": 100_000,
    "concurrent_requests": 50,
    "requests_per_day": None,
    "payload_bytes": None,
}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with living(tmp_path) as house:
        yield house


def in_(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat(timespec="milliseconds")


async def test_a_key_with_nothing_but_a_name(house: House) -> None:
    made = await house.new(name="app")
    assert made.pop("key").startswith("my-")
    assert made.pop("id").startswith("key_")
    assert made.pop("updated_at") == made["created_at"]
    assert datetime.fromisoformat(made.pop("created_at")) <= datetime.now(UTC)
    assert made.pop("etag").endswith("-1")
    assert len(made.pop("hint")) == 4
    assert made == {
        "name": "app",
        "workspace": "default",
        "scopes": ["inference:*", "model:read"],
        "limits": SEED_LIMITS,
        "cache_samples": False,
        "labels": {},
        "owner": None,
        "serving_only": False,
        "signing_key": None,
        "created_by": "admin",
        "updated_by": "admin",
        "deleted_at": None,
        "expires_at": None,
        "rotated_at": None,
        "previous_expires_at": None,
    }


async def test_a_key_with_everything(house: House) -> None:
    until = in_(hours=1)
    made = await house.new(
        workspace="team-b",
        scopes=["key:read", "key:read", "*:read"],
        limits={"requests_per_minute": None, "tokens_per_minute": 7},
        expires_at=until,
        cache_samples=True,
    )
    limits = SEED_LIMITS | {"requests_per_minute": None, "tokens_per_minute": 7}
    assert (made["workspace"], made["scopes"]) == ("team-b", ["key:read", "*:read"])
    assert made["limits"] == limits
    key = house.find(made["key"])
    assert (key.id, key.name, key.workspace) == (made["id"], "n", "team-b")
    assert (key.scopes, key.cache_samples) == (("key:read", "*:read"), True)
    assert key.limits == msgspec.convert(limits, Limits)
    assert key.expires_at == datetime.fromisoformat(until).timestamp()


def test_the_limits_of_the_wire_are_those_of_a_key() -> None:
    assert asdict(KeyLimits()) == asdict(Limits()) == SEED_LIMITS


async def test_camel_case_is_understood(house: House) -> None:
    made = await house.new(cacheSamples=True, limits={"tokensPerMinute": 5})
    assert (made["cache_samples"], made["limits"]["tokens_per_minute"]) == (True, 5)


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "/v1/auth/keys", "key:read"),
        ("POST", "/v1/auth/keys", "key:create"),
        ("GET", "/v1/auth/keys/key_1", "key:read"),
        ("PUT", "/v1/auth/keys/key_1", "key:update"),
        ("PATCH", "/v1/auth/keys/key_1", "key:update"),
        ("POST", "/v1/auth/keys/key_1/rotate", "key:rotate"),
        ("DELETE", "/v1/auth/keys/key_1", "key:revoke"),
    ],
)
class TestEveryRoute:
    @pytest.mark.parametrize("key", [None, "my-unknown", "", "ü"])
    async def test_without_a_known_key_is_401(
        self, house: House, method: str, path: str, permission: str, key: str | None
    ) -> None:
        reply = await house.client(key).request(method, path)
        assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")

    async def test_without_the_permission_is_403(
        self, house: House, method: str, path: str, permission: str
    ) -> None:
        weak = await house.new(scopes=["inference:*", "key:none"])
        reply = await house.client(weak["key"]).request(method, path)
        assert (reply.status, reply.code) == (403, "PERMISSION_DENIED")
        assert reply.error["details"]["permission"] == permission


async def test_another_workspace_is_not_seen(house: House) -> None:
    mine, theirs = await house.new(), await house.new(workspace="other", scopes=["*:*"])
    other = house.client(theirs["key"])
    listed = (await other.get("/v1/auth/keys")).json["keys"]
    assert [key["id"] for key in listed] == [theirs["id"]]
    for reply in (
        await other.delete(f"/v1/auth/keys/{mine['id']}"),
        await house.rotate(mine["id"], theirs["key"]),
        await other.delete("/v1/auth/keys/key_unknown"),
        await house.rotate("key_unknown", theirs["key"]),
    ):
        assert (reply.status, reply.code) == (404, "NOT_FOUND")
    assert house.find(mine["key"]).id == mine["id"]


async def test_no_limits_beyond_the_maker_s_own(house: House) -> None:
    own = {"requests_per_minute": 100, "tokens_per_minute": None}
    maker = await house.new(scopes=["key:*", "model:read"], limits=own)
    for limits, field in (
        (None, "requests_per_minute"),
        ({"requests_per_minute": 101}, "requests_per_minute"),
        ({"requests_per_minute": None}, "requests_per_minute"),
        ({"requests_per_minute": 9, "concurrent_requests": 51}, "concurrent_requests"),
    ):
        ask = {"name": "n", "scopes": ["model:read"], "limits": limits}
        reply = await house.client(maker["key"]).post("/v1/auth/keys", ask)
        assert (reply.status, reply.code) == (403, "PERMISSION_DENIED")
        assert reply.error["details"]["field"] == f"limits.{field}"
        assert f"limits.{field}" in reply.error["message"]
    made = await house.new(maker["key"], scopes=["model:read"], limits=own)
    assert made["limits"]["tokens_per_minute"] is None


async def test_limits_beyond_the_maker_s_own_with_workspace_write(house: House) -> None:
    maker = await house.new(scopes=["key:*", "model:read", "workspace:write"])
    made = await house.new(
        maker["key"], scopes=["model:read"], limits={"requests_per_minute": None}
    )
    assert made["limits"]["requests_per_minute"] is None


async def test_a_key_with_larger_limits_is_not_rotated(house: House) -> None:
    large = await house.new(scopes=["model:read"], limits={"requests_per_minute": 5000})
    maker = await house.new(scopes=["key:*", "model:read"])
    reply = await house.rotate(large["id"], maker["key"])
    assert (reply.status, reply.code) == (403, "PERMISSION_DENIED")
    assert house.find(large["key"]).id == large["id"]
    assert (await house.rotate(maker["id"], maker["key"])).status == 200


async def test_a_key_for_another_workspace_needs_more(house: House) -> None:
    scopes = ["key:*", "inference:*", "model:read"]
    maker = await house.new(scopes=scopes)
    reply = await house.client(maker["key"]).post(
        "/v1/auth/keys", {"name": "n", "workspace": "other"}
    )
    assert (reply.status, reply.error["details"]["permission"]) == (403, "workspace:write")
    same = await house.new(maker["key"], workspace="default")
    assert same["created_by"] == maker["id"]


@pytest.mark.parametrize(
    ("held", "asked", "missing"),
    [
        (["key:write"], ["inference:*"], "inference:*"),
        (["key:write", "inference:read"], ["inference:*"], "inference:*"),
        (["key:write", "model:write"], ["model:read"], None),
        (["key:write", "*:read"], ["key:read", "*:write"], "*:write"),
        (["key:*"], ["*:*"], "*:*"),
        (["*:write"], ["*:read"], None),
        (["key:write"], None, "inference:*"),
    ],
)
async def test_nobody_grants_what_they_lack(
    house: House, held: list[str], asked: list[str] | None, missing: str | None
) -> None:
    maker = await house.new(scopes=held)
    body = {"name": "n", "scopes": asked} if asked else {"name": "n"}
    reply = await house.client(maker["key"]).post("/v1/auth/keys", body)
    if missing is None:
        assert reply.status == 201, reply.body
        return
    assert (reply.status, reply.code) == (403, "PERMISSION_DENIED")
    assert reply.error["details"]["permission"] == missing


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": ["x"]}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": "inference:*"}, "scopes"),
        ({"scopes": ["inference"]}, "scopes[0]"),
        ({"scopes": ["a:b", "a b:c"]}, "scopes[1]"),
        ({"scopes": ["a:b:c"]}, "scopes[0]"),
        ({"scopes": ["a:b"] * 65}, "scopes"),
        ({"workspace": "Other Team"}, "workspace"),
        ({"workspace": ""}, "workspace"),
        ({"limits": []}, "limits"),
        ({"limits": {"requests_per_minute": 0}}, "limits.requests_per_minute"),
        ({"limits": {"requests_per_minute": -1}}, "limits.requests_per_minute"),
        ({"limits": {"requests_per_minute": 1.5}}, "limits.requests_per_minute"),
        ({"limits": {"requests_per_minute": True}}, "limits.requests_per_minute"),
        ({"limits": {"requests_per_minute": 10**30}}, "limits.requests_per_minute"),
        ({"limits": {"requests": 1}}, "limits.requests"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:00"}, "expires_at"),
        ({"expires_at": 1}, "expires_at"),
        ({"cache_samples": "yes"}, "cache_samples"),
        ({"colour": "blue"}, "colour"),
    ],
)
async def test_a_bad_key_names_its_field(house: House, change: dict[str, Any], field: str) -> None:
    reply = await house.client().post("/v1/auth/keys", {"name": "n"} | change)
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), reply.body
    assert reply.error["details"]["field"] == field
    assert (await house.client().get("/v1/auth/keys")).json["keys"] == []
    assert house.events() == []


async def test_paging_covers_everything_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = count(2_000_000_000)  # no two of one moment: the newest comes first
    monkeypatch.setattr("modelyard.protocol.errors.now", lambda: float(next(moments)))
    made = [(await house.new(name=f"key {number}"))["id"] for number in range(7)]
    await house.new(workspace="other")
    client, seen, token = house.client(), list[str](), ""
    while True:
        page = (await client.get(f"/v1/auth/keys?page_size=3&page_token={token}")).json
        assert set(page) == {"keys", "next_page_token"}
        seen += [key["id"] for key in page["keys"]]
        if page["next_page_token"] is None:
            break
        assert len(page["keys"]) == 3
        token = page["next_page_token"]
        await house.new(name="made meanwhile")
    assert seen == made[::-1]


async def test_keys_of_one_moment_are_paged_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard.protocol.errors.now", lambda: 2e9)
    made = {(await house.new())["id"] for _ in range(5)}
    seen, token = list[str](), ""
    while token is not None:
        page = (await house.client().get(f"/v1/auth/keys?page_size=2&page_token={token}")).json
        seen += [key["id"] for key in page["keys"]]
        token = page["next_page_token"]
    assert len(seen) == 5
    assert set(seen) == made


@pytest.mark.parametrize(("asked", "given"), [("0", 50), ("1001", 60), ("9" * 18, 60), ("7", 7)])
async def test_page_sizes(house: House, asked: str, given: int) -> None:
    await asyncio.gather(*(house.new() for _ in range(60)))
    page = (await house.client().get(f"/v1/auth/keys?page_size={asked}")).json
    assert len(page["keys"]) == given


async def test_a_foreign_page_token_is_400(house: House) -> None:
    theirs = await house.new(workspace="other", scopes=["*:*"])
    for _ in range(2):
        await house.new()
    token = (await house.client().get("/v1/auth/keys?page_size=1")).json["next_page_token"]
    assert (await house.client().get(f"/v1/auth/keys?page_token={token}")).status == 200
    other = house.client(theirs["key"])
    wrong = ("x", "AAAA", token[:-4], token + "AAAA", "%C3%BC", token[::-1], "a" * 1000)
    tries = [(other, token), *((house.client(), bad) for bad in wrong)]
    for client, sent in tries:
        reply = await client.get(f"/v1/auth/keys?page_token={sent}")
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
        assert reply.error["details"]["field"] == "page_token"


async def test_another_process_notices(tmp_path: Path, house: House) -> None:
    async with living(tmp_path) as other:
        made = await house.new()
        with pytest.raises(Failure, match="unknown"):
            other.find(made["key"])
        await other.installation.follow()
        assert other.find(made["key"]).id == made["id"]
        await other.client().delete(f"/v1/auth/keys/{made['id']}")
        house.find(made["key"])
        await house.installation.follow()
        with pytest.raises(Failure, match="revoked"):
            house.find(made["key"])


async def test_no_secret_is_ever_on_disk_or_shown_again(house: House) -> None:
    made = await house.new()
    rotated = (await house.rotate(made["id"])).json
    listed = await house.client().get("/v1/auth/keys")
    await house.client().delete(f"/v1/auth/keys/{made['id']}")
    [shown] = listed.json["keys"]
    assert set(shown) == set(rotated) - {"key"}
    assert shown["hint"] == rotated["key"][-4:]
    everything = b"".join(path.read_bytes() for path in house.home.iterdir())
    await house.close()
    everything += b"".join(path.read_bytes() for path in house.home.iterdir())
    assert made["id"].encode() in everything
    for secret in (made["key"], rotated["key"], ADMIN_KEY):
        assert secret.encode() not in everything
        assert secret.encode() not in listed.body


async def test_each_change_leaves_its_event(house: House) -> None:
    headers = {"X-Request-ID": "trace-1"}
    reply = await house.client().post("/v1/auth/keys", {"name": "n"}, headers=headers)
    made = reply.json
    rotated = (await house.rotate(made["id"])).json
    await house.client().delete(f"/v1/auth/keys/{made['id']}")
    await house.client().delete(f"/v1/auth/keys/{made['id']}")
    await house.client().post("/v1/auth/keys", {"name": ""})
    created, rotation, revocation = house.events()
    resource = f"auth/keys/{made['id']}"
    assert created[:6] == ("key.create", "admin", "default", resource, "trace-1", None)
    del made["key"], rotated["key"]
    assert json.loads(created[6]) == made == json.loads(rotation[5])
    assert (rotation[0], json.loads(rotation[6])) == ("key.rotate", rotated)
    assert (revocation[0], json.loads(revocation[5]), revocation[6]) == (
        "key.revoke",
        rotated,
        None,
    )


async def test_a_change_without_its_event_does_not_happen(house: House) -> None:
    made = await house.new()
    with closing(sqlite3.connect(house.database.path)) as connection:
        connection.execute("DROP TABLE event")
    reply = await house.client().delete(f"/v1/auth/keys/{made['id']}")
    assert (reply.status, reply.code) == (500, "INTERNAL")
    assert house.find(made["key"]).id == made["id"]


async def test_an_operator_reaches_the_keys_of_another_workspace(house: House) -> None:
    theirs = await house.new(workspace="other")
    path = f"/v1/auth/keys/{theirs['id']}"
    listed = await house.client().get("/v1/auth/keys?workspace=other")
    assert [key["id"] for key in listed.json["keys"]] == [theirs["id"]]
    assert (await house.client().delete(path)).status == 404, "not without naming it"
    assert (await house.client().delete(path + "?workspace=other")).status == 204
    with pytest.raises(Failure):
        house.find(theirs["key"])


async def test_nobody_else_does(house: House) -> None:
    theirs = await house.new(workspace="other")
    mine = await house.new(scopes=["key:*"])
    client = house.client(mine["key"])
    for reply in (
        await client.get("/v1/auth/keys?workspace=other"),
        await client.delete(f"/v1/auth/keys/{theirs['id']}?workspace=other"),
    ):
        assert (reply.status, reply.code) == (403, "PERMISSION_DENIED")
        assert reply.error["details"]["permission"] == "workspace:write"
    house.find(theirs["key"])
