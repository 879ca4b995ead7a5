import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from identity.house import House, living
from modelyard.protocol.errors import Failure


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with living(tmp_path) as house:
        yield house


def in_(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


async def test_rotation_overlaps_and_then_ends(house: House) -> None:
    made = await house.new()
    reply = await house.rotate(made["id"], overlap_seconds=60)
    assert (reply.status, reply.json["id"]) == (200, made["id"])
    assert set(reply.json) == set(made)
    assert reply.json["rotated_at"] < reply.json["previous_expires_at"]
    new = reply.json["key"]
    assert house.find(made["key"]).id == house.find(new).id == made["id"]
    house.later(61)
    with pytest.raises(Failure, match="expired"):
        house.find(made["key"])
    assert house.find(new).id == made["id"]


async def test_rotating_twice_ends_the_oldest_at_once(house: House) -> None:
    made = await house.new()
    second = (await house.rotate(made["id"])).json["key"]
    third = (await house.rotate(made["id"])).json["key"]
    with pytest.raises(Failure, match="unknown"):
        house.find(made["key"])
    assert house.find(second).id == house.find(third).id == made["id"]


async def test_rotation_without_overlap(house: House) -> None:
    made = await house.new()
    reply = await house.rotate(made["id"], overlap_seconds=0)
    assert reply.json["previous_expires_at"] is None
    with pytest.raises(Failure, match="unknown"):
        house.find(made["key"])


async def test_an_overlap_never_outlasts_the_key(house: House) -> None:
    made = await house.new(expires_at=in_(seconds=30))
    new = (await house.rotate(made["id"], overlap_seconds=600)).json["key"]
    house.later(31)
    for secret in (made["key"], new):
        with pytest.raises(Failure, match="expired"):
            house.find(secret)


async def test_rotations_at_once_leave_exactly_two_secrets(house: House) -> None:
    made = await house.new()
    replies = await asyncio.gather(*(house.rotate(made["id"]) for _ in range(6)))
    assert {reply.status for reply in replies} == {200}
    secrets = [made["key"], *(reply.json["key"] for reply in replies)]
    valid = 0
    for secret in secrets:
        try:
            house.find(secret)
        except Failure:
            continue
        valid += 1
    assert valid == 2


async def test_an_expired_key_is_refused_and_cannot_be_rotated(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await house.new(expires_at=in_(seconds=30))
    house.later(31)
    reply = await house.client(made["key"]).get("/v1/auth/keys")
    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")
    assert "expired" in reply.error["message"]
    house.later(0)
    ahead = datetime.now(UTC).timestamp() + 31
    monkeypatch.setattr("modelyard.identity.keys.methods.time.time", lambda: ahead)
    assert (await house.rotate(made["id"])).code == "CONFLICT"


async def test_revoking_ends_both_secrets_and_is_final(house: House) -> None:
    made = await house.new()
    second = (await house.rotate(made["id"])).json["key"]
    reply = await house.client().delete(f"/v1/auth/keys/{made['id']}")
    assert (reply.status, reply.body) == (204, b"")
    for secret in (made["key"], second):
        with pytest.raises(Failure, match="revoked"):
            house.find(secret)
    assert (await house.client().delete(f"/v1/auth/keys/{made['id']}")).status == 404
    assert (await house.rotate(made["id"])).status == 404
    assert (await house.client().get("/v1/auth/keys")).json["keys"] == []


async def test_rotating_a_mightier_key_is_refused(house: House) -> None:
    mighty, weak = await house.new(scopes=["*:*"]), await house.new(scopes=["key:write"])
    reply = await house.rotate(mighty["id"], weak["key"])
    assert (reply.status, reply.error["details"]["permission"]) == (403, "*:*")
    assert house.find(mighty["key"]).id == mighty["id"]


@pytest.mark.parametrize("ask", [{"overlap_seconds": -1}, {"overlap_seconds": 604_801},
                                 {"overlap_seconds": 0.5}, {"overlap": 1}])  # fmt: skip
async def test_a_bad_rotation_is_refused(house: House, ask: dict[str, Any]) -> None:
    made = await house.new()
    reply = await house.rotate(made["id"], **ask)
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
    assert reply.error["details"]["field"] in ("overlap_seconds", "overlap")
