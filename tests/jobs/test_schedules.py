"""Schedules: begun once, whatever the number of processes, and what was missed is made up for."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from e2e.client import Client
from modelyard.auth.policy import PolicySet
from modelyard.jobs import schedules
from modelyard.jobs.compute import Capacity
from modelyard.jobs.job import Job
from modelyard.jobs.kinds import kind
from modelyard.jobs.operations import operations
from modelyard.jobs.schedules import Missed, Timetable
from modelyard.kernel.context import Context, Ports
from modelyard.kernel.ports import Commit, Query, Write
from modelyard.protocol import errors
from modelyard.protocol.errors import Failure
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store
from patience import until
from serving import Server

Opened = Callable[[], Awaitable[Ports]]

HOUR = 3600.0


async def nothing(job: Job) -> None:
    """Do nothing."""


NOTHING = kind("tests.nothing", nothing, permission="work:nothing")


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    """Open one process's ports. Its hour does not end during a test."""
    stores: list[Store] = []

    async def open_() -> Ports:
        until(lambda: errors.now() % HOUR < HOUR - 10)
        stores.append(store := Store(Database(tmp_path / "a.db")))
        await store.declare([operations.indexed])
        services: dict[type, Any] = {Capacity: Capacity(None)}
        return Ports(store, PolicySet(), {operations.kind: operations}, services)

    yield open_
    for store in stores:
        await store.close()


async def begun(ports: Ports) -> list[dict[str, str]]:
    """The labels of all operations."""
    query = Query(kind=operations.kind, workspace="default", size=1000)
    return [row.labels for row in await ports.store.page(query)]


async def scheduled(ports: Ports, expression: str, missed: Missed = "once") -> Timetable:
    context = Context(schedules.SYSTEM, "", ports)
    schedules.set_schedule(context, "s", NOTHING, expression, missed=missed)
    await ports.store.commit(context.commit)
    timetable = Timetable()
    await timetable.load(ports.store)
    return timetable


async def test_it_begins_at_its_time_and_not_before(opened: Opened) -> None:
    ports = await opened()
    timetable = await scheduled(ports, "0 * * * *")
    next_at = timetable._next
    assert await timetable.tick(ports, next_at - 1) == 0
    assert await timetable.tick(ports, next_at) == 1
    assert await timetable.tick(ports, next_at + 1) == 0
    assert await timetable.tick(ports, next_at + HOUR) == 1
    due = {one["due"] for one in await begun(ports)}
    assert due == {str(int(next_at)), str(int(next_at + HOUR))}
    row = (await ports.store.page(Query(kind=operations.kind, workspace="default")))[0]
    assert row.spec["metadata"]["kind"] == "tests.nothing"
    assert row.spec["caller"]["id"] == "system"


@pytest.mark.parametrize(("missed", "count"), [("once", 1), ("each", 6), ("skip", 0)])
async def test_what_was_missed(opened: Opened, missed: Missed, count: int) -> None:
    ports = await opened()
    timetable = await scheduled(ports, "0 * * * *", missed)
    late = timetable._next + 5 * HOUR + 600
    assert await timetable.tick(ports, late) == count
    assert len(await begun(ports)) == count
    assert await timetable.tick(ports, late + 1) == 0


async def test_of_several_processes_one_begins_it(opened: Opened) -> None:
    first = await opened()
    await scheduled(first, "0 * * * *")
    others = [first, *[await opened() for _ in range(3)]]
    tables = [Timetable() for _ in others]
    for table, ports in zip(tables, others, strict=True):
        await table.load(ports.store)
    at = tables[0]._next
    for hour in range(5):
        now = at + hour * HOUR
        ticks = (table.tick(ports, now) for table, ports in zip(tables, others, strict=True))
        assert sum(await asyncio.gather(*ticks)) == 1
    assert len(await begun(first)) == 5


@pytest.mark.slow
def test_a_server_begins_what_its_settings_say() -> None:
    with Server('[jobs]\nverify_audit = "* * * * *"\n') as server:
        server.stop()
        asyncio.run(make_due(server.home / "modelyard.db"))
        server.start()
        client = Client(server.url, server.key)
        ends = time.monotonic() + 60
        while True:
            found = client.get("/v1/operations").json["operations"]
            if found and found[-1]["done"]:
                break
            assert time.monotonic() < ends, (found, server.log())
            time.sleep(0.1)
    assert found[-1]["metadata"]["kind"] == "audit.verify"
    assert found[-1]["response"]["intact"] is True
    assert found[-1]["labels"]["schedule"] == "verify-audit"


async def make_due(path: Path) -> None:
    """As if the time had come."""
    store = Store(Database(path))
    (row,) = await store.everywhere(schedules.SCHEDULES)
    spec = row.spec | {"next_at": time.time() - 1}
    after = structs.replace(row, revision=row.revision + 1, spec=spec)
    await store.commit(Commit(writes=[Write(row=after, expected=row.revision)]))
    await store.close()


async def test_a_declared_one_follows_the_settings(opened: Opened) -> None:
    ports = await opened()
    for expression, count in (("0 1 * * *", 1), ("0 2 * * *", 1), (None, 0)):
        await schedules.declare(ports.store, "s", NOTHING, expression)
        rows = await ports.store.everywhere(schedules.SCHEDULES)
        assert [row.spec["cron"] for row in rows] == [expression][:count]
    with pytest.raises(Failure, match="'cron' is wrong"):
        await schedules.declare(ports.store, "s", NOTHING, "61 * * * *")
