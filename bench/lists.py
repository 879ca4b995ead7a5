"""How long lists take from a thousand to a million rows: ``python -m bench.lists [SIZE…]``.

One kind of resource, on SQLite and on PostgreSQL, filled in steps; at each step every question is
asked with other values each time, one after another, in this process. Writes the numbers and a
chart to ``bench/out`` (``--publish`` to docs/images, too).
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
from tests.postgres import Server

from bench.lines import Results, draw
from modelyard.kernel.ports import Address, Indexed, Query, Row
from modelyard.protocol.filtering import And, Compare, Field, Has, Or, Order, Text
from modelyard.storage import declared
from modelyard.storage.dialect import SQLITE
from modelyard.storage.driver import Statement, Work
from modelyard.storage.paging import COLUMNS
from modelyard.storage.postgres import Postgres
from modelyard.storage.rows import inserted
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "out"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
ASKED = 200  # times each question
LONGEST, FEWEST = 10.0, 20  # seconds after which a slow one is asked no more, if so often already
STEP = 5_000  # rows written at once
PAGE = 50

OWNER = Field("spec.owner", "string", path=("owner",))
SCORE = Field("spec.score", "number", path=("score",))
STATUS = Field("spec.status", "string", path=("status",))
TAGS = Field("spec.tags", "strings", path=("tags",))
LABELS = Field("labels", "labels", column="labels")
KIND = Indexed(
    kind="bench/models",
    fields=(OWNER, SCORE, STATUS, TAGS, LABELS),
    searchable=(("name",),),
)
COPIED = {
    "resource": ("kind", *COLUMNS.split(", ")),
    "term": ("kind", "workspace", "parent", "id", "field", "key", "value", "created_at"),
    "search": ("kind", "workspace", "parent", "id", "words"),
}


def score(number: int) -> float:
    """Spread evenly between 0 and 1, in no order."""
    return number * 0.6180339887498949 % 1


def row(number: int) -> Row:
    spec = {
        "name": f"model {number} word{number % 50_000}",
        "description": "x" * 200,
        "owner": f"owner{number // 20}",
        "score": score(number),
        "status": "ready" if number % 2 else "draft",
        "tags": ["common" if number % 2 else f"rare{number // 40}"],
        "metrics": {"loss": score(number + 1), "accuracy": score(number + 2)},
    }
    return Row(
        address=Address(KIND.kind, "w", "", f"model_{number:08}"),
        uid=f"{number:024}",
        created_at=1e9 + number,
        updated_at=1e9 + number,
        created_by="key_1",
        updated_by="key_1",
        labels={"team": f"team{number // 40}"},
        spec=spec,
    )


def tables(numbers: range) -> dict[str, list[tuple[Any, ...]]]:
    ready = declared.ready(KIND)
    found: dict[str, list[tuple[Any, ...]]] = {name: [] for name in COPIED}
    for number in numbers:
        one = row(number)
        place = (KIND.kind, "w", "", one.address.id)
        found["resource"].append(inserted(one))
        found["term"] += [(*place, *term, one.created_at) for term in ready.terms(one)]
        found["search"].append((*place, ready.words(one)))
    return found


async def add(store: Store, numbers: range) -> None:
    """Write rows as the store would, but many at once."""
    made = tables(numbers)
    if isinstance(store.driver, Postgres):
        connection = await asyncpg.connect(store.driver.url)
        for name, values in made.items():
            await connection.copy_records_to_table(name, columns=COPIED[name], records=values)
        await connection.close()
        return

    def work() -> Work[None]:
        for name, values in made.items():
            marks = ", ".join("?" * len(COPIED[name]))
            sql = f"INSERT INTO {name} ({', '.join(COPIED[name])}) VALUES ({marks})"
            yield Statement(sql, values, many=True)

    await store.driver.transact(work)


def query(**more: Any) -> Query:
    return Query(kind=KIND.kind, workspace="w", size=PAGE, **more)


Ask = Callable[[random.Random, int], Query | Address]
QUESTIONS: dict[str, Ask] = {
    "one resource": lambda chance, size: row(chance.randrange(size)).address,
    "the newest 50": lambda chance, size: query(),
    "50 from anywhere": lambda chance, size: query(after=_position(chance.randrange(size))),
    "one of many values": lambda chance, size: query(
        filter=Compare(OWNER, "=", f"owner{chance.randrange(size) // 20}")
    ),
    "one of two values": lambda chance, size: query(filter=Compare(STATUS, "=", "ready")),
    "a common tag": lambda chance, size: query(filter=Has(TAGS, "common")),
    "a rare tag": lambda chance, size: query(
        filter=Has(TAGS, f"rare{chance.randrange(size) // 40}")
    ),
    "a label and a value": lambda chance, size: query(
        filter=And(
            (
                Has(LABELS, f"team{chance.randrange(size) // 40}", "team"),
                Compare(STATUS, "=", "ready"),
            )
        )
    ),
    "ordered, from anywhere": lambda chance, size: query(
        order=(Order(SCORE, descending=True),), after=(chance.random(), 0.0, "")
    ),
    "a range, ordered": lambda chance, size: query(
        filter=Compare(SCORE, ">", chance.random()), order=(Order(SCORE),)
    ),
    "a word": lambda chance, size: query(filter=Text(f"WORD{chance.randrange(min(size, 50_000))}")),
    "a word of all rows": lambda chance, size: query(filter=Text("model")),
    "a common value and a rare one": lambda chance, size: query(
        filter=And((READY, _owner(chance, size)))
    ),
    "a common tag and a rare value": lambda chance, size: query(
        filter=And((Has(TAGS, "common"), _owner(chance, size)))
    ),
    "either of two values": lambda chance, size: query(
        filter=Or((_owner(chance, size), _owner(chance, size)))
    ),
    "a common value, ordered": lambda chance, size: query(
        filter=READY, order=(Order(SCORE, descending=True),)
    ),
    "a rare value, ordered": lambda chance, size: query(
        filter=_owner(chance, size), order=(Order(SCORE, descending=True),)
    ),
    "a range, the newest": lambda chance, size: query(filter=Compare(SCORE, ">", chance.random())),
}


READY = Compare(STATUS, "=", "ready")


def _owner(chance: random.Random, size: int) -> Compare:
    return Compare(OWNER, "=", f"owner{chance.randrange(size) // 20}")


def _position(number: int) -> tuple[Any, ...]:
    return 1e9 + number, f"model_{number:08}"


async def ask(store: Store, question: Ask, size: int) -> list[float]:
    """Milliseconds of each answer."""
    chance, took = random.Random(1), []
    ends = time.monotonic() + LONGEST
    for number in range(ASKED + 20):
        if len(took) >= FEWEST and time.monotonic() > ends:
            break
        asked = question(chance, size)
        begun = time.perf_counter()
        found = await (store.get(asked) if isinstance(asked, Address) else store.page(asked))
        if number >= 20:
            took.append((time.perf_counter() - begun) * 1000)
        assert found or isinstance(asked, Query)
    return took


async def measure(store: Store, size: int) -> dict[str, dict[str, float]]:
    """Fill a new database, then ask."""
    await store.open()
    begun = time.monotonic()
    for start in range(0, size, STEP):
        await add(store, range(start, min(size, start + STEP)))
    await store.driver.transact(made_ready)
    await store.declare([KIND])
    if isinstance(store.driver, Postgres):
        connection = await asyncpg.connect(store.driver.url)
        await connection.execute("VACUUM ANALYZE")
        await connection.close()
    tell(f"  {size:,} rows, filled in {time.monotonic() - begun:.0f} s")
    found = {}
    for name, question in QUESTIONS.items():
        took = await ask(store, question, size)
        parts = statistics.quantiles(took, n=100)
        found[name] = {"p50": statistics.median(took), "p90": parts[89], "p99": parts[98]}
        tell(f"    {name:24} {statistics.median(took):8.3f} ms  p99 {parts[98]:8.3f} ms")
    await store.close()
    return found


def made_ready() -> Work[None]:
    """Terms and words are there; only the indexes lack."""
    fingerprint = declared.fingerprint(KIND, SQLITE).partition(" ")[0]
    yield Statement("INSERT INTO declaration VALUES (?, ?)", (KIND.kind, fingerprint))


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, put it beside what was measured before, and draw the chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--only", choices=("SQLite", "PostgreSQL"))
    parser.add_argument("--publish", action="store_true")
    options = parser.parse_args()
    kept = OUT / "lists.json"
    results: Results = json.loads(kept.read_text()) if kept.exists() else {}
    for name, run in (("SQLite", on_sqlite), ("PostgreSQL", on_postgresql)):
        if options.only in (None, name):
            tell(name)
            for size, found in run(options.sizes):
                for question, figures in found.items():
                    by = results.setdefault(name, {}).setdefault(question, {})
                    by[str(size)] = figures
                kept.write_text(json.dumps(results, indent=1))
    chart = draw(results, "p50")
    for folder in [OUT, *([ROOT / "docs" / "images"] if options.publish else [])]:
        (folder / "lists.svg").write_text(chart)


Found = Iterator[tuple[int, dict[str, dict[str, float]]]]


def on_sqlite(sizes: Sequence[int]) -> Found:
    """Each size in a file of its own."""
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=OUT) as folder:
            store = Store(Database(Path(folder) / "a.db"))
            yield size, asyncio.run(measure(store, size))


def on_postgresql(sizes: Sequence[int]) -> Found:
    """Each size in a database of its own, on a server in memory."""
    server = Server(("shared_buffers=512MB", "max_wal_size=4GB", "maintenance_work_mem=256MB"))
    try:
        for size in sizes:
            yield size, asyncio.run(measure(Store(Postgres(server.create())), size))
    finally:
        server.close()


if __name__ == "__main__":
    main()
