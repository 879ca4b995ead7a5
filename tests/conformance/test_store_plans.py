"""Every accepted restriction is answered through an index of its kind, on either database."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conformance.things import (
    ALL,
    COLOUR,
    CREATED,
    DEEP,
    DONE,
    DUE,
    ID,
    LABELS,
    SIZE,
    TAGS,
    UPDATED,
    WEIGHT,
    asked,
    thing,
)  # fmt: skip
from modelyard.kernel.ports import EventQuery, Query
from modelyard.protocol.filtering import And, Compare, Filter, Has, Not, Or, Order, Text
from modelyard.storage import audit, homes, narrowing, newest, paging
from modelyard.storage.declared import index_of
from modelyard.storage.driver import Statement, Work
from modelyard.storage.postgres import Postgres
from modelyard.storage.rows import inserted
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store, one_with
from postgres import Server

COUNT = 20_000
INSERT = f"INSERT INTO resource (kind, {paging.COLUMNS}) VALUES ({', '.join('?' * 14)})"
_kept: dict[str, Path | str] = {}  # one filled database for all tests


def rows() -> Work[None]:
    made = []
    for number in range(COUNT):
        spec = {
            "colour": f"c{number % 1000}",
            "size": number % 2000,
            "weight": number / 7,
            "done": number % 500 == 0,
            "due": f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}.000Z",
            "inner": {"deep": f"d{number}"},
            "tags": [f"t{number % 700}", "all"],
            "title": f"title w{number % 900}",
        }
        kind, parent = ("test/things", "")
        if number % 4 == 3:
            kind, parent = "test/things/parts", f"test/things/r{number % 40}"
        made.append(
            inserted(
                thing(
                    f"r{number}",
                    spec,
                    kind=kind,
                    parent=parent,
                    workspace="w" if number % 8 else "v",
                    labels={"env": f"e{number % 300}"},
                    at=float(number),
                )
            )
        )
    yield Statement(INSERT, made, many=True)
    sql = """INSERT INTO event (id, at, workspace, actor, verb, kind, resource, request_id)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
    events = [
        (f"e{n}", float(n), "w" if n % 2 else "v", f"a{n % 500}", f"verb{n % 500}.x",
         f"kind{n % 500}", f"test/things/r{n % 500}", f"q{n}")
        for n in range(2000)
    ]  # fmt: skip
    yield Statement(sql, events, many=True)


async def filled(store: Store) -> None:
    await store.driver.transact(rows)
    await store.declare(ALL)
    await store.seal()
    await store.count(asked())  # the connection sees the new indexes before it explains
    if isinstance(store.driver, Postgres):
        await store.driver.fetch("ANALYZE")


@pytest.fixture(params=["sqlite", "postgresql"])
async def full(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Store]:
    known = request.param in _kept
    if request.param == "sqlite":
        path = _kept.setdefault(request.param, tmp_path_factory.mktemp("full") / "a.db")
        driver: Database | Postgres = Database(Path(path))
    else:
        server: Server = request.getfixturevalue("postgresql")
        url = _kept.get(request.param) or await asyncio.to_thread(server.create)
        driver = Postgres(str(url))
        _kept[request.param] = driver.url
        await driver.open()
    store = Store(driver)
    if known:
        store.know(ALL)
    else:
        await filled(store)
    yield store
    await store.close()


async def plan(store: Store, query: Query) -> str:
    """How the first part of a page is found."""
    table = homes.table(query.kind)
    few = await narrowing.fewest(query, store.driver, table)
    sql, values = next(paging.parts(query, store.driver.dialect, table, few))
    return await explained(store, sql, [*values, 50, 0])


async def explained(store: Store, sql: str, values: list[object]) -> str:
    word = "EXPLAIN QUERY PLAN" if store.driver.dialect.name == "sqlite" else "EXPLAIN"
    found = await store.driver.fetch(f"{word} {sql}", values)
    text = "\n".join(" ".join(map(str, row)) for row in found)
    whole = r"SCAN (resource|term|search|event)\b(?! USING)|Seq Scan"
    assert not re.search(whole, text), f"{sql}\n{text}"
    return text


def own(name: str) -> str:
    """The index of a field of ``test/things``."""
    return index_of(ALL[0], name)


