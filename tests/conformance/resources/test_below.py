"""What is numbered below another, and what that shows of the newest."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from conformance.resources.widgets import editions, screws, widgets
from conformance.resources.world import Desk, World
from modelyard.kernel import item
from modelyard.kernel.ports import Address, Commit, Row, Write

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def shop(world: World) -> tuple[Desk, dict[str, Any], Desk]:
    """Widgets, one of them, and its editions."""
    above = await world.desk(widgets)
    made = await above.make()
    below = Desk(world, editions, above.client, above.workspace, above.mark)
    below.base = above.at(made, "/editions")
    return above, made, below


async def test_the_newest_is_shown_by_what_it_lies_below_and_always_as_it_is(world: World) -> None:
    above, made, below = await shop(world)
    assert made["latestEdition"] is None
    first, second = await below.make(), await below.make(pageCount=34)
    read = await above.read(made)
    shown = {name: second[name] for name in ("id", "pageCount", "labels", "createdAt")}
    assert (first["id"], second["id"], read["latestEdition"]) == ("1", "2", shown)
    assert above.items(await above.list()) == [read]
    reply = await above.client.request("PATCH", below.at(second), {"pageCount": 56})
    assert reply.status == 200
    read = await above.read(made)
    assert read["latestEdition"] == shown | {"pageCount": 56}
    assert (await above.client.delete(below.at(second))).status == 204
    assert (await above.read(made))["latestEdition"]["id"] == "1"
    await above.client.post(below.at(second, "/undelete"))
    assert await above.read(made) == read | {"etag": (await above.read(made))["etag"]}


async def test_a_page_shows_the_newest_of_each(world: World) -> None:
    above, made, below = await shop(world)
    bare, other = await above.make(), await above.make()
    beside = Desk(world, editions, above.client, above.workspace, above.mark)
    beside.base = above.at(other, "/editions")
    for desk, count in ((below, 2), (beside, 3)):
        for _ in range(count):
            await desk.make()
    shown = {one["id"]: one["latestEdition"] for one in above.items(await above.list())}
    assert {own: one and one["id"] for own, one in shown.items()} == {
        made["id"]: "2",
        bare["id"]: None,
        other["id"]: "3",
    }


async def test_an_etag_covers_what_is_shown_of_the_newest(world: World) -> None:
    above, made, below = await shop(world)
    edition = await below.make()
    tags = [made["etag"], (await above.read(made))["etag"]]
    await above.client.request("PATCH", below.at(edition), {"remark": "r"})
    tags.append((await above.read(made))["etag"])
    assert len(set(tags)) == 3
    for tag, status in ((tags[1], 200), (tags[2], 304)):
        reply = await above.client.get(above.at(made), headers={"If-None-Match": f'"{tag}"'})
        assert reply.status == status
    for tag, status in ((tags[1], 412), (tags[2], 200)):
        match = {"If-Match": f'"{tag}"'}
        reply = await above.client.request("PATCH", above.at(made), {"size": 7}, headers=match)
        assert reply.status == status, reply.body
    assert reply.json == await above.read(made)


async def test_neither_the_document_nor_the_trail_keeps_the_newest(world: World) -> None:
    above, made, below = await shop(world)
    await below.make()
    await above.client.request("PATCH", above.at(made), {"size": 7})
    address = Address(widgets.kind, above.workspace, "", made["id"])
    row = await world.store.get(address)
    assert row is not None and row.newest is not None
    assert "latestEdition" not in row.spec
    events = await world.events(workspace=above.workspace, resource=address.name)
    assert [event.event.verb for event in events] == ["widget.create", "widget.update"]
    assert all("latestEdition" not in (event.event.after or {}) for event in events)


async def test_many_at_a_time_are_numbered_without_gaps(world: World) -> None:
    above, made, below = await shop(world)
    found = await asyncio.gather(*(below.make() for _ in range(40)))
    assert sorted(int(one["id"]) for one in found) == list(range(1, 41))
    listed = below.items(await below.list())
    assert [one["id"] for one in listed] == [str(number) for number in range(40, 0, -1)]
    assert (await above.read(made))["latestEdition"]["id"] == "40"


async def test_only_what_a_commit_makes_tells_its_next_number(world: World) -> None:
    """What else it changes there may be any of them."""
    _, made, below = await shop(world)
    for _ in range(3):
        await below.make()
    place = Address(editions.kind, below.workspace, f"{widgets.kind}/{made['id']}", "1")
    first = await world.store.get(place)
    assert first is not None
    commit = Commit(writes=[Write(row=first, expected=first.revision)])
    number, at = await item.following(world.store, place, item.Just(), commit)
    fresh = structs.replace(first, address=structs.replace(place, id=number), created_at=at)
    commit.writes.append(Write(row=fresh))
    another, later = await item.following(world.store, place, item.Just(), commit)
    assert (number, another) == ("4", "5")
    assert later > at


async def test_what_is_refused_leaves_no_gap(world: World) -> None:
    above, _, below = await shop(world)
    await below.make()
    body = await below.body()
    match = {"If-None-Match": "*"}
    reply = await above.client.post(below.base, body | {"pageCount": 0}, headers=match)
    assert reply.status == 400
    await above.client.post(f"{below.base}?validateOnly=true", body)
    assert (await below.make())["id"] == "2"


async def test_the_number_of_a_deleted_one_is_not_given_again(world: World) -> None:
    above, _, below = await shop(world)
    for _ in range(3):
        await below.make()
    for number in ("3", "2"):
        assert (await above.client.delete(below.at(number))).status == 204
    assert (await below.make())["id"] == "4"


async def test_what_is_only_tried_takes_no_number(world: World) -> None:
    above, _, below = await shop(world)
    reply = await above.client.post(f"{below.base}?validate_only=true", await below.body())
    assert (reply.status, reply.json["id"]) == (201, "1")
    assert (await below.make())["id"] == "1"


async def test_a_clock_that_was_set_back_makes_no_older_one_the_newest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    above, made, below = await shop(world)
    first = await below.make()
    earlier = item.errors.now() - 3600
    monkeypatch.setattr(item.errors, "now", lambda: earlier)
    second = await below.make()
    monkeypatch.undo()
    assert second["createdAt"] > first["createdAt"]
    assert (await above.read(made))["latestEdition"]["id"] == second["id"] == "2"


async def test_numbers_go_on_after_those_that_were_stored_in_any_order(world: World) -> None:
    """As a copy of another installation's could be: the newest by time is not the last number."""
    above, made, below = await shop(world)
    await below.make()
    place = Address(editions.kind, above.workspace, f"{widgets.kind}/{made['id']}", "1")
    row = await world.store.get(place)
    assert row is not None
    early = structs.replace(
        row,
        address=structs.replace(place, id="7"),
        uid="0" * 24,
        created_at=row.created_at - 60,
    )
    await world.store.commit(Commit(writes=[Write(row=early)]))
    second = [(await below.make())["id"] for _ in range(6)]
    assert second == ["2", "3", "4", "5", "6", "8"]


