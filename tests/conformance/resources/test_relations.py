"""References, states, singletons, facets and custom methods of every declared resource."""

from typing import Any

import msgspec
import pytest
from msgspec import inspect

from conformance.resources.samples import NOT_READY
from conformance.resources.values import value
from conformance.resources.world import BY_KIND, Desk, World, over, verb
from modelyard.kernel.fields import About
from modelyard.kernel.resource import Resource
from modelyard.protocol import shape

pytestmark = pytest.mark.asyncio(loop_scope="session")
One = Resource[Any]


def references(one: One) -> list[About]:
    """Those that clients set: what the server refers to by itself is tested with its slice."""
    ours = ("hidden", "output_only")
    return [each for each in one.about if each.refers and each.behavior not in ours]


async def target_of(desk: Desk, field: About) -> Desk:
    """Where what a field refers to is."""
    kind = BY_KIND[field.refers]
    found = Desk(desk.world, kind, desk.client, desk.workspace, f"{desk.mark}r")
    await found.settle()
    return found


@over(references)
async def test_a_reference_to_nothing_is_refused(world: World, one: One) -> None:
    desk = await world.desk(one)
    stranger = await world.desk(one)
    for field in references(one):
        foreign = None
        if not BY_KIND[field.refers].installation:
            foreign = (await (await target_of(stranger, field)).make())["id"]
        for wrong in filter(None, ("no-such-thing", foreign)):
            sent = [wrong] if field.many else wrong
            reply = await desk.client.post(desk.base, await desk.body(**{field.wire: sent}))
            assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), reply.body
            details = reply.error["details"]
            assert (details["field"], details["rule"]) == (field.wire, "reference")
            assert f"{field.refers}/{wrong}" in reply.error["message"]


@over(references)
async def test_what_is_referred_to_is_not_deleted(world: World, one: One) -> None:
    desk = await world.desk(one)
    for field in references(one):
        targets = await target_of(desk, field)
        target = (await targets.make())["id"]
        user = await desk.make(**{field.wire: [target] if field.many else target})
        reply = await desk.client.delete(targets.at(target))
        assert (reply.status, reply.code) == (409, "CONFLICT"), reply.body
        if verb("delete")(one):
            assert await desk.read(user)
            assert (await desk.client.delete(desk.at(user))).status == 204
            gone = await desk.client.delete(targets.at(target))
            assert gone.status == 204, gone.body


@over(lambda one: any(not each.refers.endswith("workspaces") for each in references(one)))
async def test_the_users_of_what_is_referred_to_are_named(world: World, one: One) -> None:
    desk = await world.desk(one)
    for field in references(one):
        if BY_KIND[field.refers].installation:
            continue
        targets = await target_of(desk, field)
        target = (await targets.make())["id"]
        user = await desk.make(**{field.wire: [target] if field.many else target})
        reply = await desk.client.delete(targets.at(target))
        name = desk.at(user).removeprefix("/v1/")
        assert reply.error["details"]["used_by"] == [name]
        assert name in reply.error["message"]


