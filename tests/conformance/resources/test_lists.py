"""The lists of every declared resource: pages, filters, orders, presets, searches."""

from itertools import pairwise
from typing import Any

import pytest

from conformance.resources.world import Desk, World, over, quote
from modelyard.kernel.resource import Resource
from modelyard.protocol import filter_grammar
from modelyard.protocol.filtering import Field
from modelyard.protocol.matching import matches

pytestmark = pytest.mark.asyncio(loop_scope="session")
One = Resource[Any]


async def pages(desk: Desk, query: str, size: int) -> list[list[dict[str, Any]]]:
    """All pages of a list."""
    found, token = [], ""
    while token is not None:
        reply = await desk.list(f"{query}&page_size={size}&page_token={token}")
        found.append(desk.items(reply))
        token = desk.token(reply)
    return found


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["id"] for item in items]


def mine(desk: Desk, text: str = "") -> str:
    """A filter's query parameter for what a desk made."""
    batch = f'labels.batch = "{desk.mark}"'
    return "filter=" + quote(f"{batch} AND ({text})" if text else batch)


@over()
async def test_paging_covers_everything_once_while_more_is_made(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = [(await desk.make())["id"] for _ in range(7)]
    reply = await desk.list("page_size=3")
    seen = desk.items(reply)
    while token := desk.token(reply):
        await desk.make()
        reply = await desk.list(f"page_size=3&page_token={token}")
        seen += desk.items(reply)
    assert sorted(ids(seen)) == sorted(made)
    times = [item["createdAt" if one.camel else "created_at"] for item in seen]
    assert times == sorted(times, reverse=True), "the newest first"


@over()
async def test_a_foreign_page_token_is_refused(world: World, one: One) -> None:
    desk = await world.desk(one)
    other = await world.desk(one)
    for _ in range(3):
        await desk.make()
    token = desk.token(await desk.list("page_size=1"))
    assert token is not None
    assert ids(desk.items(await desk.list(f"page_size=1&page_token={token}")))
    changed = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    tries = [
        (desk, f"page_token={sent}") for sent in ("x", "AAAA", changed, token + "AAAA", "%C3%BC")
    ]
    tries += [
        (desk, f"page_token={token}&{mine(desk, 'id != null')}"),
        (desk, f"page_token={token}&order_by=id"),
        (other, f"page_token={token}"),
    ]
    tries += [(desk, f"page_token={token}&show_deleted=true")] if one.soft_delete else []
    for asker, query in tries:
        reply = await asker.list(query)
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), query
        assert reply.error["details"]["field"] == "page_token"


@over()
async def test_page_sizes(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = [(await desk.make())["id"] for _ in range(3)]
    for size, shown in (("2", 2), ("0", 3), ("1001", 3), ("99999999", 3)):
        assert len(desk.items(await desk.list(f"page_size={size}"))) == shown
    for size in ("-1", "x", "1.5", ""):
        reply = await desk.list(f"page_size={size}")
        name = "pageSize" if one.camel else "page_size"
        assert (reply.status, reply.error["details"]["field"]) == (400, name), size
    assert [len(page) for page in await pages(desk, "", 1)] == [1] * len(made)


@over()
async def test_unknown_fields_are_named(world: World, one: One) -> None:
    desk = await world.desk(one)
    hidden = [each.wire for each in one.about if each.behavior == "hidden"]
    for name in ("nonsense", "spec.nonsense", *hidden):
        for query in (f"filter={quote(name + ' = 1')}", f"order_by={name}"):
            reply = await desk.list(query)
            assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), query
            assert reply.error["details"]["field"] == query.partition("=")[0]
            assert name in reply.error["message"]
            assert reply.error["details"]["allowed"]
    reply = await desk.list("colourr=1")
    assert (reply.status, reply.error["details"]["field"]) == (400, "colourr")


def questions(field: Field, seen: list[Any]) -> list[str]:
    """Filters of one field, with values that are there, lie between, or are not."""
    name = field.name
    if field.kind == "labels":
        keys = sorted({key for value in seen for key in value or {}})
        asked = [f"{name}.{key} = {_literal(field, value[key])}" for value in seen if value
                 for key in keys[:2] if key in value]  # fmt: skip
        return [*asked, *(f"{name}:{key}" for key in keys), f"{name}:nothing"]
    if field.kind == "strings":
        items = sorted({item for value in seen for item in value or ()})
        return [*(f"{name}:{_literal(field, item)}" for item in items), f'{name}:"nothing"']
    values = sorted({value for value in seen if value is not None})
    signs = ["=", "!="] if field.kind == "boolean" else ["=", "!=", "<", "<=", ">", ">="]
    asked = [f"{name} {sign} {_literal(field, value)}" for value in values for sign in signs]
    if field.kind == "string" and values:
        asked += [f'{name} = "{values[0][:2]}*"', f'{name} = "*{values[-1][-1:]}"']
    return [*asked, f"{name} = null", f"{name} != null", f"NOT {asked[0]}" if asked else ""]


