"""Each declared kind has a table of its own; the words of events wait until nobody changes."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from conformance.things import ALL, COLOUR, asked, event, gone, put, thing
from modelyard.kernel.ports import Commit, EventQuery
from modelyard.protocol.filtering import Compare
from modelyard.storage import homes
from modelyard.storage.store import Store


async def rows_in(store: Store, table: str) -> int:
    """How many there are."""
    return int((await store.driver.fetch(f"SELECT count(*) FROM {table}"))[0][0])


async def own(store: Store) -> set[str]:
    """The tables of kinds."""
    found = await store.driver.fetch(homes.OWN[store.driver.dialect.name])
    return {str(name) for (name,) in found}


async def test_a_declaration_moves_the_rows_of_a_kind_to_its_table(
    store: Store, opened: Callable[[], Any]
) -> None:
    kept = [thing(f"r{n}", {"colour": "red", "tags": ["t"], "title": "duck"}) for n in range(3)]
    stray = thing("s", kind="test/strays")
    for row in (*kept, stray):
        await store.commit(put(row))
    assert (await rows_in(store, homes.SHARED), await own(store)) == (4, set())
    await store.declare(ALL)
    assert await own(store) == {homes.table(one.kind) for one in ALL}
    assert await rows_in(store, homes.SHARED) == 1
    assert await rows_in(store, homes.table("test/things")) == 3
    await store.commit(put(thing("r3", {"colour": "red"})))
    assert await rows_in(store, homes.SHARED) == 1
    red = asked(filter=Compare(COLOUR, "=", "red"))
    names = ["r3", "r2", "r1", "r0"]
    assert [row.address.id for row in await store.page(red)] == names
    assert await store.count(red) == 4
    assert await store.get(kept[0].address) == kept[0]
    assert await store.get(stray.address) == stray
    assert [row.address.id for row in await store.everywhere("test/strays")] == ["s"]
    other = await opened()  # as another process of the same server does
    other.know(ALL)
    assert [row.address.id for row in await other.page(red)] == names


async def test_a_row_is_written_into_the_indexes_of_its_kind_alone(store: Store) -> None:
    await store.declare(ALL)
    mine = homes.table("test/others")
    sql = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ?",
        "postgresql": "SELECT indexname FROM pg_indexes WHERE tablename = ?",
    }[store.driver.dialect.name]
    names = [str(name) for (name,) in await store.driver.fetch(sql, (mine,))]
    assert len(names) == 4  # its key, what is to be purged, the newest first, and its one field
    assert all("others" in name for name in names)
    shared = await store.driver.fetch(sql, (homes.SHARED,))
    assert not [name for (name,) in shared if str(name).startswith("declared")]


async def test_what_is_expired_is_found_in_every_table(store: Store) -> None:
    await store.declare(ALL)
    places = [("a", "test/things"), ("b", "test/others"), ("c", "test/strays")]
    for name, kind in places:
        row = thing(name, kind=kind)
        await store.commit(put(row))
        after = replace(row, revision=1, deleted_at=2.0, purge_at=3.0)
        await store.commit(gone(after, remove=False))
    assert {row.address.id for row in await store.expired(3.0)} == {"a", "b", "c"}
    assert len(await store.expired(3.0, size=2)) == 2
    assert await store.expired(2.9) == []


async def test_words_of_events_are_made_when_nobody_changes_or_somebody_asks(store: Store) -> None:
    await store.declare(ALL)
    wait = store.driver.dialect.words_wait
    words = "SELECT count(*) FROM search WHERE kind = 'audit/events'"

    async def told() -> int:
        return int((await store.driver.fetch(words))[0][0])

    events = [event(id=f"e{n:03}", at=float(n), after={"name": f"duck{n}"}) for n in range(70)]
    await store.commit(Commit(events=events))
    assert await store.seal() == 70
    assert await told() == (0 if wait else 70)
    assert (await store.seal(), await told()) == (0, 70)
    await store.commit(Commit(events=[event(id="late", at=99.0, after={"name": "goose"})]))
    assert await store.seal() == 1
    found = await store.events(EventQuery(workspace="w", words="goose"))
    assert [one.event.id for one in found] == ["late"]
    assert await told() == 71
    assert await store.driver.fetch("SELECT 1 FROM words_due") == []
