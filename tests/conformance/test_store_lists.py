"""Filters, orders and pages, over every database; what a filter means is told by plain Python."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from msgspec import structs

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
    gone,
    put,
    thing,
)
from modelyard.kernel.ports import Query, Row, position, sorting
from modelyard.protocol.filtering import And, Compare, Field, Filter, Has, Not, Or, Order, Text
from modelyard.protocol.matching import SEARCHED, matches
from modelyard.storage import narrowing
from modelyard.storage.store import Store

CASE = {"suppress_health_check": list(HealthCheck), "deadline": None, "database": None}

COLOURS = (
    "",
    "rf",
    "red",
    "Red",
    "red wine",
    "dark red",
    "rot%",
    "r_d",
    "é",
    "é",
    "🦆",
    "\U0010ffff",
)
DUES = ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.001Z", "2027-12-31T23:59:59.999Z")
SIZES = (-5, 0, 1, 2, 10, 2**53, 2**53 + 1)
WEIGHTS = (-1.5, 0.0, 0.1, 0.30000000000000004, 1, 2.5, 1e300)
TAG = ("a", "A", "ab", "b c", "ünï", "*")
TITLES = ("", "The Red Duck", "duck-typing, again!", "ÜBER Straße", "中文 duck", 'a_b c\'s "q"')


def some_row(chance: random.Random, number: int) -> Row:
    def maybe(name: str, values: tuple[Any, ...]) -> dict[str, Any]:
        found = chance.choice([*values, "absent", None])
        return {} if found == "absent" else {name: found}

    spec = {
        **maybe("colour", COLOURS),
        **maybe("size", SIZES),
        **maybe("weight", WEIGHTS),
        **maybe("done", (True, False)),
        **maybe("due", DUES),
        **maybe("title", TITLES),
        "inner": maybe("deep", COLOURS),
        "tags": chance.sample(TAG, chance.randrange(4)),
        "notes": chance.sample(TITLES, chance.randrange(2)),
    }
    labels = {key: chance.choice(TAG) for key in chance.sample(("env", "team", "ü"), 2)}
    return thing(
        f"r{chance.randrange(10**9):09}",
        spec,
        labels=labels if chance.random() < 0.7 else {},
        at=float(1000 + number // 3),  # many are made at the same time
        updated_at=1000.5 + chance.randrange(5),
    )


def value_of(row: Row) -> Any:
    def get(field: Field) -> Any:
        if field is SEARCHED:
            return " ".join([row.spec.get("title") or "", *row.spec["notes"]])
        if field.column == "labels":
            return row.labels
        if field.column:
            return getattr(row, field.column)
        found: Any = row.spec
        for key in field.path:
            found = (found or {}).get(key)
        return found

    return get


def of(field: Field, values: tuple[Any, ...]) -> st.SearchStrategy[Filter]:
    signs = st.sampled_from(("=", "!=", "<", "<=", ">", ">="))
    return st.builds(Compare, st.just(field), signs, st.sampled_from(values))


texts = st.sampled_from((*COLOURS, "re", "d", "ed", "R"))
patterns = st.builds(
    lambda text, form: form.format(text), texts, st.sampled_from(("{}*", "*{}", "*{}*"))
)
equal = st.sampled_from(("=", "!="))
leaves = st.one_of(
    of(COLOUR, COLOURS),
    of(DEEP, COLOURS),
    of(SIZE, (*SIZES, 1.5)),
    of(WEIGHT, WEIGHTS),
    of(DONE, (True, False)),
    of(DUE, DUES),
    of(UPDATED, (1000.5, 1002.5, 1003)),
    st.builds(
        Compare,
        st.sampled_from((COLOUR, SIZE, WEIGHT, DONE, DUE, DEEP)),
        equal,
        st.none(),
    ),
    st.builds(Compare, st.sampled_from((COLOUR, DEEP)), equal, patterns, st.just(True)),
    st.builds(Has, st.just(TAGS), st.sampled_from((*TAG, "z"))),
    st.builds(Has, st.just(TAGS), patterns, st.just(""), st.just(True)),
    st.builds(Has, st.just(LABELS), st.sampled_from(("env", "team", "ü", "z", "*"))),
    st.builds(Has, st.just(LABELS), st.sampled_from((*TAG, "z")), st.sampled_from(("env", "ü"))),
    st.builds(Has, st.just(LABELS), patterns, st.just("env"), st.just(True)),
    st.builds(
        Text,
        st.sampled_from(("duck", "DUCK red", "über", "strasse", "中文", "c", "again typing", "!")),
    ),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(lambda parts: And(tuple(parts)), st.lists(inner, max_size=3)),
        st.builds(lambda parts: Or(tuple(parts)), st.lists(inner, max_size=3)),
    ),
    max_leaves=6,
)


@pytest.fixture
async def rows(store: Store) -> list[Row]:
    await store.declare(ALL)
    chance = random.Random(5)
    rows = [some_row(chance, number) for number in range(150)]
    foreign = [
        thing("x", {"colour": "red", "tags": ["a"], "title": "duck"}, workspace="v"),
        thing("x", {"colour": "red", "tags": ["a"]}, kind="test/others"),
        thing("x", {"colour": "red", "tags": ["a"], "title": "duck"}, deleted_at=1.0),
    ]
    for row in [*rows, *foreign]:
        await store.commit(put(row))
    return rows


@pytest.fixture(params=["few match", "many match"])
def as_if(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are read in another way where more rows match than can be sorted fast."""
    if request.param == "many match":
        monkeypatch.setattr(narrowing, "ENOUGH", 0)
        monkeypatch.setattr(narrowing, "FEW", 0)


