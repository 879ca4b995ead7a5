"""The standard methods of every declared resource."""

from typing import Any

import msgspec
import pytest
from msgspec import inspect

from conformance.resources.values import value
from conformance.resources.world import Desk, World, over, verb
from modelyard.kernel.resource import Resource
from modelyard.kernel.route import Route

pytestmark = pytest.mark.asyncio(loop_scope="session")
One = Resource[Any]


def conforms(view: Any, route: Route) -> None:
    """A view is what its route declares: strictly, and with each field."""
    msgspec.convert(view, route.response, strict=True)
    info = inspect.type_info(route.response)
    assert isinstance(info, inspect.StructType)
    assert set(view) == {field.encode_name for field in info.fields}


async def unchanged(desk: Desk, before: dict[str, Any]) -> None:
    assert await desk.read(before) == before


@over()
async def test_what_is_created_is_read_and_listed(world: World, one: One) -> None:
    desk = await world.desk(one)
    sent = await desk.body()
    reply = await desk.client.post(desk.base, sent)
    assert reply.status == desk.create.status == 201, reply.body
    made = reply.json
    conforms(made, desk.create)
    assert reply.headers["etag"] == f'"{made["etag"]}"'
    read = await desk.client.get(desk.at(made))
    view = {name: made[name] for name in read.json}  # a new secret is shown once
    assert read.json == view
    assert read.headers["etag"] == reply.headers["etag"]
    conforms(read.json, world.routes["GET", f"/v1{one.path}/{{{one.singular}_id}}"])
    listed = await desk.list()
    assert desk.items(listed) == [desk.own(view)]
    assert desk.token(listed) is None


@over()
async def test_what_was_sent_comes_back(world: World, one: One) -> None:
    desk = await world.desk(one)
    sent = await desk.body()
    made = (await desk.client.post(desk.base, sent)).json
    for name, field in desk.settable.items():
        if field.behavior == "input_only":
            assert name not in made
        elif not isinstance(sent[name], dict):
            assert made[name] == sent[name], name
        else:
            assert made[name] | sent[name] == made[name], name
    assert made["labels"] == sent["labels"]
    hidden = {each.wire for each in one.about if each.behavior == "hidden"}
    assert not hidden & set(made)


@over()
async def test_only_what_is_required_is_needed(world: World, one: One) -> None:
    desk = await world.desk(one)
    sent = await desk.body(full=False)
    assert (await desk.client.post(desk.base, sent)).status == 201
    for name, field in desk.settable.items():
        if len(field.given) > 2:
            continue
        lacking = {key: item for key, item in sent.items() if key != name}
        reply = await desk.client.post(desk.base, lacking)
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
        assert reply.error["details"] | {"allowed": 0} == {
            "field": name, "rule": "required", "allowed": 0,
        }  # fmt: skip


@over()
async def test_an_unknown_field_is_named_at_any_depth(world: World, one: One) -> None:
    desk = await world.desk(one)
    sent = await desk.body()
    places = [("", sent)] + [
        (name + ".", sent[name])
        for name in desk.settable
        if isinstance(sent[name], dict) and not _is_map(desk, name)
    ]
    for prefix, place in places:
        place["colourr"] = 1
        reply = await desk.client.post(desk.base, sent)
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
        assert reply.error["details"]["field"] == prefix + "colourr"
        del place["colourr"]
    assert desk.items(await desk.list()) == []


def _is_map(desk: Desk, name: str) -> bool:
    return isinstance(
        value(inspect.type_info(desk.settable[name].type), 1), dict
    ) and "k1" in value(inspect.type_info(desk.settable[name].type), 1)


@over()
async def test_a_field_in_both_spellings_is_refused(world: World, one: One) -> None:
    desk = await world.desk(one)
    sent = await desk.body()
    for name in desk.settable:
        for other in (msgspec_snake(name), msgspec_camel(name)):
            if other != name:
                reply = await desk.client.post(desk.base, sent | {other: sent[name]})
                assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), other
                assert reply.error["details"]["field"] == other
                assert f"'{name}'" in reply.error["message"]