TERM = "term_|term USING PRIMARY KEY"  # SQLite's table is its own index
OWN_TERM = "term_pkey|term USING PRIMARY KEY"
BY_FIELD = [
    (Compare(COLOUR, "=", "c5"), "spec.colour"),
    (Compare(COLOUR, "=", "c99*", True), "spec.colour"),
    (Compare(DEEP, "=", "d77"), "spec.inner.deep"),
    (Compare(SIZE, "=", 5), "spec.size"),
    (Compare(SIZE, ">", 1990), "spec.size"),
    (Compare(WEIGHT, ">=", 2850.5), "spec.weight"),
    (Compare(WEIGHT, "<", 1), "spec.weight"),
    (Compare(DONE, "=", True), "spec.done"),
    (Compare(DUE, "=", "2026-01-01T00:00:05.000Z"), "spec.due"),
    (Compare(DUE, "<", "2026-01-01T00:00:07.000Z"), "spec.due"),
    (Compare(UPDATED, "=", 77.0), "updatedAt"),
    (Compare(UPDATED, ">", 19_950), "updatedAt"),
    (Compare(COLOUR, "=", None), "spec.colour"),
    (And((Compare(COLOUR, "=", "c5"), Not(Compare(SIZE, "=", 7)))), "spec.colour"),
    (And((Has(TAGS, "all"), Compare(COLOUR, "=", "c6"))), f"spec.colour|{TERM}"),
    (Has(TAGS, "t5"), OWN_TERM),
    (Has(TAGS, "all"), OWN_TERM),
    (Has(LABELS, "e5", "env"), OWN_TERM),
    (Has(LABELS, "env"), TERM),
    (Has(TAGS, "t5*", wild=True), TERM),
    (Text("w5 title"), "search"),
    (Compare(CREATED, ">", 19_000.0), "createdAt"),
    # These match nearly all, or look into every text: the newest are read until a page is full.
    (Compare(COLOUR, "!=", "c5"), ""),
    (Compare(COLOUR, "=", "*5", True), ""),
    (Compare(COLOUR, "=", "*5*", True), ""),
    (Not(Compare(COLOUR, "=", "c5")), ""),
    (Not(Has(TAGS, "t5")), ""),
    (Or((Compare(COLOUR, "=", "c5"), Compare(SIZE, "=", 3))), ""),
    (Compare(COLOUR, "!=", None), ""),
]  # fmt: skip


@pytest.mark.parametrize("wanted, index", BY_FIELD)
async def test_the_index_of_the_field_answers(full: Store, wanted: Filter, index: str) -> None:
    text = await plan(full, asked(filter=wanted))
    names = [own(one) if "." in one or one.endswith("At") else one for one in index.split("|")]
    assert any(name in text for name in names), text
    assert "declared_list_test_things_" in text or "term" in text or "search" in text
    assert (await full.page(asked(filter=wanted)) == []) == (wanted == Compare(COLOUR, "=", None))


RARE, COMMON = Compare(COLOUR, "=", "c6"), Compare(SIZE, ">", 5)
CHOSEN: list[tuple[Filter, tuple[Order, ...], Filter | None]] = [
    (And((COMMON, RARE)), (), RARE),
    (And((Has(TAGS, "all"), RARE)), (), RARE),
    (RARE, (Order(SIZE),), RARE),
    (And((RARE, Text("title"))), (), RARE),
    (Has(TAGS, "t5"), (Order(SIZE, True),), Has(TAGS, "t5")),
    (Or((RARE, Compare(DEEP, "=", "d5"))), (), Or((RARE, Compare(DEEP, "=", "d5")))),
    (Text("w5"), (Order(SIZE),), Text("w5")),
    # Many match: the list is read in its order, and nothing is sorted.
    (COMMON, (), None),
    (Has(TAGS, "all"), (Order(SIZE),), None),
    (And((COMMON, Compare(WEIGHT, ">", 1))), (Order(DUE),), None),
    (Text("title"), (), None),
    (Or((COMMON, RARE)), (Order(COLOUR, True),), None),
]


@pytest.mark.parametrize("wanted, order, chosen", CHOSEN)
async def test_the_fewest_are_read_and_sorted(
    full: Store, wanted: Filter, order: tuple[Order, ...], chosen: Filter | None
) -> None:
    query = asked(filter=wanted, order=order)
    if not narrowing.decides(query, full.driver.dialect):
        pytest.skip("the database chooses")
    found = await narrowing.fewest(query, full.driver, homes.table(query.kind))
    assert found == chosen
    text = await plan(full, query)
    ordered = own(order[0].field.name if order else "createdAt")
    assert (ordered in text) == (chosen is None), text
    if chosen is None or not full.driver.dialect.figures:
        sorts = "USE TEMP B-TREE FOR ORDER BY" in text or "Sort" in text
        assert sorts == (chosen is not None), text