@pytest.mark.usefixtures("as_if")
@pytest.mark.parametrize("number", range(2))
async def test_filters_mean_the_same_everywhere(store: Store, rows: list[Row], number: int) -> None:
    wanted: list[Filter] = []

    @seed(number)
    @settings(max_examples=150, **CASE)
    @given(filters)
    def collect(one: Filter) -> None:
        wanted.append(one)

    collect()
    for one in wanted:
        expected = {row.address.id for row in rows if matches(one, value_of(row))}
        found = await store.page(asked(filter=one, size=1000))
        assert {row.address.id for row in found} == expected, one
        assert len(found) == len(expected) == await store.count(asked(filter=one)), one


orders = st.lists(
    st.builds(
        Order,
        st.sampled_from((COLOUR, SIZE, WEIGHT, DONE, DUE, DEEP, UPDATED, CREATED, ID)),
        st.booleans(),
    ),
    max_size=3,
    unique_by=lambda one: one.field.name,
).map(tuple)


def in_order(rows: list[Row], query: Query) -> list[Row]:
    """The rows sorted by plain Python: absent values are the lowest."""
    order = sorting(query)
    found = list(rows)
    for at in reversed(range(len(order))):

        def key(row: Row, at: int = at) -> tuple[bool, Any]:
            value = position(query, row)[at]
            return (value is not None, 0 if value is None else value)

        found.sort(key=key, reverse=order[at].descending)
    return found


@pytest.mark.usefixtures("as_if")
async def test_pages_show_each_row_once_in_order(store: Store, rows: list[Row]) -> None:
    cases: list[tuple[tuple[Order, ...], int, Filter | None]] = []

    @seed(1)
    @settings(max_examples=60, **CASE)
    @given(orders, st.integers(1, 60), st.none() | filters)
    def collect(order: tuple[Order, ...], size: int, wanted: Filter | None) -> None:
        cases.append((order, size, wanted))

    collect()
    for order, size, wanted in cases:
        query = asked(order=order, size=size, filter=wanted)
        matching = [row for row in rows if wanted is None or matches(wanted, value_of(row))]
        seen: list[Row] = []
        after = None
        while page := await store.page(asked(order=order, size=size, filter=wanted, after=after)):
            assert len(page) <= size
            seen += page
            after = position(query, page[-1])
        assert [one.address.id for one in seen] == [
            one.address.id for one in in_order(matching, query)
        ], query


@pytest.mark.parametrize("order", [(), (Order(COLOUR),), (Order(SIZE, descending=True),)])
async def test_rows_that_come_and_go_meanwhile_move_no_others(
    store: Store, rows: list[Row], order: tuple[Order, ...]
) -> None:
    chance, seen, after = random.Random(7), [], None
    gone_ids: set[str] = set()
    query = asked(order=order, size=7)
    while page := await store.page(asked(order=order, size=7, after=after)):
        seen += [row.address.id for row in page]
        after = position(query, page[-1])
        for number in range(3):
            await store.commit(put(some_row(chance, 200 + number)))
        victim = chance.choice(rows)
        if victim.address.id not in gone_ids:
            gone_ids.add(victim.address.id)
            await store.commit(gone(victim))
    assert len(seen) == len(set(seen))
    assert {row.address.id for row in rows} - gone_ids <= set(seen)