def msgspec_snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


def msgspec_camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


@over()
async def test_fields_are_read_in_either_spelling(world: World, one: One) -> None:
    desk = await world.desk(one)
    sent = await desk.body()
    other = {}
    for name, item in sent.items():
        spelled = msgspec_camel(name) if "_" in name else msgspec_snake(name)
        other[spelled] = item
    made = (await desk.client.post(desk.base, other)).json
    for name, field in desk.settable.items():
        if field.behavior != "input_only" and not isinstance(sent[name], dict):
            assert made[name] == sent[name]


@over(verb("update"))
async def test_patch_changes_one_field_and_no_other(world: World, one: One) -> None:
    desk = await world.desk(one)
    before = await desk.make(full=True)
    before = await desk.read(before)
    for number, field in enumerate(desk.mutable, 2000):
        ask = {field.wire: await desk.another(field, before[field.wire], number)}
        reply = await desk.client.request("PATCH", desk.at(before), ask)
        assert reply.status == 200, reply.body
        after = reply.json
        changed = {name for name in after if after[name] != before[name]}
        stamps = {name for name in after if name.lower() in ("updatedat", "updated_at")}
        assert changed - stamps == {field.wire, "etag"}, field.wire
        assert after == await desk.read(before)
        before = after


@over(verb("update"))
async def test_patch_changes_labels_alone_and_one_by_one(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.make(labels={"a": "1", "batch": desk.mark})
    path = desk.at(made)
    ask = {"labels": {"b": "2"}}
    added = await desk.client.request("PATCH", path + "?update_mask=labels.b", ask)
    assert added.json["labels"] == {"a": "1", "b": "2", "batch": desk.mark}, added.body
    gone = await desk.client.request("PATCH", path + "?update_mask=labels.a,labels.batch", {})
    assert gone.json["labels"] == {"b": "2"}
    whole = await desk.client.request("PATCH", path, {"labels": {"c": "3"}})
    assert whole.json["labels"] == {"c": "3"}
    for labels, field in (
        ({"Bad Key": "1"}, "labels"),
        ({"a": 1}, "labels"),
        ({f"k{n}": "" for n in range(65)}, "labels"),
        ({"a": "x" * 257}, "labels"),
    ):
        reply = await desk.client.request("PATCH", path, {"labels": labels})
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), labels
        assert reply.error["details"]["field"].startswith(field)


@over(verb("update"))
async def test_a_mask_takes_only_what_it_names(world: World, one: One) -> None:
    desk = await world.desk(one)
    if len(desk.mutable) < 2:
        return
    before = await desk.read(await desk.make(full=True))
    first, second = desk.mutable[:2]
    ask = {one.wire: await desk.another(one, before[one.wire]) for one in (first, second)}
    path = desk.at(before) + f"?update_mask={first.wire}"
    after = (await desk.client.request("PATCH", path, ask)).json
    assert after[first.wire] == ask[first.wire] != before[first.wire]
    assert after[second.wire] == before[second.wire]


@over(verb("update"))
async def test_a_mask_with_an_unknown_field_names_it(world: World, one: One) -> None:
    desk = await world.desk(one)
    before = await desk.read(await desk.make())
    hidden = [each.wire for each in one.about if each.behavior in ("hidden", "output_only")]
    for wrong in ("nonsense", "labels.a.b", *hidden, "id", "created_at"):
        path = desk.at(before) + f"?update_mask={wrong}"
        reply = await desk.client.request("PATCH", path, {})
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), wrong
        assert reply.error["details"]["field"] == "update_mask"
    await unchanged(desk, before)


