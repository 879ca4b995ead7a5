"""Who may call the routes of every declared resource."""

from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from msgspec import inspect

from conformance.resources.values import value
from conformance.resources.world import EVERY, Desk, World, over, verb
from modelyard.kernel import compiling
from modelyard.kernel.resource import Resource
from modelyard.kernel.route import Route

pytestmark = pytest.mark.asyncio(loop_scope="session")
One = Resource[Any]


def declared(one: One) -> list[Route]:
    return compiling.routes(one)


def on_items(one: One) -> list[Route]:
    """The routes of an item, the removal last and the return of a removed one left out."""
    found = [each for each in declared(one) if each.place and each.place.item]
    living = [each for each in found if not (each.place and each.place.deleted)]
    return sorted(living, key=lambda each: each.method == "DELETE")


async def ask(desk: Desk, route: Route, item: dict[str, Any]) -> tuple[str, str, Any]:
    """A valid request to a route about an item."""
    template = route.path.split("/")
    mine = desk.at(item).split("/")
    path = "/".join(mine[: len(template)] + template[len(mine) :])
    if not (route.place and route.place.item):
        path = "/".join(desk.base.split("/") + template[len(desk.base.split("/")) :])
    body = None
    if route.request is desk.one.types.put or route.operation == desk.create.operation:
        body = await desk.body()
        kept = [a.wire for a in desk.settable.values() if a.behavior == "immutable"]
        if route.request is desk.one.types.put:
            body |= {name: item[name] for name in kept}
    elif route.request is desk.one.types.patch:
        body = {"labels": {"a": "b"}}
    elif route.request is not None:
        made = value(inspect.type_info(route.request), 1)
        body = {name: each for name, each in made.items() if name != "etag"}
    return route.method, path + asked(route), body


def asked(route: Route) -> str:
    """The query parameters that a route cannot do without."""
    if route.query is None:
        return ""
    needed = [one for one in msgspec.structs.fields(route.query) if one.required]
    return "?" + urlencode({one.encode_name: "x" for one in needed}) if needed else ""


async def call(desk: Desk, route: Route, item: dict[str, Any]) -> Any:
    return await desk.client.request(*await ask(desk, route, item))


@pytest.mark.parametrize("one", EVERY, ids=[one.kind for one in EVERY])
async def test_nobody_is_let_in_without_a_key(world: World, one: One) -> None:
    for route in declared(one):
        for key in ("", "my-unknown", "ey.x.y"):
            path = route.path.replace("{", "").replace("}", "").replace("*", "")
            reply = await (await world.key("anyone")).request(
                route.method, path, headers={"X-API-Key": key}
            )
            assert (reply.status, reply.code) == (401, "UNAUTHENTICATED"), route.path


# Whoever asked for an operation may look at it, so nobody is refused in general (tests/jobs).
GUARDED = [one for one in EVERY if one.kind != "operations"]


@pytest.mark.parametrize("one", GUARDED, ids=[one.kind for one in GUARDED])
async def test_a_missing_permission_is_named(world: World, one: One) -> None:
    other = "model:read" if one.area == "inference" else "inference:*"
    client = await world.key("anyone", other, f"{one.area}:nothing")
    for route in declared(one):
        path = route.path.replace("{", "").replace("}", "").replace("*", "")
        reply = await client.request(route.method, path)
        assert (reply.status, reply.code) == (403, "PERMISSION_DENIED"), route.path
        assert reply.error["details"]["permission"] == route.permission
        assert f"'{route.permission}'" in reply.error["message"]


@over(lambda one: not one.installation)
async def test_another_workspace_s_are_not_there(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.read(await desk.make(full=True))
    stranger = desk.beside(await world.key(f"{desk.mark}-stranger"))
    for route in on_items(one):
        if route.place and route.place.fresh:
            continue  # makes one of the stranger's own
        method, path, body = await ask(desk, route, made)
        reply = await stranger.client.request(method, path, body)
        assert (reply.status, reply.code) == (404, "NOT_FOUND"), (method, path, reply.body)
        nowhere = path.replace(f"/{made['id']}", "/no-such")
        missing = await stranger.client.request(method, nowhere, body)
        assert (missing.status, missing.code) == (404, "NOT_FOUND"), (method, nowhere)
        assert made.get("name", f"/{made['id']}") not in missing.body.decode()
    if "{" not in one.path:
        assert stranger.items(await stranger.list()) == []
    assert await desk.read(made) == made


@over(lambda one: not one.installation)
async def test_another_workspace_is_meant_by_its_name_only_with_a_right(
    world: World, one: One
) -> None:
    desk = await world.desk(one)
    made = await desk.read(await desk.make())
    path = f"{desk.at(made)}?workspace={desk.workspace}"
    operator = await world.key("operators", f"{one.area}:read", "workspace:write")
    reply = await operator.get(path)
    assert (reply.status, desk.own(reply.json)) == (200, made)
    reader = await world.key("operators", f"{one.area}:read")
    reply = await reader.get(path)
    assert (reply.status, reply.error["details"]["permission"]) == (403, "workspace:write")


@over(lambda one: one.kind.startswith("test/"))
async def test_the_named_permission_is_enough(world: World, one: One) -> None:
    desk = await world.desk(one)
    for route in declared(one):
        if route.stream is not None:
            continue
        made = await desk.read(await desk.make(full=True))
        if route.place and route.place.deleted:
            await desk.client.delete(desk.at(made))
        for word in _way(one, route):
            await desk.client.post(desk.at(made, f"/{word}"))
        client = await world.key(desk.workspace, str(route.permission))
        reply = await client.request(*await ask(desk, route, made))
        assert reply.status == route.status, (route.method, route.path, reply.body)


def _way(one: One, route: Route) -> list[str]:
    """What brings an item into a state that a route can start from."""
    word = route.path.rpartition("/")[2]
    if one.states is None or word not in one.states.moves:
        return []
    starts = one.states.moves[word][0]
    if one.states.initial in starts:
        return []
    return [each for each, (froms, after) in one.states.moves.items()
            if one.states.initial in froms and after in starts][:1]  # fmt: skip


@over(lambda one: verb("update")(one) and not one.installation)
async def test_reading_allows_no_change(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.read(await desk.make(full=True))
    reader = desk.beside(await world.key(desk.workspace, f"{one.area}:read"))
    assert await reader.read(made) == made
    for route in on_items(one):
        if route.method != "GET":
            reply = await reader.client.request(*await ask(desk, route, made))
            assert (reply.status, reply.code) == (403, "PERMISSION_DENIED"), route.path
    assert await reader.read(made) == made
