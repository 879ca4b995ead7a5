"""Sealing beside those who write, and the digests that it makes of what is stored."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.things import event
from modelyard.kernel.events import BEGINNING, Event, link
from modelyard.kernel.ports import Commit
from modelyard.storage import sealing
from modelyard.storage.driver import Driver, Rows, Statement, Values, Work
from modelyard.storage.postgres import Postgres
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store
from postgres import Server

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@given(before=JSON, after=JSON, at=st.floats(0, 2**40), actor=TEXTS)
def test_the_digest_of_what_is_stored_is_that_of_the_event(
    before: Any, after: Any, at: float, actor: str
) -> None:
    """The fast way is the published one; the slow one verifies."""
    texts = [None if one is None else msgspec.json.encode(one).decode() for one in (before, after)]
    made = Event(
        id="e",
        at=at,
        workspace="w",
        actor=actor,
        verb="v",
        kind="k",
        resource="r",
        request_id="q",
        before=None if texts[0] is None else msgspec.json.decode(texts[0]),
        after=None if texts[1] is None else msgspec.json.decode(texts[1]),
    )
    stored = ("e", at, "w", actor, "v", "k", "r", "q", *texts)
    assert sealing.link(BEGINNING, 7, stored) == link(BEGINNING, 7, made)


class Slower:
    """A driver whose changes come after another process's sealing."""

    def __init__(self, driver: Driver, first: Callable[[], Any]) -> None:
        self.dialect, self._driver, self._first = driver.dialect, driver, first

    async def fetch(self, sql: str, values: Values = ()) -> Rows:
        return await self._driver.fetch(sql, values)

    async def transact(self, work: Callable[[], Work[Any]], **how: bool) -> Any:
        await self._first()
        return await self._driver.transact(work, **how)

    async def attempt(self, statement: Statement) -> bool:
        await self._first()
        return await self._driver.attempt(statement)


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[list[Store]]:
    stores = [Store(Database(tmp_path / "a.db")) for _ in range(2)]
    yield stores
    for one in stores:
        await one.close()


async def test_what_another_process_sealed_meanwhile_is_sealed_once(stores: list[Store]) -> None:
    ours, other = stores
    await ours.commit(Commit(events=[event(id=f"e{n}", at=1.0 + n) for n in range(3)]))
    slower: Any = Slower(ours.driver, other.seal)
    assert await sealing.beside(slower) is None, "it is to look again"
    assert await sealing.beside(slower) == 0
    assert (await ours.sealed(), await ours.verify()) == (3, None)


@pytest.fixture
async def remote(postgresql: Server) -> AsyncIterator[list[Store]]:
    url = await asyncio.to_thread(postgresql.create)
    stores = [Store(Postgres(url)) for _ in range(2)]
    for one in stores:
        await one.open()
    yield stores
    for one in stores:
        await one.close()


@pytest.mark.parametrize("before", [0, 2])
async def test_two_processes_on_postgresql_seal_each_event_once(
    remote: list[Store], before: int
) -> None:
    ours, other = remote
    for told in (range(before), range(before, before + 3)):
        await ours.commit(Commit(events=[event(id=f"e{n}", at=1.0 + n) for n in told]))
        await other.seal() if told.start < before else None
    slower: Any = Slower(ours.driver, other.seal)
    assert await sealing.whole(slower) is None, "it is to look again"
    assert await sealing.whole(slower) == 0
    assert (await ours.sealed(), await ours.verify()) == (before + 3, None)
    await ours.commit(Commit(events=[event(id=f"f{n}", at=9.0 + n) for n in range(99)]))
    await asyncio.gather(ours.seal(), other.seal())
    while await ours.seal():
        pass
    assert (await ours.sealed(), await ours.verify()) == (before + 102, None)


@pytest.mark.parametrize("many", [False, True])
async def test_others_are_served_between_events_unless_it_falls_behind(many: bool) -> None:
    turns, over = 0, False

    async def serve() -> None:
        nonlocal turns
        while not over:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(serve())
    found = [(f"e{n}", 1.0, *["w"] * 6, None, None) for n in range(sealing.PIECE)]
    places = await sealing.chained([], found, many)
    over = True
    await others
    assert [number for number, *_ in places] == list(range(1, sealing.PIECE + 1))
    assert turns >= sealing.PIECE // 4 if not many else turns <= 1


async def test_changes_come_between_pieces_of_a_long_trail(stores: list[Store]) -> None:
    """Each change that is asked for while a trail is sealed waits for one piece at most."""
    ours = stores[0]
    await ours.commit(Commit(events=[event(id=f"e{n:03}", at=1.0 + n) for n in range(320)]))
    sealed = asyncio.create_task(ours.seal())
    seen = []
    while not sealed.done():
        await ours.commit(Commit(events=[event(id=f"late{len(seen)}", at=999.0)]))
        seen.append(await ours.sealed())
    assert await sealed >= 320
    steps = [after - before for before, after in zip([0, *seen], seen, strict=False)]
    assert max(steps) <= 2 * sealing.PIECE, seen
    while await ours.seal():
        pass
    assert (await ours.sealed(), await ours.verify()) == (320 + len(seen), None)
