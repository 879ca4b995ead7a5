"""An installation in another database, in an archive, and back."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.things import ALL, event, put, thing
from modelyard.kernel.ports import Commit, Edge, Query, Reference, Replay, Write, position
from modelyard.protocol.filtering import Has, Text
from modelyard.storage.copies import copying
from modelyard.storage.copies.copying import Unequal, UnusableArchive
from modelyard.storage.copies.databases import Databases, summed
from modelyard.storage.copies.opening import open_source, open_target
from modelyard.storage.copies.tables import TABLES
from modelyard.storage.ledger.file import encode
from modelyard.storage.ledger.loading import Loader
from modelyard.storage.opening import driver, ledger_of
from modelyard.storage.schema import UnusableDatabase
from modelyard.storage.store import Store
from postgres import Server
from storage.ledger.records import various

ROWS = 300


async def opened(url: str | None, home: Path) -> Store:
    store = Store(driver(url, home))
    await store.open()
    await store.declare(ALL)
    return store


async def fill(url: str | None, home: Path) -> None:
    """An installation with something in every table."""
    await asyncio.to_thread(home.mkdir, exist_ok=True)
    store = await opened(url, home)
    chance = random.Random(3)
    base = thing("base")
    await store.commit(put(base))
    for number in range(ROWS):
        spec = {
            "title": f"Ünï “duck” {number}",
            "tags": [f"t{number % 7}"],
            "weight": chance.random() * 10 ** chance.randrange(-300, 300),
            "big": 2**70,
            "login": f"login{number}",
        }
        row = thing(f"r{number}", spec, labels={"k": f"v{number}"}, at=1e9 + chance.random())
        write = Write(row=row, references=(Reference("base", base.address),))
        edge = Edge(workspace="w", source=row.address.name, relation="used", target="t", at=0.1)
        one = event(before={"f": chance.random()}, after=spec, at=1e9 + chance.random())
        await store.commit(Commit(writes=[write], events=[one], edges=[edge]))
    assert [await store.seal(), await store.seal()] == [ROWS, 0]  # the second makes the words
    late = Write(row=thing("late", {"title": "duck"}))  # its words are not made yet
    await store.commit(Commit(writes=[late], events=[event("not.sealed")]))
    await store.claim(
        Replay(key=b"\0k", workspace="w", fingerprint=b"\xff", expires_at=time.time() + 99)
    )
    await store.close()
    (home / "pepper").write_bytes(b"\0pepper")
    (home / "modelyard.toml").write_text("port = 1")
    await asyncio.to_thread(load, url, home)


def load(url: str | None, home: Path) -> None:
    folder = home / "ledger"
    folder.mkdir()
    (folder / "1.jsonl").write_bytes(b"".join(map(encode, various(400))))
    loader = Loader(ledger_of(url, home))
    loader.load_folder(folder)
    path = folder / "2.jsonl"
    path.write_bytes(encode(various(401)[-1]) + encode(various(402)[-1]))
    fd = os.open(path, os.O_RDONLY)
    loader.load(path.name, fd, path.stat().st_size - 5)
    os.close(fd)
    loader.close()


async def sums(url: str | None, home: Path) -> dict[str, Any]:
    async with open_source(url, home) as found:
        return {table.path: (await summed(found, table)).told() for table in TABLES}


async def works(url: str | None, home: Path) -> None:
    """The copy is an installation: found by index, chain and log go on."""
    store = await opened(url, home)
    query = Query(kind="test/things", workspace="w", filter=Text("DUCK 17"), size=10)
    assert [row.address.id for row in await store.page(query)] == ["r17"]
    tagged = Query(kind="test/things", workspace="w", filter=Has(ALL[0].fields[6], "t3"), size=99)
    assert len(await store.page(tagged)) == len(range(3, ROWS, 7))
    assert (await store.find("test/things", ("login",), "login5")) is not None
    assert await store.verify() is None
    assert await store.seal() == 1
    assert (await store.sealed(), await store.verify()) == (ROWS + 1, None)
    await store.close()

    def log() -> None:
        loader = Loader(ledger_of(url, home))
        for expected in (401, 402):
            both = [loader.reader.count(one, 0.0) for one in ("default", "team-b")]
            assert sum(both) == expected
            loader.load_folder(home / "ledger")
        loader.close()

    await asyncio.to_thread(log)


@pytest.fixture
async def empty(postgresql: Server) -> str:
    return await asyncio.to_thread(postgresql.create)


class Told:
    """What a copy tells of its phases: what each has to do, and has done."""

    def __init__(self) -> None:
        self.phases: list[list[Any]] = []

    def phase(self, text: str, total: float | None = None, unit: str = "") -> None:
        self.phases.append([text, total, 0])

    def advance(self, count: float) -> None:
        self.phases[-1][2] += count


async def test_everything_is_moved_to_postgresql(tmp_path: Path, empty: str) -> None:
    await fill(None, tmp_path / "home")
    before = await sums(None, tmp_path / "home")
    told = Told()
    async with open_source(None, tmp_path / "home") as source, open_target(empty, tmp_path) as to:
        counts = await copying.copy(source, to, told)
    assert counts == {name: rows for name, (rows, _) in before.items()}
    rows = sum(counts.values())
    assert told.phases == [["writing rows", rows, rows], ["comparing rows", rows, rows]]
    assert min(counts.values()) > 0
    assert await sums(empty, tmp_path) == before == await sums(None, tmp_path / "home")
    with pytest.raises(UnusableDatabase, match="is not empty"):
        async with open_target(empty, tmp_path):
            pass
    await works(empty, tmp_path / "home")


@pytest.mark.parametrize("way", ["file to file", "file to server", "server to file"])
async def test_an_archive_brings_everything_back(tmp_path: Path, empty: str, way: str) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    first, _, second = way.partition(" to ")
    source = empty if first == "server" else None
    target = empty if second == "server" else None
    await fill(source, old)
    before = await sums(source, old)
    archive = tmp_path / "a.zip"
    manifest = await copying.backup(
        lambda: open_source(source, old), old, archive, progress=(told := Told())
    )
    assert archive.stat().st_mode & 0o777 == 0o600
    assert sorted(manifest.files) == ["ledger/2.jsonl", "pepper"]
    assert {name: one.rows for name, one in manifest.tables.items()} == {
        name: rows for name, (rows, _) in before.items()
    }
    await copying.restore(archive, lambda: open_target(target, new), new, progress=told)
    texts = ["reading rows", "checking the archive", "writing rows", "comparing rows"]
    assert [text for text, _, _ in told.phases] == texts
    assert all(total == done > 0 for _, total, done in told.phases)
    assert await sums(target, new) == before
    assert (new / "pepper").read_bytes() == b"\0pepper"
    assert not (new / "modelyard.toml").exists()
    assert [path.name for path in new.iterdir() if path.name.startswith(".")] == []
    await works(target, new)


async def test_nothing_is_replaced_unless_it_is_asked_for(tmp_path: Path, empty: str) -> None:
    home, archive = tmp_path / "home", tmp_path / "a.zip"
    await fill(None, home)
    before = await sums(None, home)

    def source() -> Databases:
        return open_source(None, home)

    await copying.backup(source, home, archive)
    with pytest.raises(FileExistsError):
        await copying.backup(source, home, archive)
    await copying.backup(source, home, archive, replace=True)
    store = await opened(None, home)
    await store.commit(put(thing("later")))
    await store.close()
    later = await sums(None, home)
    assert later != before
    for url in (None, empty):
        if url is not None:
            await copying.restore(archive, lambda: open_target(empty, home), tmp_path / "x")
        with pytest.raises((UnusableDatabase, FileExistsError)):
            await copying.restore(archive, lambda url=url: open_target(url, home), home)
    assert await sums(None, home) == later
    for url in (None, empty):
        await copying.restore(
            archive, lambda url=url: open_target(url, home, replace=True), home, replace=True
        )
        assert await sums(url, home) == before


async def test_a_damaged_archive_changes_nothing(tmp_path: Path) -> None:
    home, archive, new = tmp_path / "home", tmp_path / "a.zip", tmp_path / "new"
    await fill(None, home)
    before = await sums(None, home)
    await copying.backup(lambda: open_source(None, home), home, archive)
    whole = archive.read_bytes()

    async def refused(data: bytes) -> None:
        archive.write_bytes(data)
        with pytest.raises(UnusableArchive):
            await copying.restore(archive, lambda: open_target(None, new), new)
        assert not new.exists()

    await refused(b"")
    await refused(b"no archive at all")
    await refused(whole[: len(whole) // 2])
    chance = random.Random(1)
    found = 0
    for number in range(20):
        at, place = chance.randrange(len(whole) - 2000), tmp_path / str(number)
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            await copying.restore(archive, lambda place=place: open_target(None, place), place)
        except UnusableArchive:
            found += 1
        else:  # a byte of the ZIP format that nobody reads, as the time of a file
            assert await sums(None, place) == before
    assert found > 15
    for name, text in (("tables/control/edge.jsonl", "[1]\n"), ("home/pepper", "other")):
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as forged:
            archive.write_bytes(whole)
            with zipfile.ZipFile(archive) as good:
                for one in good.namelist():
                    forged.writestr(one, text if one == name else good.read(one))
        await refused((tmp_path / "b.zip").read_bytes())


async def pairs_in(store: Store) -> list[str]:
    """The ids of the rows that were written in pairs."""
    found, after = list[str](), None
    query: dict[str, Any] = {"kind": "test/things", "workspace": "w", "size": 500}
    while page := await store.page(Query(**query, after=after)):
        found += [row.address.id for row in page if row.address.id.startswith("p")]
        after = position(Query(**query), page[-1])
    return found


async def pairs_of(archive: Path, home: Path) -> int:
    """How many rows of pairs an archive has: whole pairs only, each with its event."""
    await copying.restore(archive, lambda: open_target(None, home), home)
    copy = await opened(None, home)
    pairs = await pairs_in(copy)
    ends = {end: {one[:-2] for one in pairs if one.endswith(end)} for end in "ab"}
    assert ends["a"] == ends["b"]
    events = await copy.driver.fetch("SELECT count(*) FROM event WHERE verb = 'pair.create'")
    assert events == [(len(ends["a"]),)]
    assert await copy.verify() is None
    await copy.close()
    return len(pairs)


@pytest.mark.parametrize("place", ["file", "server"])
async def test_a_backup_under_writes_is_one_moment(tmp_path: Path, empty: str, place: str) -> None:
    """Each commit writes two rows and an event: all of it is in the archive, or nothing."""
    url = empty if place == "server" else None
    home = tmp_path / "home"
    await fill(url, home)
    store = await opened(url, home)
    stopping = False
    written = meanwhile = 0
    wrote = asyncio.Event()

    async def write(worker: int) -> None:
        nonlocal written
        while not stopping:
            pair = [Write(row=thing(f"p{worker}-{written}-{side}")) for side in "ab"]
            await store.commit(Commit(writes=pair, events=[event("pair.create")]))
            written += 1
            wrote.set()
            if written % 20 == 0:
                await store.seal()

    tasks = [asyncio.create_task(write(n)) for n in range(4)]
    for number in range(3):
        archive = tmp_path / f"{number}.zip"
        wrote.clear()
        await wrote.wait()
        begun = written
        make = copying.backup(lambda: open_source(url, home), home, archive)
        if place == "file":  # it would not let the writers run: it reads without waiting
            await asyncio.to_thread(asyncio.run, make)
        else:
            await make
        meanwhile += written - begun
    stopping = True
    await asyncio.gather(*tasks)
    await store.close()
    assert meanwhile > 0
    seen = [await pairs_of(tmp_path / f"{n}.zip", tmp_path / f"new{n}") for n in range(3)]
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]


async def test_a_source_that_changes_meanwhile_is_told(tmp_path: Path, empty: str) -> None:
    home = tmp_path / "home"
    await fill(None, home)
    store = await opened(None, home)
    with pytest.raises(Unequal, match="stop its server"):
        async with open_source(None, home) as source, open_target(empty, home) as target:
            await store.commit(put(thing("meanwhile")))
            await copying.copy(source, target)
    await store.close()
    assert {rows for rows, _ in (await sums(empty, home)).values()} == {0}


MOVE = """
import asyncio, sys, time
from pathlib import Path
from modelyard.storage.copies import copying
from modelyard.storage.copies.opening import open_source, open_target

