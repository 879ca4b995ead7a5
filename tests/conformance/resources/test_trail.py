"""What every change of every declared resource leaves behind, and who can follow it."""

import asyncio
import json
from typing import Any

import pytest

from conformance.resources.widgets import widgets
from conformance.resources.world import Desk, World, following, over, quote, verb
from kernel.client import never
from modelyard.kernel import watch
from modelyard.kernel.ports import Address
from modelyard.kernel.purge import purge
from modelyard.kernel.resource import Resource
from modelyard.storage import homes
from patience import LONG

pytestmark = pytest.mark.asyncio(loop_scope="session")
One = Resource[Any]


async def recorded(desk: Desk, made: dict[str, Any]) -> list[Any]:
    """The events about an item, the oldest first."""
    name = desk.at(made).removeprefix("/v1/")
    found = await desk.world.events(resource=name)
    return [sealed.event for sealed in found]


async def nothing_more(desk: Desk, events: asyncio.Queue[Any]) -> None:
    """No event has come before that of one that is made now."""
    made = await desk.make(labels={"batch": desk.mark, "wanted": "yes"})
    await desk.world.store.seal()
    assert (await following_one(events))["data"]["resource"]["id"] == made["id"]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)


async def following_one(events: asyncio.Queue[Any]) -> Any:
    return await asyncio.wait_for(events.get(), LONG)


@over(verb("delete"))
async def test_each_change_is_recorded_with_what_was_and_is(world: World, one: One) -> None:
    desk = await world.desk(one)
    headers = {"X-Request-ID": f"req-{desk.mark}"}
    reply = await desk.client.post(desk.base, await desk.body(), headers=headers)
    made = await desk.read(reply.json)
    views = [made]
    if verb("update")(one):
        reply = await desk.client.request("PATCH", desk.at(made), {"labels": {"a": "b"}})
        views.append(reply.json)
    await desk.client.delete(desk.at(made))
    found = await recorded(desk, made)
    told = [desk.told(view) for view in views]
    assert [event.before for event in found] == [None, *told]
    assert [event.after for event in found] == [*told, None]
    verbs = [event.verb.partition(".") for event in found]
    assert {area for area, _, _ in verbs} == {one.area}
    assert [word for _, _, word in verbs][:-1] == ["create", "update"][: len(views)]
    by = next(name for name in ("created_by", "createdBy") if name in made)
    for event in found:
        assert (event.kind, event.actor) == (one.kind, made[by])
        assert event.workspace == ("" if one.installation else desk.workspace)
    assert found[0].request_id == f"req-{desk.mark}"


@over()
async def test_what_fails_is_not_recorded(world: World, one: One) -> None:
    desk = await world.desk(one)
    made = await desk.make()
    headers = {"If-Match": '"other"'}
    await desk.client.post(desk.base, {"nonsense": 1})
    for method, body in (("DELETE", None), ("PATCH", {}), ("PUT", await desk.body())):
        await desk.client.request(method, desk.at(made), body, headers=headers)
    assert len(await recorded(desk, made)) == 1


@over(lambda one: any(each.behavior in ("hidden", "input_only") for each in one.about))
async def test_what_is_hidden_is_nowhere_to_be_read(world: World, one: One) -> None:
    desk = await world.desk(one)
    body = await desk.body()
    secrets = []
    for name, field in desk.settable.items():
        if field.behavior == "input_only":
            body[name] = f"never to be shown {desk.mark}"
            secrets.append(body[name])
    made = (await desk.client.post(desk.base, body)).json
    secrets += [made["key"]] if "key" in made else []
    address = ("" if one.installation else desk.workspace, made["id"])
    [[spec]] = await world.store.driver.fetch(
        f"SELECT spec FROM {homes.table(one.kind)} WHERE workspace = ? AND id = ?", address
    )
    kept = json.loads(spec)
    hidden = {each.wire for each in one.about if each.behavior == "hidden"}
    secrets += [str(kept[name]) for name in hidden if kept.get(name)]
    assert secrets
    bad = await desk.client.post(desk.base, body | {"nonsense": 1})
    shown = [bad.body.decode(), (await desk.list()).body.decode(), str(await desk.read(made))]
    shown += [str(event) for event in await recorded(desk, made)]
    for secret in secrets:
        assert not any(secret in text for text in shown), secret
    for name in hidden:
        assert name not in await desk.read(made)