@over(verb("update"))
async def test_a_patch_without_effect_leaves_no_trace(world: World, one: One) -> None:
    desk = await world.desk(one)
    before = await desk.read(await desk.make(full=True))
    seen = await world.events(workspace=None)
    same = {field.wire: before[field.wire] for field in desk.mutable}
    for ask in ({}, same, {"labels": before["labels"]}):
        reply = await desk.client.request("PATCH", desk.at(before), ask)
        assert (reply.status, reply.json) == (200, before)
    assert await world.events(workspace=None, after=seen[-1].sequence) == []


@over(verb("update"))
async def test_put_replaces_everything_that_may_be_set(world: World, one: One) -> None:
    desk = await world.desk(one)
    full = await desk.make(full=True)
    needed = await desk.body(full=False, labels={})
    kept = {each.wire for each in desk.settable.values() if each.behavior == "immutable"}
    needed |= {name: full[name] for name in kept}
    for path in one.indexed.unique:
        if path[0] in needed:
            needed[path[0]] = full[path[0]]
    reply = await desk.client.request("PUT", desk.at(full), needed)
    assert reply.status == 200, reply.body
    for name, field in desk.settable.items():
        if field.behavior == "input_only":
            continue
        wanted = needed.get(name, field.default)
        assert reply.json[name] == wanted, name
    assert reply.json["labels"] == {}
    assert reply.json == await desk.read(full)


@over(verb("update"))
async def test_what_was_read_can_be_put_back(world: World, one: One) -> None:
    desk = await world.desk(one)
    before = await desk.read(await desk.make(full=True))
    reply = await desk.client.request("PUT", desk.at(before), before)
    assert (reply.status, reply.json) == (200, before), reply.body


@over(lambda one: verb("update")(one) and any(a.behavior == "immutable" for a in one.about))
async def test_what_is_immutable_stays(world: World, one: One) -> None:
    desk = await world.desk(one)
    before = await desk.read(await desk.make(full=True))
    body = {name: before[name] for name in desk.settable if name in before}
    for name, field in desk.settable.items():
        if field.behavior == "immutable":
            other = {"kind": "service_account"}.get(name) or await desk.another(field, before[name])
            reply = await desk.client.request("PUT", desk.at(before), body | {name: other})
            assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
            assert reply.error["details"]["field"] == name
            assert reply.error["details"]["rule"] == "immutable"
            reply = await desk.client.request("PATCH", desk.at(before), {name: other})
            assert (reply.status, reply.error["details"]["field"]) == (400, name)
            assert reply.error["details"]["rule"] == "immutable"
    await unchanged(desk, before)
    kept = [name for name, each in desk.settable.items() if each.behavior == "immutable"]
    same = {name: before[name] for name in kept}
    for ask in (("PATCH", before), ("PUT", {k: v for k, v in body.items() if k not in same})):
        ask[1].pop("etag", None)
        reply = await desk.client.request(ask[0], desk.at(before), ask[1])
        assert reply.status == 200, reply.body
        assert {name: reply.json[name] for name in kept} == same


@over(verb("delete"))
async def test_what_is_deleted_is_gone(world: World, one: One) -> None:
    desk = await world.desk(one)
    made, stays = await desk.make(), await desk.make()
    reply = await desk.client.delete(desk.at(made))
    assert (reply.status, reply.body) == (204, b"")
    assert [item["id"] for item in desk.items(await desk.list())] == [stays["id"]]
    calls = [("GET", None), ("DELETE", None)]
    calls += [("PATCH", {}), ("PUT", await desk.body())] if verb("update")(one) else []
    for method, body in calls:
        if method == "PUT" and one.upsert:
            continue
        reply = await desk.client.request(method, desk.at(made), body)
        assert (reply.status, reply.code) == (404, "NOT_FOUND"), method
        assert made["id"] in reply.error["message"]


