"""Questions to the audit trail, over both databases: filters, ids, tallies, parts of the chain."""

from typing import Any

import pytest

from conformance.test_store_plans import explained, full  # noqa: F401 (a fixture)
from conformance.things import ALL, event
from modelyard.kernel.ports import Chain, Commit, EventQuery
from modelyard.protocol.filtering import And, Compare, Field, Not, Or, Text
from modelyard.storage import audit
from modelyard.storage.driver import Statement, Work
from modelyard.storage.store import Store

ACTOR = Field("actor", "string", column="actor")
VERB = Field("verb", "string", column="verb")
AT = Field("at", "time", column="at")
REQUEST = Field("requestId", "string", column="request_id")
RESOURCE = Field("resource", "string", column="resource")


async def made(store: Store, *several: dict[str, object]) -> None:
    """Sealed events e1, e2 … of the actors named."""
    events = [
        event(id=f"e{number}", at=float(number), **one)  # type: ignore[arg-type]
        for number, one in enumerate(several, 1)
    ]
    store.know(ALL)  # who knows no kinds makes no words
    await store.commit(Commit(events=events))
    await store.seal()


async def ids(store: Store, **query: object) -> list[str]:
    asked: Any = {"workspace": "w", "ascending": True} | query
    found = await store.events(EventQuery(**asked))
    return [one.event.id for one in found]


async def test_a_filter_of_events(store: Store) -> None:
    await made(
        store,
        {"actor": "ada", "verb": "key.create", "after": {"name": "first one"}},
        {"actor": "bob", "verb": "key.update", "before": {"name": "first one"}},
        {"actor": "ada", "verb": "user.create", "workspace": "v"},
        {"actor": "ada", "verb": "user.create", "request_id": "r4"},
    )
    ada, keys = Compare(ACTOR, "=", "ada"), Compare(VERB, "=", "key.*", wild=True)
    assert await ids(store, filter=ada) == ["e1", "e4"]
    assert await ids(store, filter=keys) == ["e1", "e2"]
    assert await ids(store, filter=And((ada, keys))) == ["e1"]
    assert await ids(store, filter=Or((ada, keys))) == ["e1", "e2", "e4"]
    assert await ids(store, filter=Not(ada)) == ["e2"]
    assert await ids(store, filter=Compare(AT, ">=", 2.0)) == ["e2", "e4"]
    assert await ids(store, filter=Compare(REQUEST, "=", "r4")) == ["e4"]
    assert await ids(store, filter=Text("ONE first")) == ["e1", "e2"]
    assert await ids(store, filter=And((Text("first"), Not(keys)))) == []
    assert await ids(store, ids=["e4", "e3", "e9"]) == ["e4"]
    assert await ids(store, ids=[]) == []
    with pytest.raises(ValueError, match="nothing to filter"):
        await ids(store, filter=Compare(Field("x", "string", ("x",)), "=", "y"))


async def test_a_tally(store: Store) -> None:
    actors = [{"actor": name} for name in "abacab"]
    await made(store, *actors, {"actor": "z", "workspace": "v"})
    query = EventQuery(workspace="w", after=2)
    assert await store.tally(query, "actor") == [("a", 3), ("b", 2), ("c", 1)]
    assert await store.tally(EventQuery(workspace="w", size=1), "actor") == [("a", 3)]
    assert await store.tally(EventQuery(workspace=None, since=6.0), "actor") == [("b", 1), ("z", 1)]


async def test_a_part_of_the_chain(store: Store) -> None:
    await made(store, *[{} for _ in range(9)])
    trail = await store.events(EventQuery(workspace="w", ascending=True))
    digests = {one.sequence: one.digest for one in trail}
    assert await store.examine() == Chain(1, 9, digests[9])
    assert await store.examine(after=4) == Chain(5, 9, digests[9])
    assert await store.examine(after=4, most=3) == Chain(5, 7, digests[7])
    assert await store.examine(anchor=(5, digests[5])) == Chain(1, 9, digests[9])

    def work() -> Work[None]:
        yield Statement("UPDATE event SET verb = 'x' WHERE sequence = 6")

    await store.driver.transact(work)
    assert await store.examine() == Chain(1, 5, digests[5], 6, "changed", "e6")
    assert await store.examine(after=6) == Chain(7, 9, digests[9])
    assert await store.examine(anchor=(3, b"other")) == Chain(1, 2, digests[2], 3, "changed", "e3")


async def test_an_empty_chain(store: Store) -> None:
    assert await store.examine() == Chain(1, 0, bytes(32))
    assert await store.examine(anchor=(2, b"")) == Chain(1, 0, bytes(32), 1, "missing")


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (Compare(ACTOR, "=", "a7"), "event_actor"),
        (Compare(VERB, "=", "verb7.*", wild=True), "event_verb"),
        (Compare(REQUEST, "=", "q7"), "event_request"),
        (Compare(RESOURCE, "=", "test/things/r7"), "event_resource"),
        (Text("r7"), "search"),
    ],
)
async def test_a_filter_uses_an_index(
    full: Store,  # noqa: F811
    asked: Compare,
    index: str,
) -> None:
    query = EventQuery(workspace="w", filter=asked)
    sql, values = audit.statement(query, full.driver.dialect)
    plan = await explained(full, sql, values)
    assert index in plan
    assert "Seq Scan" not in plan


async def test_a_day_is_counted_along_its_index(full: Store) -> None:  # noqa: F811
    query = EventQuery(workspace="w", since=100.0, until=110.0)
    where, values = audit._where(query, full.driver.dialect)
    for part in ("verb", "actor", "kind", "resource"):
        sql = f"SELECT {part}, count(*) FROM event WHERE {where} GROUP BY 1"
        assert "event_time" in await explained(full, sql, values)


@pytest.mark.parametrize(
    "query",
    [
        EventQuery(workspace="w", resource="test/things/r7", below=True),
        EventQuery(
            workspace="w",
            filter=And((Text("r7"), Compare(RESOURCE, "=", "*/r7", wild=True))),
        ),
        EventQuery(workspace="w", ids=["e1", "e3"]),
    ],
    ids=["name", "id", "ids"],
)
async def test_one_entity_is_found_without_going_along_the_trail(
    full: Store,  # noqa: F811
    query: EventQuery,
) -> None:
    sql, values = audit.statement(query, full.driver.dialect)
    plan = await explained(full, sql, values)
    if full.driver.dialect.name == "sqlite":  # PostgreSQL decides by its figures
        assert "event_page" not in plan
    assert "Seq Scan on event" not in plan


async def test_below_a_name_is_what_has_it_as_its_path(store: Store) -> None:
    names = ["t/a", "t/a/b", "t/a/b/c", "t/a-x", "t/a.x", "t/ab", "t/a0", "t/b"]
    await made(store, *({"resource": name} for name in names))
    assert await ids(store, resource="t/a", below=True) == ["e1", "e2", "e3"]
    assert await ids(store, resource="t/a") == ["e1"]
