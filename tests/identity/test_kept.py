"""The file with the first key's secret follows the key."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from identity.house import House, living

ADMIN = "/v1/auth/keys/admin"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An installation whose first key was generated."""
    async with living(tmp_path, admin_key=None) as made:
        yield made


def kept(house: House) -> str:
    return (house.home / "admin.key").read_text().strip()


async def test_rotated_it_is_the_new_secret(house: House) -> None:
    first = kept(house)
    reply = await house.rotate("admin", key=first, overlap_seconds=0)
    assert reply.status == 200, reply.body
    assert kept(house) == reply.json["key"] != first
    assert house.find(kept(house)).id == "admin"
    mode = (house.home / "admin.key").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert [path.name for path in house.home.glob(".*")] == []


async def test_rotated_twice_while_the_file_was_away(house: House) -> None:
    first = kept(house)
    file = house.home / "admin.key"
    file.rename(house.home / "away")
    second = (await house.rotate("admin", key=first, overlap_seconds=60)).json["key"]
    assert not file.exists()
    (house.home / "away").rename(file)
    third = (await house.rotate("admin", key=second)).json["key"]
    assert kept(house) == third, "it held the secret before, which was still valid"


async def test_revoked_it_is_gone(house: House) -> None:
    first = kept(house)
    assert (await house.client(first).delete(ADMIN)).status == 204
    assert not (house.home / "admin.key").exists()


async def test_another_key_leaves_it_alone(house: House) -> None:
    first = kept(house)
    made = await house.new(first)
    assert (await house.rotate(made["id"], key=first)).status == 200
    assert (await house.client(first).delete(f"/v1/auth/keys/{made['id']}")).status == 204
    assert kept(house) == first


async def test_a_secret_of_the_operators_own_is_not_overwritten(house: House) -> None:
    first = kept(house)
    (house.home / "admin.key").write_text("something of mine\n")
    assert (await house.rotate("admin", key=first)).status == 200
    assert kept(house) == "something of mine"


async def test_a_file_that_cannot_be_written_is_no_failure(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    first = kept(house)
    file = house.home / "admin.key"
    file.unlink()
    file.mkdir()
    assert (await house.rotate("admin", key=first)).status == 200
    assert "no longer valid" in caplog.text
    assert first not in caplog.text
