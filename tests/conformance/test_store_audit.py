"""The sealed audit trail, over every database."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from conformance.things import ALL, event, put, thing
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Commit, EventQuery, Write
from modelyard.storage import audit
from modelyard.storage.audit import Break
from modelyard.storage.driver import Statement, Work
from modelyard.storage.store import Store


@pytest.fixture(autouse=True)
async def declared(store: Store) -> None:
    await store.declare(ALL)


async def made(store: Store, *events: Event) -> list[Event]:
    for one in events:
        await store.commit(Commit(events=[one]))
    return list(events)


async def tamper(store: Store, sql: str, *values: Any) -> None:
    def work() -> Work[None]:
        yield Statement(sql, values)

    await store.driver.transact(work)


async def trail(store: Store, **query: Any) -> list[str]:
    found = await store.events(EventQuery(**({"workspace": "w", "size": 1000} | query)))
    return [one.event.id for one in found]


async def test_events_come_back_as_they_were_once_they_are_sealed(store: Store) -> None:
    full = event(
        before={"b": [1, 2.5, None, True], "a": {"ü": '🦆 " \\ \n \u0001'}},
        after={"n": 1e16, "m": 2**60, "f": 1.0},
        at=1763712345.123456,
    )
    (one, two) = await made(store, full, event("thing.delete", before={}, after=None))
    assert await store.events(EventQuery(workspace="w")) == []
    assert (await store.sealed(), await store.seal(), await store.seal()) == (0, 2, 0)
    first, second = await store.events(EventQuery(workspace="w", ascending=True))
    assert (first.sequence, first.event, second.event) == (1, one, two)
    assert await store.sealed() == 2


async def test_who_follows_the_trail_reads_what_changed_where_it_asks_for_it(store: Store) -> None:
    kinds = ("test/things", "", "test/others", "test/things")
    events = await made(store, *(event(kind=kind, before=[1], after={"a": 2}) for kind in kinds))
    await store.seal()
    found = await store.news(1, 2, ("", "test/others"))
    assert [one.sequence for one in found] == [2, 3]
    assert [one.event for one in found] == events[1:3]
    (last,) = await store.news(3, 2, ("",))
    assert last.event == replace(events[3], before=None, after=None)
    assert await store.news(4, 2, ("",)) == []


async def test_an_auditor_can_recompute_the_chain(store: Store) -> None:
    """By what kernel/events.py says, with nothing of ours."""
    values = {"ü": [0.1, 1e22, -0.0, 10**20], "a": "\u2028\x7f/", "A": None}
    await made(store, event(after=values), event(before="x"), event())
    await store.seal()
    digest = bytes(32)
    for number, one in enumerate(await store.events(EventQuery(workspace="w", ascending=True)), 1):
        told = one.event
        array = [number, told.id, told.at, told.workspace, told.actor, told.verb, told.kind]
        array += [told.resource, told.request_id, told.before, told.after]
        text = json.dumps(array, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        digest = hashlib.sha256(digest + text.encode()).digest()
        assert (one.sequence, one.digest) == (number, digest)
    assert await store.verify() is None


async def test_events_are_sealed_in_the_order_of_time_across_batches(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "BATCH", 4)
    events = [event(at=float(100 - n)) for n in range(11)]
    await made(store, *events)
    assert await store.seal() == 11
    assert await trail(store, ascending=True) == [one.id for one in reversed(events)]
    assert await store.verify() is None
    late = event(at=1.0)
    await made(store, late)
    assert await store.seal() == 1
    assert (await trail(store))[0] == late.id


async def test_sealers_at_once_make_one_chain(
    store: Store, opened: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "BATCH", 3)
    stores = [store, *[await opened() for _ in range(3)]]

    async def both(number: int) -> int:
        sealed = 0
        for at in range(10):
            await stores[number].commit(
                put(
                    thing(f"r{number}-{at}"),
                )
            )
            await made(stores[number], event())
            sealed += await stores[number].seal()
        return sealed

    assert sum(await asyncio.gather(*map(both, range(4)))) == 40
    assert (await store.sealed(), await store.verify()) == (40, None)


@pytest.mark.parametrize(
    "sql, expected",
    [
        ("UPDATE event SET actor = 'eve' WHERE sequence = 7", Break(7, "e7", "changed")),
        ("UPDATE event SET before = '{\"n\":6}' WHERE sequence = 7", Break(7, "e7", "changed")),
        ("UPDATE event SET at = at + 1 WHERE sequence = 1", Break(1, "e1", "changed")),
        ("DELETE FROM event WHERE sequence = 7", Break(7, "", "missing")),
        ("DELETE FROM event WHERE sequence = 1", Break(1, "", "missing")),
        ("UPDATE event SET id = 'x' || id WHERE id = 'e9'", Break(9, "xe9", "changed")),
        ("UPDATE event SET digest = NULL WHERE sequence = 3", Break(3, "e3", "changed")),
    ],
)
async def test_the_first_broken_place_is_found(
    store: Store, sql: str, expected: Break | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "BATCH", 5)
    await made(store, *(event(id=f"e{n}", before={"n": n}, at=float(n)) for n in range(1, 13)))
    await store.seal()
    assert await store.verify() is None
    await tamper(store, sql)
    assert await store.verify() == expected


async def test_reordered_inserted_and_cut_off_events_are_found(store: Store) -> None:
    await made(store, *(event(id=f"e{n}", at=float(n)) for n in range(1, 9)))
    await store.seal()
    newest = (await store.events(EventQuery(workspace="w", size=1)))[0]
    anchor = (newest.sequence, newest.digest)
    assert await store.verify(anchor) is None
    for old, new in ((4, 99), (5, 4), (99, 5)):
        await tamper(store, "UPDATE event SET sequence = ? WHERE sequence = ?", new, old)
    assert await store.verify() == Break(4, "e5", "changed")
    for old, new in ((4, 99), (5, 4), (99, 5)):
        await tamper(store, "UPDATE event SET sequence = ? WHERE sequence = ?", new, old)
    assert await store.verify() is None
    await tamper(store, "DELETE FROM event WHERE sequence > 6")
    assert await store.verify() is None
    assert await store.verify(anchor) == Break(7, "", "missing")
    await made(store, event(id="forged"), event(id="forged2"))
    await store.seal()
    assert await store.verify() is None
    assert await store.verify(anchor) == Break(8, "forged2", "changed")
    for number in (8, 7, 6):
        await tamper(store, "UPDATE event SET sequence = ? WHERE sequence = ?", number + 1, number)
    await tamper(
        store,
        "INSERT INTO event (id, at, workspace, actor, verb, resource, request_id, sequence) "
        "VALUES ('inserted', 5.5, 'w', 'a', 'v', 'r', 'q', 6)",
    )
    assert await store.verify() == Break(6, "inserted", "changed")


async def test_the_trail_is_narrowed(store: Store) -> None:
    events = {
        "a": event("thing.create", resource="test/things/a", at=1.0, after={"name": "Duck 1"}),
        "part": event(
            "part.update", resource="test/things/a/parts/1", kind="test/things/parts", at=2.0
        ),
        "ab": event("thing.update", resource="test/things/ab", actor="key_2", at=3.0),
        "all": event("thing.delete", at=4.0, request_id="r2", before={"x": ["the duck"]}),
        "foreign": event("thing.delete", workspace="v", at=5.0, before={"x": "duck"}),
    }
    await made(store, *events.values())
    await store.seal()
    names = {one.id: name for name, one in events.items()}

    async def found(**query: Any) -> list[str]:
        return [names[one] for one in await trail(store, **query)]

    assert await found() == ["all", "ab", "part", "a"]
    assert await found(workspace=None) == ["foreign", "all", "ab", "part", "a"]
    assert await found(workspace="v") == ["foreign"]
    assert await found(ascending=True, size=2) == ["a", "part"]
    assert await found(resource="test/things/a") == ["all", "a"]
    assert await found(resource="test/things/a", below=True) == ["all", "part", "a"]
    assert await found(kind="test/things/parts") == ["part"]
    assert await found(actor="key_2") == ["ab"]
    assert await found(verb="thing.update") == ["ab"]
    assert await found(verb="thing.*") == ["all", "ab", "a"]
    assert await found(verb="*") == ["all", "ab", "part", "a"]
    assert await found(request_id="r2") == ["all"]
    assert await found(since=2.0, until=4.0) == ["ab", "part"]
    assert await found(after=3) == ["part", "a"]
    assert await found(after=2, ascending=True) == ["ab", "all"]
    assert await found(words="DUCK") == ["all", "a"]
    assert await found(words="duck 1") == ["a"]
    assert await found(words="delete things") == ["all"]
    assert await found(words="duck", workspace=None) == ["foreign", "all", "a"]
    assert await found(words="nothing") == []


async def test_an_event_is_there_with_its_change_or_not_at_all(store: Store) -> None:
    one = Commit(writes=[Write(row=thing("a"))], events=[event()])
    await store.commit(one)
    assert await store.seal() == 1
