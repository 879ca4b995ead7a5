"""Who changes again what was changed here before: it is not read anew, and yet as it is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import structs

from conformance.resources.test_below import shop
from conformance.resources.widgets import shelves, widgets
from conformance.resources.world import Desk, World
from modelyard.catalog.datasets import datasets
from modelyard.kernel.ports import Address, Commit, Row, Write
from modelyard.protocol.errors import Failure
from modelyard.storage.store import Store

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Shop:
    """A widget with an edition that was changed here before, and what is read of the store."""

    def __init__(self, desk: Desk, below: Desk, made: dict[str, Any], other: Store) -> None:
        self.desk, self.below, self.made, self.other = desk, below, made, other
        self.address = Address(widgets.kind, desk.workspace, "", made["id"])
        self.read: list[Address] = []

    async def patch(self, change: dict[str, Any], **headers: str) -> Any:
        """What a change is answered by."""
        at = self.desk.at(self.made)
        return await self.desk.client.request("PATCH", at, change, headers=headers)

    async def stored(self) -> Row:
        """As another process finds it."""
        row = await self.other.get(self.address)
        assert row is not None
        return row

    async def elsewhere(self, **changes: Any) -> Row:
        """Another process changes it."""
        row = await self.stored()
        after = structs.replace(row, **{"revision": row.revision + 1} | changes)
        write = Write(row=after, expected=row.revision, before=row)
        await self.other.commit(Commit(writes=[write]))
        return after


@pytest_asyncio.fixture(loop_scope="session")
async def known(
    world: World, residence: tuple[Path, Path | str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shop]:
    above, made, below = await shop(world)
    await below.make()
    get = world.store.get
    async with world.another(residence[1]) as other:
        one = Shop(above, below, made, other)

        async def noted(address: Address) -> Row | None:
            one.read.append(address)
            return await get(address)

        assert (await one.patch({"size": 1})).status == 200
        monkeypatch.setattr(world.store, "get", noted)
        yield one


async def test_it_is_not_read_and_answered_and_told_as_it_is(known: Shop, world: World) -> None:
    tag = (await known.patch({"size": 2})).json["etag"]
    matched = await known.patch({"notes": {"a": "b"}}, **{"If-Match": f'"{tag}"'})
    assert not known.read
    shown = matched.json
    assert (shown["size"], shown["notes"], shown["latestEdition"]["id"]) == (2, {"a": "b"}, "1")
    assert shown == await known.desk.read(known.made)
    events = await world.events(workspace=known.desk.workspace, resource=known.address.name)
    told = [one.event for one in events if one.event.verb == "widget.update"]
    assert [(one.before["size"], one.after["size"]) for one in told] == [(0, 1), (1, 2), (2, 2)]
    assert told[2].before == told[1].after
    assert await world.store.verify() is None


async def test_what_another_process_changed_is_kept(known: Shop) -> None:
    row = await known.stored()
    await known.elsewhere(spec=row.spec | {"displayName": "theirs"}, labels={"by": "them"})
    reply = await known.patch({"size": 3})
    assert (reply.json["displayName"], reply.json["labels"]) == ("theirs", {"by": "them"})
    assert reply.json == await known.desk.read(known.made)
    assert (await known.stored()).revision == row.revision + 2


async def test_what_others_change_too_is_read(known: Shop) -> None:
    """Where two processes change the same in turn, what one remembers is old as a rule."""
    for number in range(3):
        await known.elsewhere(updated_by=f"key_{number}")
        known.read.clear()
        assert (await known.patch({"size": 10 + number})).status == 200
        assert known.read == [known.address]


async def test_the_newest_below_it_is_shown_as_it_is(known: Shop, world: World) -> None:
    """Whoever made, changed or deleted one: this process, or another. It is in the etag, too."""
    made = await known.below.make(pageCount=77)
    tag = (await known.desk.read(known.made))["etag"]
    latest = (await known.patch({"size": 4})).json["latestEdition"]
    assert (latest["id"], latest["pageCount"]) == (made["id"], 77) == ("2", 77)
    events = await world.events(workspace=known.desk.workspace, resource=known.address.name)
    assert events[-1].event.before["etag"] == tag
    place = structs.replace(known.address, kind="test/widgets/editions", id="2")
    row = await known.other.get(structs.replace(place, parent=known.address.name))
    assert row is not None
    for revision, gone in ((2, False), (3, True)):
        after = structs.replace(
            row,
            revision=revision,
            spec=row.spec | {"pageCount": 78},
            deleted_at=1.0 if gone else None,
            purge_at=9e9 if gone else None,
        )
        write = Write(row=after, expected=revision - 1)
        await known.other.commit(Commit(writes=[write]))
        shown = (await known.patch({"size": 20 + revision})).json
        assert shown["latestEdition"]["id"] == ("1" if gone else "2")
        assert (shown["latestEdition"]["pageCount"] == 78) is not gone
        assert shown == await known.desk.read(known.made)


async def test_what_another_process_deleted_is_not_found(known: Shop) -> None:
    row = await known.elsewhere(deleted_at=1.0, purge_at=9e9)
    assert (await known.patch({"size": 5})).status == 404
    assert (await known.stored()) == row


async def test_another_one_under_the_same_id_is_another(known: Shop) -> None:
    """Even where it is at the same revision."""
    row = await known.stored()
    gone = structs.replace(row, revision=row.revision + 1)
    write = Write(row=gone, expected=row.revision, remove=True)
    await known.other.commit(Commit(writes=[write]))
    theirs = structs.replace(row, uid="f" * 24, spec=row.spec | {"displayName": "theirs"})
    await known.other.commit(Commit(writes=[Write(row=theirs)]))
    reply = await known.patch({"size": 6})
    assert (reply.status, reply.json["displayName"]) == (200, "theirs")
    assert (await known.stored()).uid == "f" * 24


async def test_a_change_of_nothing_is_answered_as_it_is(known: Shop) -> None:
    row = await known.stored()
    await known.elsewhere(spec=row.spec | {"displayName": "theirs"})
    reply = await known.patch({"size": 1})
    assert (reply.status, reply.json["displayName"]) == (200, "theirs")
    assert (await known.stored()).revision == row.revision + 1


async def test_what_is_remembered_refuses_nobody(known: Shop) -> None:
    """An etag that another process made, and a field that has another value by now."""
    row = await known.stored()
    await known.elsewhere(spec=row.spec | {"madeOf": "iron"})
    tag = (await known.desk.read(known.made))["etag"]
    known.read.clear()
    reply = await known.patch({"size": 7}, **{"If-Match": f'"{tag}"'})
    assert (reply.status, reply.json["madeOf"]) == (200, "iron"), reply.body
    assert known.read


async def test_a_refusal_is_of_what_is_stored(known: Shop) -> None:
    """Where a field that cannot be changed has the value that was sent, by now."""
    row = await known.stored()
    assert (await known.patch({"madeOf": "iron"})).status == 400
    await known.elsewhere(spec=row.spec | {"madeOf": "iron"})
    reply = await known.patch({"madeOf": "iron", "size": 7})
    assert (reply.status, reply.json["size"]) == (200, 7), reply.body


async def test_an_etag_that_is_old_is_refused(known: Shop) -> None:
    """Also where it is that of what is remembered."""
    tag = (await known.patch({"size": 8})).json["etag"]
    row = await known.elsewhere(updated_by="key_x")
    for sent in ({"If-Match": f'"{tag}"'}, {}):
        body = {"size": 9} if sent else {"size": 9, "etag": tag}
        reply = await known.patch(body, **sent)
        assert (reply.status, reply.code) == (412, "ETAG_MISMATCH")
    assert (await known.stored()) == row


async def test_what_needs_a_transaction_is_held_to_what_is_remembered(known: Shop) -> None:
    """A label that goes, a reference that comes, and what is only tried."""
    shelf = {"id": f"s{known.desk.mark}", "title": "t"}
    reply = await known.desk.client.post("/v1/test/shelves", shelf)
    assert reply.status == 201, reply.body
    tried = known.desk.at(known.made) + "?validate_only=true"
    changes = ({"labels": {"a": "b"}}, {"labels": {}}, {"shelf": shelf["id"]}, {"shelf": None})
    for change in changes:
        assert (await known.patch(change)).status == 200
        assert (await known.desk.client.request("PATCH", tried, {"size": 60})).status == 200
    assert not known.read
    await known.elsewhere(labels={"by": "them"})
    reply = await known.desk.client.request("PATCH", tried, {"size": 60})
    assert (reply.json["labels"], reply.json["size"]) == ({"by": "them"}, 60)
    row = await known.elsewhere(labels={"by": "nobody"})
    assert (await known.patch({"labels": {}})).json["labels"] == {}
    assert (await known.stored()).revision == row.revision + 1


async def test_nobody_is_denied_by_what_is_remembered(
    world: World, residence: tuple[Path, Path | str]
) -> None:
    """A dataset that was shared for more by another process; what is below it, too."""
    desk = await world.desk(datasets)
    made = await desk.make()
    client = await world.key(desk.workspace, "dataset:*", "artifact:*")
    own = (await client.get("/v1/auth/me")).json["id"]
    grant = {"type": "user", "id": own, "permission": "read"}
    access = {"level": "private", "grants": [grant]}
    at = desk.at(made)
    assert (await desk.client.request("PUT", at + "/access", {"access": access})).status == 200
    assert (await desk.client.request("PATCH", at, {"description": "a"})).status == 200
    async with world.another(residence[1]) as other:
        row = await other.get(Address(datasets.kind, desk.workspace, "", made["id"]))
        assert row is not None
        spec = row.spec | {"access": access | {"grants": [grant | {"permission": "write"}]}}
        after = structs.replace(row, revision=row.revision + 1, spec=spec)
        await other.commit(Commit(writes=[Write(row=after, expected=row.revision, before=row)]))
        version = await client.post(at + "/versions", {"artifact": "0" * 64})
        reply = await client.request("PATCH", at, {"description": "b"})
    assert version.status != 403, version.body
    assert (reply.status, reply.json["description"]) == (200, "b")


@pytest.mark.parametrize("made", [True, False])
async def test_a_failure_of_the_commit_is_the_answer(
    known: Shop, world: World, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    """Whether it was made or not: to decide anew would find what it changed itself."""
    asked = []
    commit = world.store.commit

    async def failing(one: Commit, *, dry: bool = False) -> None:
        asked.append(one)
        if made:
            await commit(one, dry=dry)
        raise Failure("SYSTEM_OVERLOADED", "The connection was lost.", retry_after=1)

    tag = (await known.desk.read(known.made))["etag"]
    known.read.clear()
    monkeypatch.setattr(world.store, "commit", failing)
    reply = await known.patch({"size": 30}, **{"If-Match": f'"{tag}"'})
    assert (reply.status, len(asked), known.read) == (503, 1, [])


async def test_others_are_found_out_by_whatever_is_refused(known: Shop, world: World) -> None:
    """Two processes in turn that both send the etag of today: once in vain, and then read."""
    remembered = []
    for number in range(4):
        await known.elsewhere(updated_by=f"key_{number}")
        remembered.append(world.store.recall(known.address) is not None)
        tag = (await known.desk.read(known.made))["etag"]
        reply = await known.patch({"size": 40 + number}, **{"If-Match": f'"{tag}"'})
        assert reply.status == 200
    assert remembered == [True, False, False, False]
    await known.below.make()
    assert world.store.recall(known.address) is None


async def test_what_this_process_does_makes_nobody_read(known: Shop) -> None:
    """A reference to nothing, two changes at a time, and a change of the newest."""
    assert (await known.patch({"shelf": "no-such-shelf"})).status == 400
    both = await asyncio.gather(known.patch({"size": 31}), known.patch({"size": 32}))
    assert [reply.status for reply in both] == [200, 200]
    edition = known.below.at("1")
    assert (await known.desk.client.request("PATCH", edition, {"pageCount": 99})).status == 200
    assert (await known.patch({"size": 33})).json["latestEdition"]["pageCount"] == 99
    known.read.clear()
    assert (await known.patch({"size": 34})).json["latestEdition"]["pageCount"] == 99
    assert not known.read


async def test_a_revision_that_was_lost_and_given_again_is_another(known: Shop) -> None:
    """As after a failover to a database that had not heard of the last commit."""
    row = await known.stored()
    assert (await known.patch({"size": 50})).status == 200
    remove = Write(row=structs.replace(row, revision=9), expected=row.revision + 1, remove=True)
    await known.other.commit(Commit(writes=[remove]))
    await known.other.commit(Commit(writes=[Write(row=row)]))
    later = row.updated_at + 9
    await known.elsewhere(spec=row.spec | {"displayName": "theirs"}, updated_at=later)
    shown = (await known.patch({"notes": {"c": "d"}})).json
    assert (shown["displayName"], shown["size"]) == ("theirs", 1)


async def test_what_is_put_is_made_anew_where_it_is_gone(
    world: World, residence: tuple[Path, Path | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a third one makes it at the same time, as where nothing was remembered."""
    desk = await world.desk(shelves)
    made = await desk.make()
    at, address = desk.at(made), Address(shelves.kind, desk.workspace, "", made["id"])
    assert (await desk.client.request("PUT", at, {"title": "a"})).status == 200
    async with world.another(residence[1]) as other:
        row = await other.get(address)
        assert row is not None
        gone = structs.replace(row, revision=row.revision + 1)
        await other.commit(Commit(writes=[Write(row=gone, expected=row.revision, remove=True)]))
        expected = []
        commit = world.store.commit

        async def between(one: Commit, *, dry: bool = False) -> None:
            expected.append(one.writes[0].expected)
            if len(expected) == 2:
                third = structs.replace(row, uid="e" * 24, revision=1)
                await other.commit(Commit(writes=[Write(row=third)]))
            await commit(one, dry=dry)

        monkeypatch.setattr(world.store, "commit", between)
        reply = await desk.client.request("PUT", at, {"title": "b"})
    assert (reply.status, reply.json["title"]) == (200, "b")
    assert expected == [row.revision, None, 1]