@over(lambda one: "{" in one.path)
async def test_what_lies_above_must_live_and_stays(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.make()
    above = desk.base.rpartition("/")[0]
    reply = await desk.client.delete(above)
    assert (reply.status, reply.code) == (409, "CONFLICT")
    assert reply.error["details"]["used_by"] == [desk.at(made).removeprefix("/v1/")]
    orphan = desk.beside(desk.client)
    orphan.base = f"{above.rpartition('/')[0]}/nowhere/{desk.base.rpartition('/')[2]}"
    for reply in (
        await orphan.client.post(orphan.base, await desk.body()),
        await orphan.list(),
        await orphan.client.get(orphan.at(made)),
    ):
        assert (reply.status, reply.code) == (404, "NOT_FOUND"), reply.body
    assert (await desk.client.delete(desk.at(made))).status == 204
    assert (await desk.client.delete(above)).status == 204
    assert (await desk.list()).status == 404


@over(lambda one: one.indexed.unique)
async def test_what_is_unique_is_so_in_the_installation(world: World, one: One) -> None:
    desk, stranger = await world.desk(one), await world.desk(one)
    for path in one.indexed.unique:
        if path[0] not in desk.settable:
            continue
        made = await desk.make(full=True)
        taken = {path[0]: made[path[0]]}
        for other in (desk, stranger):
            reply = await other.client.post(other.base, await other.body(**taken))
            assert (reply.status, reply.code) == (409, "CONFLICT")
            assert reply.error["details"] == {"field": path[0]}  # and not whose it is
        assert (await desk.client.delete(desk.at(made))).status == 204
        assert (await stranger.make(**taken))[path[0]] == made[path[0]]
        if "undelete" in one.standard and one.soft_delete:
            back = await desk.client.post(desk.at(made, "/undelete"))
            assert (back.status, back.code) == (409, "CONFLICT")


@over(lambda one: one.states)
async def test_states_change_by_their_methods_alone(world: World, one: One) -> None:
    assert one.states is not None
    [field] = [each for each in one.about if each.name == one.states.field]
    assert (field.behavior, field.default) == ("output_only", one.states.initial)
    for word, (starts, after) in one.states.moves.items():
        for state in one.states.names:
            desk = await world.desk(one)
            made = await desk.make()
            for step in _way(one, state):
                assert (await desk.client.post(desk.at(made, f"/{step}"))).status == 200
            reply = await desk.client.post(desk.at(made, f":{word}"))
            if state in starts:
                assert (reply.status, reply.json[field.wire]) == (200, after), reply.body
                assert (await desk.read(made))[field.wire] == after
                continue
            assert (reply.status, reply.code) == (409, "CONFLICT")
            details = reply.error["details"]
            assert (details["state"], details["allowed"]) == (state, list(starts))
            assert (await desk.read(made))[field.wire] == state


def _way(one: One, state: str) -> list[str]:
    """Which methods lead from the initial state to another."""
    assert one.states is not None
    ways = {one.states.initial: list[str]()}
    while state not in ways:
        for word, (starts, after) in one.states.moves.items():
            for start in set(starts) & set(ways):
                ways.setdefault(after, [*ways[start], word])
    return ways[state]


@over(lambda one: one.singletons)
async def test_singletons_are_read_and_written_by_themselves(world: World, one: One) -> None:
    desk = await world.desk(one)
    for name, part in one.singletons.items():
        made = await desk.read(await desk.make(full=True))
        path = desk.at(made, f"/{name}")
        before = await desk.client.get(path)
        chosen = [each for each in one.about if each.name in part.fields]
        assert before.json == {each.wire: made[each.wire] for each in chosen} | {
            "etag": made["etag"]
        }
        assert before.headers["etag"] == f'"{made["etag"]}"'
        ask = {each.wire: value(inspect.type_info(each.type), 5) for each in chosen}
        wrong = await desk.client.request("PUT", path, ask | {"etag": "other"})
        assert (wrong.status, wrong.code) == (412, "ETAG_MISMATCH")
        after = await desk.client.request("PUT", path, ask | {"etag": made["etag"]})
        assert (after.status, after.json) == (200, ask | {"etag": after.json["etag"]}), after.body
        again = await desk.client.request("PUT", path, after.json)
        assert (again.status, again.json) == (200, after.json)
        assert (await desk.read(made)) | ask == await desk.read(made)
        plain = await desk.client.request("PATCH", desk.at(made), {chosen[0].wire: None})
        assert plain.json == await desk.read(made), "what a singleton holds is ignored elsewhere"


@over(lambda one: one.singletons)
async def test_of_a_singleton_that_is_sent_nothing_is_lost(world: World, one: One) -> None:
    desk = await world.desk(one)
    for name, part in one.singletons.items():
        made = await desk.make(full=True)
        path = desk.at(made, f"/{name}")
        chosen = [each for each in one.about if each.name in part.fields]
        ask = {each.wire: value(inspect.type_info(each.type), 5) for each in chosen}
        spelled = {_otherwise(key): _respelled(item) for key, item in ask.items()}
        reply = await desk.client.request("PUT", path, spelled | {"createdAt": "then"})
        assert reply.status == 400 or {key: reply.json[key] for key in ask} == ask, reply.body
        reply = await desk.client.request("PUT", path, spelled)
        assert {key: reply.json[key] for key in ask} == ask, reply.body
        places = [("", ask)]
        places += [(f"{key}.", item) for key, item in ask.items() if isinstance(item, dict)]
        for prefix, place in places:
            wrong = {**ask, "colourr": 1}
            if prefix:
                wrong = {**ask, prefix[:-1]: {**place, "colourr": 1}}
            for method in ("PUT", "PATCH"):
                refused = await desk.client.request(method, path, wrong)
                assert refused.error["details"]["field"] == prefix + "colourr", refused.body
        assert (await desk.client.get(path)).json == reply.json


@over(lambda one: one.singletons)
async def test_a_singleton_is_changed_in_parts(world: World, one: One) -> None:
    desk = await world.desk(one)
    for name, part in one.singletons.items():
        made = await desk.make(full=True)
        path = desk.at(made, f"/{name}")
        chosen = [each for each in one.about if each.name in part.fields]
        first, later = (
            {each.wire: value(inspect.type_info(each.type), number) for each in chosen}
            for number in (5, 8)
        )
        before = (await desk.client.request("PUT", path, first)).json
        for field in chosen:
            ask = {field.wire: later[field.wire]}
            wrong = await desk.client.request("PATCH", path, ask | {"etag": "other"})
            assert (wrong.status, wrong.code) == (412, "ETAG_MISMATCH")
            reply = await desk.client.request("PATCH", path, ask | {"etag": before["etag"]})
            assert (reply.status, reply.json) == (200, before | ask | {"etag": reply.json["etag"]})
            before = reply.json
            masked = f"{path}?update_mask={field.wire}"
            reply = await desk.client.request("PATCH", masked, first)
            before |= {field.wire: first[field.wire], "etag": reply.json["etag"]}
            assert (reply.status, reply.json) == (200, before)
        wrong = await desk.client.request("PATCH", f"{path}?update_mask=nosuch", first)
        assert (wrong.status, wrong.error["details"]["field"]) == (400, "update_mask")
        assert (await desk.client.get(path)).json == before


def _otherwise(name: str) -> str:
    return shape.camel(name) if "_" in name else shape.snake(name)


def _respelled(item: Any) -> Any:
    if isinstance(item, dict):
        return {_otherwise(name): inner for name, inner in item.items()}
    return item


@over(lambda one: one.facets)
async def test_facets_answer(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.make()
    for facet in one.facets:
        reply = await desk.client.get(desk.at(made, f"/{facet.name}"))
        assert reply.status == 200, reply.body
        msgspec.convert(reply.json, facet.response, strict=True)
        missing = await desk.client.get(desk.at("no-such-thing", f"/{facet.name}"))
        assert (missing.status, missing.code) == (404, "NOT_FOUND")


@over(lambda one: any(each.verb not in one.standard for each in one.custom))
async def test_both_spellings_of_custom_methods(world: World, one: One) -> None:
    desk = await world.desk(one)
    for each in one.custom:
        if each.verb in ("list", "get", "create", "update", "delete"):
            continue
        if (one.kind, each.verb) in NOT_READY:
            continue
        for mark in ("/", ":"):
            made = await desk.make()
            path = (
                desk.at(made, mark + each.verb) if each.on_item else f"{desk.base}{mark}{each.verb}"
            )
            ask = None
            if each.request is not None:
                ask = value(inspect.type_info(each.request), 1)
            for prefix in ("", "/api"):
                reply = await desk.client.request(each.method, prefix + path, ask)
                assert reply.status == each.status, reply.body
                response = None if each.response is type(None) else each.response
                if response is not None:
                    msgspec.convert(reply.json, response, strict=True)