async def test_who_adds_again_does_not_read_it_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    above, made, below = await shop(world)
    beside = Desk(world, screws, above.client, above.workspace, above.mark)
    beside.base = above.at(made, "/screws")
    await below.make()
    read: list[Address] = []
    get = world.store.get

    async def noted(address: Address) -> Row | None:
        read.append(address)
        return await get(address)

    monkeypatch.setattr(world.store, "get", noted)
    found = [await below.make(), await below.make(), await beside.make(), await below.make()]
    assert not read
    await above.client.request("PATCH", above.at(made), {"size": 7})
    found.append(await below.make())
    assert [one["id"] for one in found if "pageCount" in one] == ["2", "3", "4", "5"]
    assert [one.kind for one in read] == [widgets.kind]  # to be changed: whole, with its newest
    assert (await above.read(made))["latestEdition"]["id"] == "5"


async def test_what_other_processes_did_meanwhile_is_seen(
    world: World, residence: tuple[Path, Path | str]
) -> None:
    above, made, below = await shop(world)
    await below.make()
    first = Address(editions.kind, below.workspace, f"{widgets.kind}/{made['id']}", "1")
    async with world.another(residence[1]) as other:
        edition = await other.get(first)
        assert edition is not None
        second = structs.replace(edition, address=structs.replace(first, id="2"), uid="2" * 24)
        await other.commit(Commit(writes=[Write(row=second)]))
        assert (await below.make())["id"] == "3"
        row = await other.get(Address(widgets.kind, above.workspace, "", made["id"]))
        assert row is not None
        larger = structs.replace(row, revision=row.revision + 1, spec=row.spec | {"size": 9})
        await other.commit(Commit(writes=[Write(row=larger, expected=row.revision)]))
        assert (await below.make())["id"] == "4"
        assert (await above.read(made))["size"] == 9
        gone = structs.replace(larger, revision=larger.revision + 1, deleted_at=1.0, purge_at=9e9)
        await other.commit(Commit(writes=[Write(row=gone, expected=larger.revision)]))
        for query in ("?validate_only=true", ""):
            reply = await above.client.post(below.base + query, await below.body())
            assert (reply.status, reply.code) == (404, "NOT_FOUND")
