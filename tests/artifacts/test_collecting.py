"""What nobody needs is removed after its time, and nothing that anybody needs."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from artifacts.api import noise, sha256
from artifacts.shop import GRACE, Shop
from modelyard.artifacts import artifacts, keeping, uploads
from modelyard.artifacts.collecting import Collected
from modelyard.artifacts.schema import Artifact
from modelyard.artifacts.schema import Upload as UploadSpec
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Refused
from modelyard.protocol.errors import Failure
from modelyard.storage.artifacts.objects import Objects
from modelyard.storage.postgres import Postgres
from modelyard.storage.sqlite import Database
from postgres import Server


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    one = Shop(Database(tmp_path / "control.db", sync="second"))
    await one.open()
    yield one
    await one.store.close()


async def test_what_is_referred_to_stays(shop: Shop) -> None:
    data = noise(100_000, "stays")
    row = await shop.make(data)
    for days in (0, 1, 100):
        assert await shop.collector.collect(time.time() + days * 86400) == Collected()
    assert await shop.read(row.spec["head"]) == data
    with pytest.raises(Refused, match="in use"):
        await shop.decide(lambda context: _delete(context, row.spec["head"]))


async def _collected(shop: Shop) -> list[Collected]:
    """What goes after one grace period, and after another."""
    now = time.time()
    assert await shop.collector.collect(now) == Collected()
    return [await shop.collector.collect(now + periods * GRACE) for periods in (1, 2)]


async def _delete(context: Context, digest: str) -> None:
    item: Item[Artifact] = await context.get(artifacts, digest)
    await keeping.free(context, item)


async def test_what_nothing_refers_to_goes_after_the_grace_period(shop: Shop) -> None:
    data, now = noise(100_000, "goes"), time.time()
    row = await shop.make(data)
    await shop.drop(row)
    digest = row.spec["head"]
    assert await shop.collector.collect(now) == Collected()
    assert await shop.collector.collect(now + GRACE - 1) == Collected()
    assert await shop.read(digest) == data
    assert (await shop.collector.collect(now + GRACE)).artifacts == 1
    with pytest.raises(Failure, match="There is no"):
        await shop.read(digest)
    assert len(await shop.places()) == 1, "its bytes have a grace period of their own"
    assert await shop.collector.collect(now + 2 * GRACE - 1) == Collected()
    assert (await shop.collector.collect(now + 2 * GRACE)).blobs == 1
    assert await shop.places() == []


async def test_a_reference_in_time_saves_it(shop: Shop) -> None:
    data, now = noise(1000, "saved"), time.time()
    await shop.drop(await shop.make(data))
    await shop.collector.collect(now)
    row = await shop.make(data)
    assert await shop.collector.collect(now + GRACE) == Collected()
    await shop.drop(row)
    assert await shop.collector.collect(now + GRACE) == Collected(), "the period begins anew"
    assert await shop.read(row.spec["head"]) == data


async def test_bytes_that_another_workspace_has_stay(shop: Shop) -> None:
    data = noise(1000, "shared")
    row, other = await shop.make(data), await shop.make(data, "elsewhere")
    digest = row.spec["head"]
    await shop.drop(row)
    assert await _collected(shop) == [Collected(artifacts=1), Collected()]
    with pytest.raises(Failure, match="There is no"):
        await shop.read(digest)
    assert await shop.read(digest, "elsewhere") == data
    await shop.drop(other)
    assert await _collected(shop) == [Collected(artifacts=1), Collected(blobs=1)]


async def test_a_request_that_fails_leaves_nothing(shop: Shop) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield noise(9_000_000, "broken")
        raise ConnectionError

    async def method(context: Context) -> None:
        await context.artifacts.put(broken())

    with pytest.raises(ConnectionError):
        await shop.decide(method)
    assert await shop.places() == [] and await shop.store.everywhere(uploads.kind) == []


async def test_bytes_without_their_commit_go(shop: Shop) -> None:
    """The method came to an end, and the process with it, before the commit."""
    await shop.context().artifacts.put(_once(noise(1000, "uncommitted")))
    assert len(await shop.places()) == 1
    assert await shop.collector.collect(time.time()) == Collected()
    later = time.time() + keeping.ONE_REQUEST_SECONDS + 1
    assert (await shop.collector.collect(later)).uploads == 1
    assert await shop.places() == []


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def test_an_upload_that_nobody_finishes_goes(shop: Shop) -> None:
    spec = keeping.admitted(shop.depot, UploadSpec(), 500.0)
    row = (await shop.decide(lambda context: context.create(uploads, spec))).row
    await shop.depot.places.write(spec.place, 1, b"a part", sealed=False)
    assert (await shop.collector.collect(row.created_at + 490)).uploads == 0
    assert (await shop.collector.collect(time.time() + 510)).uploads == 1
    assert await shop.places() == []


async def test_bytes_that_no_row_knows_go_and_foreign_files_stay(shop: Shop) -> None:
    await shop.objects.put("place_00000000000000aa/000001-1-" + "0" * 64, b"x")
    await shop.objects.put("photos/holiday.jpg", b"x")
    assert (await shop.collector.collect(time.time())).places == 1
    assert await shop.places() == ["photos"]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_the_collector_against_those_who_make_and_drop(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    database: str,
) -> None:
    """Whatever has a dataset can be read whole; in the end nothing else is left."""
    shop = await _shop(request, tmp_path, database)
    sweep = shop.objects.sweep

    async def by_the_clock(before: float) -> int:
        """Files have the machine's times: by ours, what is being written was left long since."""
        return await sweep(min(before, time.time() - keeping.ONE_REQUEST_SECONDS))

    monkeypatch.setattr(shop.objects, "sweep", by_the_clock)
    contents = [noise(2000, f"content {n}") for n in range(3)]
    chance, ending = random.Random(7), asyncio.Event()
    # Each round is later than the grace period before it, and none so late that what is being put
    # counts as given up.
    later = itertools.count(0.0, 2.0)
    rounds = itertools.repeat(None, int(keeping.ONE_REQUEST_SECONDS / 4))

    async def worker(workspace: str) -> None:
        for _ in range(25):
            data = chance.choice(contents)
            row = await shop.make(data, workspace)
            assert await shop.read(row.spec["head"], workspace) == data
            await asyncio.sleep(chance.random() * 0.004)
            assert await shop.read(row.spec["head"], workspace) == data
            await shop.drop(row)

    async def collect() -> None:
        while not ending.is_set() and next(rounds, ending) is None:
            await shop.collector.collect(time.time() + next(later))
            await asyncio.sleep(0.01)

    collecting = [asyncio.create_task(collect()) for _ in range(2)]
    await asyncio.gather(*(worker(name) for name in ("default", "elsewhere", "default")))
    ending.set()
    await asyncio.gather(*collecting)
    for _ in range(4):  # what was decided anew had put its bytes twice: the first expire
        await shop.collector.collect(time.time() + keeping.ONE_REQUEST_SECONDS + next(later))
    assert await shop.places() == []
    assert await shop.store.everywhere(artifacts.kind) == []
    await shop.store.close()


async def _shop(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> Shop:
    if database == "sqlite":
        shop = Shop(Database(tmp_path / "control.db", sync="second"), grace=1.0)
    else:
        server: Server = request.getfixturevalue("postgresql")
        shop = Shop(Postgres(await asyncio.to_thread(server.create)), grace=1.0)
    await shop.open()
    return shop


async def test_over_a_bucket(tmp_path: Path, objects: Objects) -> None:
    shop = Shop(Database(tmp_path / "control.db"), objects)
    await shop.open()
    data = noise(9_000_000, "bucket")
    row = await shop.make(data)
    assert await shop.read(row.spec["head"]) == data and row.spec["head"] == sha256(data)
    await shop.drop(row)
    assert await _collected(shop) == [Collected(artifacts=1), Collected(blobs=1)]
    assert await shop.places() == []
    await shop.store.close()