@over()
async def test_the_chain_holds(world: World, one: One) -> None:
    desk = await world.desk(one)
    await desk.make(full=True)
    await world.events()
    assert await world.store.verify() is None


@over(verb("delete"))
async def test_changes_are_watched_as_they_are_made(world: World, one: One) -> None:
    desk, stranger = await world.desk(one), await world.desk(one)
    await world.store.seal()
    path = f"{desk.base}/watch"
    if one.installation:
        path += "?filter=" + quote(f'labels.batch = "{desk.mark}"')
    async with following(desk.client, path) as events:
        await stranger.make()
        made = await desk.read(await desk.make())
        await desk.client.delete(desk.at(made))
        await world.store.seal()
        first, last = await following_one(events), await following_one(events)
        await nothing_more(desk, events)
    name = desk.at(made).removeprefix("/v1/")
    assert (first["data"]["name"], first["data"]["resource"]) == (name, desk.told(made))
    assert (last["data"]["name"], last["data"]["resource"]) == (name, None)
    assert first["event"] == first["data"]["type"] == f"{one.area}.create"
    assert int(first["id"]) < int(last["id"])


@over()
async def test_a_follower_that_comes_back_misses_nothing(world: World, one: One) -> None:
    desk = await world.desk(one)
    ours = quote(f'labels.batch = "{desk.mark}"')
    made = []
    async with following(desk.client, f"{desk.base}/watch?filter={ours}") as events:
        made.append(await desk.make())
        await world.store.seal()
        seen = await following_one(events)
    made += [await desk.make(), await desk.make()]
    await world.store.seal()
    path = f"{desk.base}/watch?filter={ours}"
    async with following(desk.client, path, last_event_id=seen["id"]) as events:
        found = [await following_one(events) for _ in range(2)]
        await nothing_more(desk, events)
    ids = [seen["data"]["resource"]["id"], *(each["data"]["resource"]["id"] for each in found)]
    assert ids == [each["id"] for each in made]
    async with following(desk.client, f"{path}&after={seen['id']}") as events:
        assert (await following_one(events))["id"] == found[0]["id"]
    bad = await desk.client.get(path, headers={"Last-Event-ID": "x"})
    assert (bad.status, bad.error["details"]["field"]) == (400, "Last-Event-ID")
    bare = await desk.client.request("HEAD", path)
    assert (bare.status, bare.body) == (200, b"")
    assert bare.headers["content-type"] == "text/event-stream"


@over()
async def test_a_watch_is_filtered_and_its_fields_are_known(world: World, one: One) -> None:
    desk = await world.desk(one)
    path = f"{desk.base}/watch"
    bad = await desk.client.get(f"{path}?filter={quote('nonsense = 1')}")
    assert (bad.status, bad.error["details"]["field"]) == (400, "filter")
    wanted = quote(f'labels.batch = "{desk.mark}" AND labels.wanted = "yes"')
    async with following(desk.client, f"{path}?filter={wanted}") as events:
        await desk.make()
        made = await desk.make(labels={"batch": desk.mark, "wanted": "yes"})
        await world.store.seal()
        assert (await following_one(events))["data"]["resource"]["id"] == made["id"]
        await nothing_more(desk, events)


async def test_a_stream_ends_so_that_its_caller_is_known_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LIVE_SECONDS", 0.05)
    desk = await world.desk(widgets)
    reply = await asyncio.wait_for(desk.client.get(f"{desk.base}/watch", receive=never), LONG)
    assert (reply.status, reply.body[:12]) == (200, b"retry: 1000\n")


async def test_the_deleted_are_gone_for_good_after_their_time(world: World) -> None:
    desk = await world.desk(widgets)
    gone, living = [await desk.make(full=True) for _ in range(2)]
    await desk.client.delete(desk.at(gone))
    address = Address(widgets.kind, desk.workspace, "", gone["id"])
    row = await world.store.get(address)
    assert row is not None
    assert row.purge_at is not None
    await purge(world.ports, row.purge_at - 0.001)
    assert await world.store.get(address) == row
    assert await purge(world.ports, row.purge_at) == 1
    assert await world.store.get(address) is None
    assert (await desk.client.post(desk.at(gone, "/undelete"))).status == 404
    assert await desk.read(living) == living
    last = (await recorded(desk, gone))[-1]
    assert (last.verb, last.actor, last.after) == ("widget.purge", "system", None)
    assert last.before["id"] == gone["id"]
    assert (await desk.make(id=gone["id"]))["id"] == gone["id"], "the id is free again"
