import asyncio
import stat
from pathlib import Path

import pytest

from identity.house import ADMIN_KEY, House
from modelyard.auth.keys import UNLIMITED
from modelyard.identity.keys.bootstrap import UnusableHome
from modelyard.protocol.errors import Failure


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".*")]


async def test_the_first_start_makes_pepper_and_key(tmp_path: Path) -> None:
    house = await House.open(tmp_path, None)
    secret = house.generated
    assert secret is not None
    key = house.find(secret)
    assert (key.id, key.workspace, key.scopes) == ("admin", "default", ("*:*",))
    assert (key.limits, key.expires_at) == (UNLIMITED, None)
    assert (tmp_path / "admin.key").read_text() == secret + "\n"
    assert mode(tmp_path / "admin.key") == mode(tmp_path / "pepper") == 0o600
    assert len((tmp_path / "pepper").read_bytes()) == 32
    assert secret.encode() not in (tmp_path / "modelyard.db").read_bytes()
    assert [event[0] for event in house.events()] == ["key.create"]
    await house.close()


async def test_a_later_start_shows_nothing_and_knows_the_key(tmp_path: Path) -> None:
    first = await House.open(tmp_path, None)
    secret = first.generated or ""
    await first.close()
    (tmp_path / "admin.key").unlink()
    second = await House.open(tmp_path, None)
    assert second.generated is None
    assert second.find(secret).id == "admin"
    assert not (tmp_path / "admin.key").exists()
    await second.close()


async def test_a_configured_key_is_valid_while_it_is_set(tmp_path: Path) -> None:
    house = await House.open(tmp_path)
    assert house.generated is None
    key = house.find(ADMIN_KEY)
    assert (key.id, key.scopes, key.limits) == ("admin", ("*:*",), UNLIMITED)
    assert await house.store.everywhere("auth/keys") == []
    await house.close()
    later = await House.open(tmp_path, None)
    with pytest.raises(Failure, match="unknown"):
        later.find(ADMIN_KEY)
    assert later.find(later.generated or "").id == "admin"
    await later.close()


async def test_a_revoked_admin_key_does_not_come_back(tmp_path: Path) -> None:
    house = await House.open(tmp_path, None)
    secret = house.generated or ""
    assert (await house.client(secret).delete("/v1/auth/keys/admin")).status == 204
    await house.close()
    later = await House.open(tmp_path, None)
    assert later.generated is None
    with pytest.raises(Failure, match="revoked"):
        later.find(secret)
    await later.close()


async def test_a_start_that_was_killed_half_way_loses_no_key(tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("my-written-but-not-yet-stored\n")
    house = await House.open(tmp_path, None)
    assert house.generated == "my-written-but-not-yet-stored"
    assert house.find("my-written-but-not-yet-stored").id == "admin"
    await house.close()


async def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    houses = [House(tmp_path, None) for _ in range(6)]
    made = await asyncio.gather(*(house.installation.open() for house in houses))
    [secret] = [one for one in made if one]
    for house in houses:
        await house.installation.follow()
        assert house.find(secret).id == "admin"
        await house.close()
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(("name", "content"), [("pepper", b"short"), ("admin.key", b"\n")])
async def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableHome, match=name):
        await House.open(tmp_path, None)
    assert (tmp_path / name).read_bytes() == content