@over(lambda one: one.soft_delete and verb("delete")(one))
async def test_a_soft_deletion_is_shown_when_asked_for(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.make()
    await desk.client.delete(desk.at(made))
    [gone] = desk.items(await desk.list("show_deleted=true"))
    name = "deletedAt" if one.camel else "deleted_at"
    assert gone["id"] == made["id"]
    assert gone[name] >= made["createdAt" if one.camel else "created_at"]
    assert made[name] is None


@over(lambda one: one.soft_delete and "undelete" in one.standard)
async def test_a_soft_deletion_is_undone(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.read(await desk.make(full=True))
    living = await desk.client.post(desk.at(made, "/undelete"))
    assert (living.status, living.code) == (404, "NOT_FOUND")
    await desk.client.delete(desk.at(made))
    reply = await desk.client.post(desk.at(made, "/undelete"))
    assert reply.status == 200, reply.body
    after = await desk.read(made)
    assert after == reply.json
    touched = {name for name in after if after[name] != made[name]}
    assert touched <= {"etag", "updated_at", "updatedAt"}
    assert desk.items(await desk.list()) == [after]


@over(lambda one: one.own_ids)
async def test_an_id_of_one_s_own(world: World, one: One) -> None:
    desk = await world.desk(one)
    own = f"{desk.mark}-mine"
    assert (await desk.make(id=own))["id"] == own
    again = await desk.client.post(desk.base, await desk.body(id=own))
    assert (again.status, again.code) == (409, "CONFLICT"), again.body
    for bad in ("", "UPPER", "a b", "a/b", "../a", "-", "ä", "x" * 300, 5):
        reply = await desk.client.post(desk.base, await desk.body(id=bad))
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), bad
        assert reply.error["details"]["field"] == "id"
    body = await desk.body()
    del body["id"]
    reply = await desk.client.post(desk.base, body)
    assert reply.json["id"].startswith(one.id_prefix + "_"), reply.body


@over(lambda one: not one.own_ids)
async def test_an_id_is_the_server_s_to_choose(world: World, one: One) -> None:
    desk = await world.desk(one)
    reply = await desk.client.post(desk.base, await desk.body(id="mine"))
    made = reply.json
    chosen = "1" if one.numbered else one.id_prefix + "_"
    assert reply.status == 400 or made["id"].startswith(chosen)


@over()
async def test_no_id_and_no_label_ends_with_a_newline(world: World, one: One) -> None:
    desk = await world.desk(one)
    asks = [("labels", await desk.body(labels={"a\n": "b"}))]
    if one.own_ids:
        asks.append(("id", await desk.body(id="mine\n")))
    for name, ask in asks:
        reply = await desk.client.post(desk.base, ask)
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), reply.body
        details = reply.error["details"]
        assert (details["field"].partition("[")[0], details["rule"]) == (name, "pattern")
        assert "Z" not in details["allowed"].replace("A-Z", ""), "it is told as others write it"


@over(lambda one: one.own_ids)
async def test_a_reserved_id_is_refused(world: World, one: One) -> None:
    desk = await world.desk(one)
    words = {each.verb for each in one.custom if not each.on_item} | set(one.presets) | {"watch"}
    words -= {"list", "create"}
    for word in words:
        reply = await desk.client.post(desk.base, await desk.body(id=word))
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), word
        details = reply.error["details"]
        assert (details["field"], details["rule"]) == ("id", "reserved")


@over(lambda one: one.upsert)
async def test_put_makes_what_is_missing(world: World, one: One) -> None:
    desk = await world.desk(one)
    path = desk.at(f"{desk.mark}-new")
    body = await desk.body()
    del body["id"]
    none = await desk.client.request("PUT", path, body, headers={"If-Match": "*"})
    assert (none.status, none.code) == (412, "ETAG_MISMATCH")
    made = await desk.client.request("PUT", path, body, headers={"If-None-Match": "*"})
    assert (made.status, made.json["id"]) == (200, f"{desk.mark}-new"), made.body
    again = await desk.client.request("PUT", path, body, headers={"If-None-Match": "*"})
    assert (again.status, again.code) == (412, "ETAG_MISMATCH")
    reserved = await desk.client.request("PUT", desk.at("Not Valid"), body)
    assert (reserved.status, reserved.code) == (400, "INVALID_REQUEST"), reserved.body