def _literal(field: Field, value: Any) -> str:
    if field.kind in ("integer", "number"):
        return str(value)
    if field.kind == "boolean":
        return str(value).lower()
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*") + '"'


@over()
async def test_every_filter_means_what_it_says(world: World, one: One) -> None:
    desk = await world.desk(one)
    for full in (True, True, False, True):
        await desk.make(full=full)
    views = desk.items(await desk.list())
    for field in one.filterable.values():
        seen = [one.seen(view, field) for view in views]
        for text in filter(None, questions(field, seen)):
            tree = filter_grammar.parse(text, one.filterable)
            assert tree is not None
            wanted = [
                view["id"]
                for view in views
                if matches(tree, lambda asked, view=view: one.seen(view, asked))
            ]
            reply = await desk.list(mine(desk, text))
            assert reply.status == 200, (text, reply.body)
            assert ids(desk.items(reply)) == wanted, text


@over()
async def test_every_order_is_kept_over_pages(world: World, one: One) -> None:
    desk = await world.desk(one)
    for full in (True, False, True, False, True):
        await desk.make(full=full)
    views = desk.items(await desk.list())
    for name, field in one.sortable.items():
        for direction in ("", " desc"):
            listed = [
                item
                for page in await pages(desk, f"order_by={quote(name + direction)}", 2)
                for item in page
            ]
            assert sorted(ids(listed)) == sorted(ids(views)), name
            values = [one.seen(view, field) for view in listed]
            keys = [(value is not None, value if value is not None else 0) for value in values]
            if direction:
                keys.reverse()
            assert all(before <= after for before, after in pairwise(keys)), (name, values)


@over(lambda one: one.indexed.searchable)
async def test_words_are_found(world: World, one: One) -> None:
    desk = await world.desk(one)
    views = [await desk.read(await desk.make(full=True)) for _ in range(3)]
    for text in ("w", "nothingatall", *(word for view in views for word in searched(one, view))):
        tree = filter_grammar.parse(f'"{text}"', one.filterable)
        wanted = {
            view["id"]
            for view in views
            if tree and matches(tree, lambda field, view=view: one.seen(view, field))
        }
        reply = await desk.list(mine(desk, f'"{text}"'))
        assert set(ids(desk.items(reply))) == wanted, text


def searched(one: One, view: dict[str, Any]) -> list[str]:
    """A word of each searched text."""
    found = []
    for path in one.indexed.searchable:
        value = view[path[0]]
        texts = value if isinstance(value, list) else [value]
        found += [text.split()[0].strip('"') for text in texts if text]
    return found


@over(lambda one: one.presets)
async def test_presets_are_saved_filters(world: World, one: One) -> None:
    desk = await world.desk(one)
    for full in (True, True, False, True):
        await desk.make(full=full)
    for word, text in one.presets.items():
        wanted = ids(desk.items(await desk.list(mine(desk, text))))
        assert ids(desk.items(await desk.list(path=f"/{word}"))) == wanted, word
        token = desk.token(await desk.list("page_size=1"))
        reply = await desk.list(f"page_token={token}", path=f"/{word}")
        assert (reply.status, reply.error["details"]["field"]) == (400, "page_token")


@over(lambda one: "{" in one.path)
async def test_a_dash_stands_for_every_parent(world: World, one: One) -> None:
    first = await world.desk(one)
    second = await world.desk(one, workspace=first.workspace)
    second.mark = first.mark
    made = [(await desk.make())["id"] for desk in (first, second, first)]
    parents = first.base.split("/")
    parents[-2] = "-"
    every = first.beside(first.client)
    every.base = "/".join(parents)
    listed = [item for page in await pages(every, "", 2) for item in page]
    assert sorted(ids(listed)) == sorted(made)
    assert set(ids(first.items(await first.list()))) == {made[2], made[0]}
    reply = await every.client.get(every.at("x"))
    assert (reply.status, reply.code) == (404, "NOT_FOUND")


@over()
async def test_both_spellings_of_query_parameters(world: World, one: One) -> None:
    desk = await world.desk(one)
    for _ in range(2):
        await desk.make()
    for prefix in ("", "/api"):
        for size, order in (("page_size", "order_by"), ("pageSize", "orderBy")):
            reply = await desk.client.get(f"{prefix}{desk.base}?{size}=1&{order}=id&{mine(desk)}")
            assert len(desk.items(reply)) == 1
    reply = await desk.list("page_size=1&pageSize=2")
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
