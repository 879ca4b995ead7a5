"""Each declared kind has a table of its own; the words of events wait until nobody changes."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from conformance.things import ALL, COLOUR, PARTS, THINGS, asked, event, gone, put, thing
from modelyard.kernel.ports import Commit, EventQuery, Refused
from modelyard.protocol.filtering import Compare, Text
from modelyard.storage import audit, homes
from modelyard.storage.driver import Driver, Statement, Work
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


async def test_what_an_older_version_still_wrote_is_moved_at_the_next_start(
    store: Store, opened: Callable[[], Any]
) -> None:
    await store.declare(ALL)
    mine = thing("mine", {"login": "a"})
    await store.commit(put(mine))
    older = await opened()  # it knows one table alone
    for name, login in (("late", "b"), ("mine", "c"), ("same", "a")):
        await older.commit(put(thing(name, {"login": login})))
    assert await rows_in(store, homes.SHARED) == 3
    await (await opened()).declare(ALL)
    assert await rows_in(store, homes.SHARED) == 0
    found = {row.address.id: row.spec["login"] for row in await store.page(asked())}
    assert found == {"late": "b", "mine": "a"}


async def test_nothing_is_lost_that_another_writes_while_rows_are_moved(
    store: Store, place: Path | str
) -> None:
    if not isinstance(place, str):
        pytest.skip("on SQLite one writes at a time")
    await store.commit(put(thing("r0")))
    names = iter(["late"])

    async def insert() -> None:
        connection = await asyncpg.connect(place)
        columns = "workspace, parent, uid, revision, created_at, updated_at, created_by"
        values = f"kind, '{next(names)}', {columns}, updated_by, labels, spec"
        into = f"resource (kind, id, {columns}, updated_by, labels, spec)"
        await connection.execute(
            f"INSERT INTO {into} SELECT {values} FROM resource ORDER BY id LIMIT 1"
        )
        await connection.close()

    def slowly() -> Work[None]:
        """Move, and before each part of it somebody else writes."""
        moving = homes.make(["test/things"], store.driver.dialect)
        statement = next(moving)
        while True:
            if "DELETE" in statement.sql:
                other = threading.Thread(target=lambda: asyncio.run(insert()))
                other.start()
                other.join()
            rows = yield statement
            try:
                statement = moving.send(rows)
            except StopIteration:
                return

    await store.driver.transact(slowly)
    left = await rows_in(store, homes.SHARED)
    assert left + await rows_in(store, homes.table("test/things")) == 2


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


async def test_what_lies_below_is_seen_by_a_process_that_does_not_know_its_kind(
    store: Store, opened: Callable[[], Any]
) -> None:
    await store.declare(ALL)
    row, part = thing("a"), thing("p", kind="test/things/parts", parent="test/things/a")
    await store.commit(put(row))
    await store.commit(put(part))
    other = await opened()
    other.know([THINGS])
    with pytest.raises(Refused) as raised:
        await other.commit(gone(row))
    assert (raised.value.reason, raised.value.names) == ("in use", [part.address.name])
    await store.commit(gone(part))
    await other.commit(gone(row))


async def test_words_of_events_are_made_when_nobody_changes_or_somebody_asks(store: Store) -> None:
    await store.declare(ALL)
    words = "SELECT count(*) FROM search WHERE kind = 'audit/events'"

    async def told() -> int:
        return int((await store.driver.fetch(words))[0][0])

    events = [event(id=f"e{n:03}", at=float(n), after={"name": f"duck{n}"}) for n in range(70)]
    await store.commit(Commit(events=events))
    assert await store.seal() == 70
    assert await told() == 0
    assert (await store.seal(), await told()) == (0, 70)
    await store.commit(Commit(events=[event(id="late", at=99.0, after={"name": "goose"})]))
    assert await store.seal() == 1
    found = await store.events(EventQuery(workspace="w", words="goose"))
    assert [one.event.id for one in found] == ["late"]
    assert await told() == 71
    assert await store.driver.fetch("SELECT 1 FROM words_due") == []


async def test_who_searches_resources_does_not_wait_for_the_words_of_events(store: Store) -> None:
    await store.declare(ALL)
    await store.commit(Commit(events=[event(id="e", after={"name": "goose"})]))
    await store.commit(put(thing("a", {"title": "a grey goose"})))
    assert await store.seal() == 1
    geese = asked(filter=Text("goose"))
    assert [row.address.id for row in await store.page(geese)] == ["a"]
    assert await store.count(geese) == 1
    made = "SELECT count(*) FROM search WHERE kind = 'audit/events'"
    assert (await store.driver.fetch(made))[0][0] == 0
    found = await store.events(EventQuery(workspace="w", words="goose"))
    assert "e" in [one.event.id for one in found]
    assert await store.driver.fetch("SELECT 1 FROM words_due") == []


async def test_words_that_two_processes_make_at_once_are_made(store: Store) -> None:
    await store.declare(ALL)
    await store.commit(Commit(events=[event(id="e", after={"name": "goose"})]))
    assert [await store.seal(), await store.seal()] == [1, 0]
    await store.driver.transact(lambda: audit.tell(1, 1))  # as another did just before
    found = await store.events(EventQuery(workspace="w", words="goose"))
    assert [one.event.id for one in found] == ["e"]


async def test_a_change_that_is_committed_late_is_not_forgotten(
    store: Store, place: Path | str
) -> None:
    """On PostgreSQL its number is lower than that of one whose words are made before."""
    if not isinstance(place, str):
        pytest.skip("one writes at a time")
    await store.declare(ALL)
    row = thing("a", {"title": "a grey goose"})
    await store.commit(put(row))
    geese = asked(filter=Text("goose"))
    assert len(await store.page(geese)) == 1
    await store.driver.fetch("DELETE FROM search RETURNING 1")
    late = await asyncpg.connect(place)
    try:
        async with late.transaction():
            due = "INSERT INTO words_due (kind, workspace, parent, id) VALUES ($1, $2, $3, $4)"
            await late.execute(due, "test/things", "w", "", "a")
            await store.commit(put(thing("b", {"title": "another goose"})))
            assert [row.address.id for row in await store.page(geese)] == ["b"]
    finally:
        await late.close()
    assert {row.address.id for row in await store.page(geese)} == {"a", "b"}


async def test_words_of_kinds_that_one_does_not_know_are_left_to_who_does(
    store: Store, opened: Callable[[], Any]
) -> None:
    if store.driver.dialect.name == "sqlite":
        pytest.skip("its processes are of one version")
    await store.declare(ALL)
    other = await opened()
    other.know([PARTS])
    await store.commit(put(thing("a", {"title": "a grey goose"})))
    await other.seal()
    assert await store.count(asked(filter=Text("goose"))) == 1


class Busy:
    """A driver beside which others change something after each transaction, for a while."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.more = iter(range(20))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.driver, name)

    async def transact(self, work: Callable[[], Work[Any]], **how: bool) -> Any:
        done = await self.driver.transact(work, **how)
        await self._change()
        return done

    async def attempt(self, statement: Statement) -> bool:
        done = await self.driver.attempt(statement)
        await self._change()
        return done

    async def _change(self) -> None:
        if (number := next(self.more, None)) is not None:
            late = Commit(events=[event(id=f"late{number}", at=99.0 + number)])
            await Store(self.driver).commit(late)


async def test_sealing_ends_while_others_go_on_changing(store: Store) -> None:
    await store.declare(ALL)
    await store.commit(Commit(events=[event(id=f"e{n}", at=1.0 + n) for n in range(40)]))
    busy = Busy(store.driver)
    assert await Store(busy).seal() <= 64, "two pieces, with what came in the meantime"
    assert 1 <= 20 - len(list(busy.more)) <= 3
    await store.seal()
    assert await store.sealed() == await rows_in(store, "event")
