"""Commits that are one statement on PostgreSQL: what they are refused for is known from it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from conformance.things import ALL, TAGS, THINGS, event, put, thing
from modelyard.kernel.ports import Commit, Query, Refused, Row, Write
from modelyard.protocol.filtering import Has
from modelyard.storage import at_once, declared
from modelyard.storage.postgres import Postgres
from modelyard.storage.store import Store
from postgres import Server


@pytest.fixture
async def store(postgresql: Server) -> AsyncIterator[Store]:
    made = Store(Postgres(await asyncio.to_thread(postgresql.create)))
    await made.open()
    await made.declare(ALL)
    yield made
    await made.close()


def changed(row: Row, colour: str) -> Write:
    after = replace(row, revision=row.revision + 1, spec={"colour": colour})
    return Write(row=after, expected=row.revision, before=row)


async def test_a_stale_one_is_told_without_a_transaction(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = thing("a", revision=1)
    await store.commit(put(row))
    await store.commit(Commit(writes=[changed(row, "red")]))

    async def none(*_: Any, **__: Any) -> None:
        raise AssertionError("a transaction")

    monkeypatch.setattr(store.driver, "transact", none)
    part = thing("p", kind="test/things/parts", parent="test/things/a")
    for writes in ([changed(row, "blue")], [changed(row, "blue"), Write(row=part)]):
        with pytest.raises(Refused) as raised:
            await store.commit(Commit(writes=writes))
        assert (raised.value.reason, raised.value.address) == ("stale", row.address)
    assert await store.get(part.address) is None
    found = await store.get(row.address)
    assert found is not None and found.spec == {"colour": "red"}


async def test_a_resource_above_that_is_missing_is_told(store: Store) -> None:
    part = thing("p", kind="test/things/parts", parent="test/things/nowhere")
    with pytest.raises(Refused) as raised:
        await store.commit(put(part))
    assert (raised.value.reason, raised.value.field) == ("missing", "parent")


async def test_what_a_commit_repeats_is_sent_once(store: Store) -> None:
    row = thing("a", {"title": "grey", "tags": ["key_1", "w"]}, labels={"a": "a"}, revision=1)
    told = event(id="e", at=row.created_at, after={"a": 1})
    commit = Commit(writes=[Write(row=row)], events=[told])
    made = at_once.statement(commit, {"test/things": declared.ready(THINGS)}.__getitem__)
    assert made is not None
    assert [made.values.count(one) for one in ("test/things", "a")] == [1, 3], "labels as they are"
    assert made.values.count("key_1") == made.values.count("w") == 2
    await store.commit(commit)
    assert await store.get(row.address) == row
    wanted = Query(kind="test/things", workspace="w", filter=Has(TAGS, "key_1"))
    assert await store.page(wanted) == [row]


@pytest.mark.parametrize("name", ["w", "key_1", "test/things", "1.0"])
async def test_equal_values_of_different_columns_stay_what_they_are(
    store: Store, name: str
) -> None:
    """A resource that is called as its workspace, its kind or who made it."""
    row = thing(name, {"colour": name}, labels={name: name}, revision=1, at=1.0)
    await store.commit(put(row))
    assert await store.get(row.address) == row
    await store.commit(Commit(writes=[changed(row, name)]))
    found = await store.get(row.address)
    assert found is not None and (found.revision, found.spec) == (2, {"colour": name})
