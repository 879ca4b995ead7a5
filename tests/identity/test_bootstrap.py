import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from identity.house import ADMIN_KEY, House
from modelyard.auth.keys import UNLIMITED
from modelyard.identity.keys.bootstrap import UnusableHome, bootstrap
from modelyard.kernel.errors import Failure
from modelyard.storage.database import Database


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_pepper_and_key(tmp_path: Path) -> None:
    house = House(tmp_path, None)
    secret = house.start.generated
    assert secret is not None
    key = house.find(secret)
    assert (key.id, key.workspace, key.scopes) == ("admin", "default", ("*:*",))
    assert (key.limits, key.expires_at) == (UNLIMITED, None)
    assert (tmp_path / "admin.key").read_text() == secret + "\n"
    assert mode(tmp_path / "admin.key") == mode(tmp_path / "pepper") == 0o600
    assert len((tmp_path / "pepper").read_bytes()) == 32
    assert secret.encode() not in (tmp_path / "control.db").read_bytes()
    assert [event[0] for event in house.events()] == ["key.create"]
    house.close()


def test_a_later_start_shows_nothing_and_knows_the_key(tmp_path: Path) -> None:
    first = House(tmp_path, None)
    secret = first.start.generated or ""
    first.close()
    (tmp_path / "admin.key").unlink()
    second = House(tmp_path, None)
    assert second.start.generated is None
    assert second.find(secret).id == "admin"
    assert not (tmp_path / "admin.key").exists()
    second.close()


def test_a_configured_key_is_valid_while_it_is_set(tmp_path: Path) -> None:
    house = House(tmp_path)
    assert house.start.generated is None
    key = house.find(ADMIN_KEY)
    assert (key.id, key.scopes, key.limits) == ("admin", ("*:*",), UNLIMITED)
    assert house.database.read("SELECT count(*) FROM api_key") == [(0,)]
    house.close()
    later = House(tmp_path, None)
    with pytest.raises(Failure, match="unknown"):
        later.find(ADMIN_KEY)
    assert later.find(later.start.generated or "").id == "admin"
    later.close()


async def test_a_revoked_admin_key_does_not_come_back(tmp_path: Path) -> None:
    house = House(tmp_path, None)
    secret = house.start.generated or ""
    assert (await house.client(secret).delete("/v1/auth/keys/admin")).status == 204
    house.close()
    later = House(tmp_path, None)
    assert later.start.generated is None
    with pytest.raises(Failure, match="revoked"):
        later.find(secret)
    later.close()


def test_a_start_that_was_killed_half_way_loses_no_key(tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("my-written-but-not-yet-stored\n")
    house = House(tmp_path, None)
    assert house.start.generated == "my-written-but-not-yet-stored"
    assert house.find("my-written-but-not-yet-stored").id == "admin"
    house.close()


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    def start(_: int) -> House:
        return House(tmp_path, None)

    with ThreadPoolExecutor(6) as pool:
        houses = list(pool.map(start, range(6)))
    [secret] = [house.start.generated for house in houses if house.start.generated]
    for house in houses:
        house.load()
        assert house.find(secret).id == "admin"
        house.close()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("name", "content"), [("pepper", b"short"), ("admin.key", b"\n")])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    database = Database(tmp_path / "control.db")
    with pytest.raises(UnusableHome, match=name):
        bootstrap(tmp_path, database)
    database.close()
    assert (tmp_path / name).read_bytes() == content