async def test_rows_to_skip(store: Store, rows: list[Row]) -> None:
    order = (Order(COLOUR, descending=True),)
    expected = [row.address.id for row in in_order(rows, asked(order=order))]
    for start in (0, 40, 139):
        first = await store.page(asked(order=order, skip=start, size=10))
        assert [row.address.id for row in first] == expected[start : start + 10]
        after = position(asked(order=order), first[-1])
        more = await store.page(asked(order=order, after=after, skip=20, size=10))
        assert [row.address.id for row in more] == expected[start + 30 : start + 40]
    assert await store.page(asked(order=order, skip=150)) == []


async def test_lists_within_one_parent_and_across(store: Store) -> None:
    await store.declare(ALL)
    for parent in ("a", "b"):
        await store.commit(put(thing(parent)))
        for number in range(4):
            spec = {"colour": "red" if number % 2 else "blue", "tags": ["t"]}
            place = {"kind": "test/things/parts", "parent": f"test/things/{parent}"}
            await store.commit(put(thing(str(number), spec, at=5.0, **place)))

    async def names(**more: Any) -> list[str]:
        query = {"kind": "test/things/parts", "workspace": "w", "size": 3} | more
        seen: list[str] = []
        after = None
        while page := await store.page(Query(**query, after=after)):
            seen += [row.address.name for row in page]
            after = position(Query(**query), page[-1])
        assert len(seen) == await store.count(Query(**query))
        return seen

    within = [f"test/things/b/parts/{n}" for n in (3, 2, 1, 0)]
    assert await names(parent="test/things/b") == within
    red = Compare(COLOUR, "=", "red")
    assert await names(parent="test/things/b", filter=red) == [within[0], within[2]]
    across = [f"test/things/{p}/parts/{n}" for n in (3, 2, 1, 0) for p in ("b", "a")]
    for wanted in (None, Has(TAGS, "t"), And((Has(TAGS, "t"), Not(Compare(COLOUR, "=", "x"))))):
        assert await names(parent=None, filter=wanted) == across
        assert await names(parent="test/things/b", filter=wanted) == within
    assert await names(parent=None, filter=Has(TAGS, "x")) == []
    assert await names(parent=None, order=(Order(COLOUR),), filter=red) == [
        f"test/things/{p}/parts/{n}" for n in (1, 3) for p in ("a", "b")
    ]
    assert await names(parent="") == []


async def test_across_parents_what_has_none_is_all_there_is(store: Store) -> None:
    await store.declare(ALL)
    for number in range(3):
        await store.commit(put(thing(str(number), {"tags": ["t", f"t{number}"]})))
    for wanted, expected in ((None, "210"), (Has(TAGS, "t"), "210"), (Has(TAGS, "t1"), "1")):
        query = Query(kind="test/things", workspace="w", parent=None, filter=wanted)
        assert [row.address.id for row in await store.page(query)] == list(expected)
        assert await store.count(query) == len(expected)
        first = structs.replace(query, size=1)
        second = structs.replace(first, after=position(first, (await store.page(first))[0]))
        assert [row.address.id for row in await store.page(second)] == list(expected[1:2])


async def test_the_deleted_are_listed_when_asked_for(store: Store) -> None:
    await store.declare(ALL)
    for row in (thing("a"), thing("b", deleted_at=1.0)):
        await store.commit(put(row))
    assert [one.address.id for one in await store.page(asked())] == ["a"]
    assert [one.address.id for one in await store.page(asked(deleted=True))] == ["b", "a"]
    assert (await store.count(asked()), await store.count(asked(deleted=True))) == (1, 2)


async def test_what_is_declared_later_is_found(store: Store) -> None:
    rows = [thing(f"r{n}", {"tags": ["t"], "title": "duck"}) for n in range(5)]
    for row in rows:
        await store.commit(put(row))
    assert await store.page(asked(filter=Has(TAGS, "t"))) == []
    for declared in (ALL, ALL, (*ALL[1:], ALL[0])):
        await store.declare(declared)
        assert len(await store.page(asked(filter=Has(TAGS, "t")))) == 5
        assert len(await store.page(asked(filter=Text("duck")))) == 5
    await store.declare(ALL[1:])
    rows_left = await store.driver.fetch("SELECT count(*) FROM term")
    assert rows_left[0][0] in (0, 5)
    await store.declare(ALL)
    assert len(await store.page(asked(filter=Has(TAGS, "t")))) == 5