@pytest.mark.parametrize("order", [(), (Order(COLOUR),), (Order(SIZE, True),), (Order(DUE),)])
@pytest.mark.parametrize("descending", [False, True])
async def test_an_order_is_read_along_its_index(
    full: Store, order: tuple[Order, ...], descending: bool
) -> None:
    order = tuple(Order(one.field, descending) for one in order)
    text = await plan(full, asked(order=order))
    assert own(order[0].field.name if order else "createdAt") in text
    assert "TEMP B-TREE" not in text and "Sort" not in text


@pytest.mark.parametrize("descending", [False, True])
async def test_the_order_of_ids_is_that_of_the_key(full: Store, descending: bool) -> None:
    await plan(full, asked(filter=Compare(ID, ">", "r9")))
    text = await plan(full, asked(order=(Order(ID, descending),)))
    assert "TEMP B-TREE" not in text and "Sort" not in text, text
    assert "pkey" in text or "autoindex" in text


async def test_a_later_page_begins_where_the_one_before_ended(full: Store) -> None:
    for order, after, ranges in (
        ((), (500.0, "r500"), 1),
        ((Order(COLOUR),), ("c5", 500.0, "r500"), 2),
        ((Order(COLOUR, True),), ("c5", 500.0, "r500"), 3),
    ):
        query = asked(order=order, after=after)
        statements = list(paging.parts(query, full.driver.dialect))
        assert len(statements) == ranges
        for sql, values in statements:
            text = await explained(full, sql, [*values, 50, 0])
            assert "TEMP B-TREE" not in text and "Sort" not in text, text
            name = own(order[0].field.name if order else "createdAt")
            assert name in text, text


async def test_lists_below_one_parent_and_across_all(full: Store) -> None:
    parts = {"kind": "test/things/parts", "workspace": "w"}
    across = await plan(full, Query(**parts, parent=None))
    within = await plan(full, Query(**parts, parent="test/things/r3"))
    assert across.count("declared_list_test_things_parts") == 1
    assert within.count("declared_list_test_things_parts") == 1
    for parent in (None, "test/things/r3"):
        text = await plan(full, Query(**parts, parent=parent, filter=Compare(COLOUR, "=", "c3")))
        assert "declared_list_test_things_parts" in text
        text = await plan(full, Query(**parts, parent=parent, filter=Has(TAGS, "t3")))
        wanted = "term_across" if parent is None else OWN_TERM + "|term_across"
        assert any(name in text for name in wanted.split("|")), text


async def test_single_rows_are_found_by_index(full: Store) -> None:
    sql = one_with(full.driver.dialect, "test/things", ("login",))
    assert "declared_unique_test_things" in await explained(full, sql, ["x"])


async def test_the_newest_below_is_one_step_along_the_index_of_the_list(full: Store) -> None:
    dialect, listed = full.driver.dialect, index_of(ALL[1], "createdAt")
    table, below = homes.table("test/things"), homes.table("test/things/parts")
    one = newest.one("test/things", table, below, dialect.name)
    some = newest.some(below, dialect.name)
    names = dialect.texts(["test/things/r3", "test/things/r5", "test/things/r7"])
    values: list[list[object]] = [["test/things", "w", "", "r3"], [names, "w"]]
    for sql, given in zip((one, some), values, strict=True):
        text = await explained(full, sql, given)
        assert listed in text, text
        assert "TEMP B-TREE" not in text and "Sort" not in text, text
    found = await full.driver.fetch(some, [names, "w"])
    assert [(row[1], row[2]) for row in found] == [
        ("test/things/r3", "r19963"),
        ("test/things/r7", "r19967"),
    ]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"resource": "test/things/r3"},
        {"resource": "test/things/r3", "below": True},
        {"kind": "kind3"},
        {"actor": "a3"},
        {"verb": "verb3*"},
        {"verb": "verb3.x"},
        {"request_id": "q3"},
        {"since": 1990.0},
        {"until": 9.0},
        {"after": 500},
        {"after": 500, "ascending": True},
        {"words": "verb3"},
    ],
)
async def test_the_trail_is_read_along_an_index(full: Store, query: dict[str, object]) -> None:
    asked = EventQuery(workspace="w", **query)
    sql, values = audit.statement(asked, full.driver.dialect)
    await explained(full, sql, values)
    assert await full.events(asked)