class Slowly:
    parts = 0

    def phase(self, text, total=None, unit=""):
        self.text = text

    def advance(self, count):
        self.parts += 1
        said = f"{self.text} {self.parts}"
        print(said, flush=True)
        if said == sys.argv[3]:
            time.sleep(600)  # until it is killed

async def main():
    async with open_source(None, Path(sys.argv[1])) as source:
        async with open_target(sys.argv[2], Path(sys.argv[1])) as target:
            await copying.copy(source, target, Slowly())

asyncio.run(main())
"""


@pytest.mark.parametrize("until", ["writing rows 1", "writing rows 5", "writing rows 8"])
async def test_a_move_that_was_killed_is_repeated(tmp_path: Path, empty: str, until: str) -> None:
    home = tmp_path / "home"
    await fill(None, home)

    def kill() -> None:
        command = [sys.executable, "-c", MOVE, str(home), empty, until]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as moving:
            assert moving.stdout is not None
            while (line := moving.stdout.readline().strip()) != until:
                assert line
            moving.send_signal(signal.SIGKILL)

    await asyncio.to_thread(kill)
    async with open_source(None, home) as source, open_target(empty, home) as target:
        await copying.copy(source, target)
    assert await sums(empty, home) == await sums(None, home)


async def test_what_was_written_wrongly_is_not_kept(
    tmp_path: Path, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    await fill(None, home)

    def spoilt(to: Databases) -> Callable[..., Any]:
        write = to.write

        async def other(table: Any, rows: Any) -> None:
            await write(table, rows[:-1] if table.name == "edge" else rows)

        return other

    with pytest.raises(Unequal, match="control/edge: 600 rows were read, 599 were written"):
        async with open_source(None, home) as source, open_target(empty, home) as target:
            monkeypatch.setattr(target, "write", spoilt(target))
            await copying.copy(source, target)
    assert {rows for rows, _ in (await sums(empty, home)).values()} == {0}
