from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelyard.kernel.events import Event
from modelyard.storage.database import Database
from modelyard.storage.keys import KeyRow, KeyStore

ROW = KeyRow(
    id="key_1",
    workspace="w",
    name="n",
    hint="abcd",
    digest=b"first",
    scopes=["a:b"],
    limits={"requests_per_minute": None, "tokens_per_minute": 5},
    cache_samples=True,
    created_at=1.5,
    created_by="admin",
)


def event(verb: str = "key.rotate") -> Event:
    return Event(workspace="w", actor="a", verb=verb, resource="r", request_id="q")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "a.db")
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> KeyStore:
    return KeyStore(database)


async def test_a_row_comes_back_as_it_was(store: KeyStore) -> None:
    full = replace(
        ROW,
        previous_digest=b"\0\xff",
        previous_expires_at=2.25,
        expires_at=1e12,
        rotated_at=0.1,
        name="ünï\0code",
    )
    assert await store.create(full, event())
    assert store.find("w", "key_1") == full == store.live(0)[0] == store.page("w", None, 9)[0]


async def test_a_change_of_what_was_changed_meanwhile_is_refused(
    store: KeyStore, database: Database
) -> None:
    await store.create(ROW, event("key.create"))
    first, second = replace(ROW, digest=b"second"), replace(ROW, digest=b"third")
    assert await store.change(ROW, first, event())
    assert not await store.change(ROW, second, event())
    assert not await store.change(replace(first, workspace="x"), second, event())
    assert store.find("w", "key_1") == first
    assert database.read("SELECT count(*) FROM event") == [(2,)]
    gone = replace(first, revoked_at=3.0)
    assert await store.change(first, gone, event())
    assert not await store.change(first, second, event())


@pytest.mark.parametrize("twin", [{"digest": b"other"}, {"id": "key_2"}])
async def test_ids_and_secrets_are_unique(
    store: KeyStore, database: Database, twin: dict[str, str | bytes]
) -> None:
    assert await store.create(ROW, event())
    assert not await store.create(replace(ROW, **twin), event())
    assert store.page("w", None, 9) == [ROW]
    assert database.read("SELECT count(*) FROM event") == [(1,)]


async def test_live_are_neither_revoked_nor_expired(store: KeyStore) -> None:
    for number, change in enumerate(
        [{}, {"expires_at": 10.0}, {"expires_at": 11.0}, {"revoked_at": 1.0}, {"workspace": "x"}]
    ):
        row = replace(ROW, id=f"key_{number}", digest=b"%d" % number, **change)
        await store.create(row, event())
    assert {row.id for row in store.live(10.0)} == {"key_0", "key_2", "key_4"}
    assert store.find("w", "key_3") is None
    assert store.known("w", "key_3")
    assert not store.known("x", "key_3")
