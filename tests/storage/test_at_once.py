"""Commits that are one statement on PostgreSQL: what they are refused for is known from it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from conformance.things import ALL, put, thing
from modelyard.kernel.ports import Commit, Refused, Row, Write
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
