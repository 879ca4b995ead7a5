"""Resources and commits, over every database."""

import asyncio
import time

import pytest
from msgspec.structs import replace

from conformance.things import ALL, TAGS, asked, event, gone, put, thing
from modelyard.kernel.ports import (
    Address,
    Commit,
    Edge,
    EventQuery,
    Reference,
    Refused,
    Replay,
    Row,
    Write,
)
from modelyard.protocol.filtering import Has
from modelyard.storage.store import Store


@pytest.fixture(autouse=True)
async def declared(store: Store) -> None:
    await store.declare(ALL)


async def refusal(store: Store, commit: Commit) -> tuple[str, str, str, list[str]]:
    """Why a commit was refused; it was the same when it was only tried."""
    with pytest.raises(Refused) as tried:
        await store.commit(commit, dry=True)
    with pytest.raises(Refused) as raised:
        await store.commit(commit)
    told = [
        (one.reason, one.address.name, one.field, list(one.names))
        for one in (tried.value, raised.value)
    ]
    assert told[0] == told[1]
    return told[0]


async def ids(store: Store, **query: object) -> list[str]:
    return [row.address.id for row in await store.page(asked(**query))]


async def test_any_number_of_labels_edges_and_events_is_kept_by_a_commit(store: Store) -> None:
    for number in range(7):
        tags = [f"t{one}" for one in range(number)]
        row = thing(f"n{number}", {"tags": tags})
        events = [event(request_id=f"n{number}", after={"n": one, "∅": None}) for one in tags]
        edges = [
            Edge(workspace="w", source=row.address.name, relation="used", target=one, at=1.5)
            for one in tags
        ]
        await store.commit(Commit(writes=[Write(row=row)], events=events, edges=edges))
        found = await store.edges("w", [row.address.name], towards=False)
        assert sorted(one.target for one in found) == tags
        assert {one.at for one in found} <= {1.5}
    await store.seal()
    for number in range(7):
        told = await store.events(EventQuery(workspace="w", request_id=f"n{number}"))
        assert sorted(one.event.after["n"] for one in told) == [f"t{n}" for n in range(number)]
        holding = await ids(store, filter=Has(TAGS, f"t{number}"))
        assert sorted(holding) == [f"n{one}" for one in range(number + 1, 7)]


async def test_a_row_comes_back_as_it_was(store: Store) -> None:
    spec = {
        "text": "ünï “code” 🦆 'quoted' \\ ? $1 %s",
        "none": None,
        "numbers": [1, -1.5, 1e300, 2**53 + 1, 0.1, 1.0],
        "flags": [True, False],
        "deep": {"b": {"a": []}, "a": 1},
    }
    row = thing(
        "a",
        spec,
        revision=1,
        at=1763712345.123456,
        labels={"ü": "ö", "env": "prod"},
        deleted_at=2.5,
        purge_at=3.25,
    )
    await store.commit(put(row))
    found = await store.get(row.address)
    assert found == row
    assert list(found.spec["deep"]) == ["b", "a"]
    assert [type(one) for one in found.spec["numbers"]] == [int, float, float, int, float, float]
    assert await store.get(replace(row.address, workspace="v")) is None
    assert await store.get(replace(row.address, id="A")) is None


async def test_ids_are_taken_once_per_place(store: Store) -> None:
    row = thing("a")
    await store.commit(put(row))
    assert await refusal(store, put(thing("a"))) == ("exists", "test/things/a", "", [])
    await store.commit(put(thing("a", workspace="v")))
    await store.commit(put(thing("a", kind="test/others")))
    assert await store.get(row.address) == row


async def test_a_revision_is_compared_and_swapped(store: Store) -> None:
    row = thing("a", {"n": 1})
    await store.commit(put(row))
    second = replace(row, revision=2, spec={"n": 2}, updated_at=9.0, updated_by="key_2")
    await store.commit(put(second, expected=1))
    assert await store.get(row.address) == second
    stale = ("stale", "test/things/a", "", [])
    assert await refusal(store, put(replace(row, revision=2), expected=1)) == stale
    assert await refusal(store, put(replace(row, revision=4), expected=3)) == stale
    assert await refusal(store, gone(row)) == stale
    assert (await refusal(store, put(thing("none"), expected=1)))[0] == "stale"
    assert await store.get(row.address) == second


async def test_of_many_changes_at_once_one_wins(store: Store) -> None:
    row = thing("a")
    await store.commit(put(row))
    changes = [put(replace(row, revision=2, spec={"n": n}), expected=1) for n in range(20)]
    done = await asyncio.gather(*map(store.commit, changes), return_exceptions=True)
    assert [type(one) for one in done if one is not None] == [Refused] * 19
    assert (await store.get(row.address)).spec == {"n": done.index(None)}


async def test_a_commit_is_all_or_nothing(store: Store) -> None:
    await store.commit(put(thing("taken")))
    edge = Edge(workspace="w", source="s", relation="used", target="t")
    replay = Replay(
        key=b"k", workspace="w", fingerprint=b"f", expires_at=time.time() + 9, status=200
    )
    writes = [Write(row=thing("fresh", {"title": "duck"})), Write(row=thing("taken"))]
    commit = Commit(writes=writes, events=[event()], edges=[edge], replay=replay)
    assert (await refusal(store, commit))[:2] == ("exists", "test/things/taken")
    assert await ids(store) == ["taken"]
    assert await store.edges("w", ["s"], towards=False) == []
    assert await store.seal() == 0
    assert await store.claim(replay) is None


async def test_what_is_only_tried_changes_nothing(store: Store) -> None:
    row = thing("a", {"login": "x", "title": "duck", "tags": ["t"]})
    commit = Commit(writes=[Write(row=row)], events=[event()])
    await store.commit(commit, dry=True)
    assert await store.get(row.address) is None
    assert await store.seal() == 0
    await store.commit(commit)
    await store.commit(gone(row), dry=True)
    assert await store.get(row.address) == row


async def test_rows_that_are_removed_are_gone_with_all_that_found_them(store: Store) -> None:
    row = thing("a", {"tags": ["t"], "title": "duck", "login": "x"}, labels={"k": "v"})
    await store.commit(put(row))
    await store.commit(gone(row))
    assert await store.get(row.address) is None
    for table in ("resource", "term", "search"):
        assert await store.driver.fetch(f"SELECT * FROM {table}") == []
    await store.commit(put(row))
    assert await store.get(row.address) == row


async def test_unique_values_are_unique_in_the_installation_while_they_live(store: Store) -> None:
    first = thing("a", {"login": "ann"})
    await store.commit(put(first))
    same = thing("b", {"login": "ann"}, workspace="v")
    assert await refusal(store, put(same)) == ("exists", "test/things/b", "login", [])
    other = thing("c", {"login": "Ann"})
    await store.commit(put(other))
    await store.commit(put(thing("d")))
    await store.commit(put(thing("e")))
    await store.commit(put(thing("f", {"login": "ann"}, kind="test/others")))
    changed = replace(other, revision=2, spec={"login": "ann"})
    assert (await refusal(store, put(changed, expected=1)))[2] == "login"
    assert await store.find("test/things", ("login",), "ann") == first
    assert await store.find("test/things", ("login",), "bob") is None
    deleted = replace(first, revision=2, deleted_at=5.0)
    await store.commit(put(deleted, expected=1))
    assert await store.find("test/things", ("login",), "ann") is None
    await store.commit(put(same))
    assert await store.find("test/things", ("login",), "ann") == same
    assert (await refusal(store, put(replace(first, revision=3), expected=2)))[2] == "login"


async def test_everywhere_are_the_live_ones_of_all_workspaces(store: Store) -> None:
    rows = [thing("a"), thing("a", workspace="v"), thing("b", deleted_at=1.0)]
    for row in [*rows, thing("a", kind="test/others")]:
        await store.commit(put(row))
    found = await store.everywhere("test/things")
    assert sorted(row.address.workspace for row in found) == ["v", "w"]


def refers(target: Row, field: str = "base") -> Reference:
    return Reference(field, target.address)


async def test_references_must_exist_and_live(store: Store) -> None:
    target, source = thing("target"), thing("source")
    missing = ("missing", "test/things/source", "base", ["test/things/target"])
    assert await refusal(store, put(source, refers(target))) == missing
    await store.commit(put(replace(target, deleted_at=1.0)))
    assert await refusal(store, put(source, refers(target))) == missing
    await store.commit(put(replace(target, revision=2), expected=1))
    await store.commit(put(source, refers(target)))
    foreign = thing("foreign", workspace="v")
    await store.commit(put(foreign))
    changed = replace(source, revision=2)
    told = await refusal(store, put(changed, refers(foreign), expected=1))
    assert told == (*missing[:3], ["test/things/foreign"])
    shared = thing("shared", workspace="")
    await store.commit(put(shared))
    await store.commit(put(changed, refers(shared), expected=1))


async def test_a_commit_may_refer_to_what_it_makes(store: Store) -> None:
    base, source = thing("base"), thing("source")
    both = Commit(writes=[Write(row=source, references=(refers(base),)), Write(row=base)])
    await store.commit(both)
    names = await refusal(store, gone(base))
    assert names == ("in use", "test/things/base", "", ["test/things/source"])
    gone_both = [gone(base).writes[0], gone(source).writes[0]]
    await store.commit(Commit(writes=gone_both))
    assert await ids(store) == []


async def test_what_others_refer_to_is_not_deleted(store: Store) -> None:
    target = thing("target")
    await store.commit(put(target))
    sources = [thing(f"s{n:02}") for n in range(12)]
    for source in sources:
        await store.commit(put(source, refers(target), refers(target, "also")))
    told = await refusal(store, gone(target))
    assert told == ("in use", "test/things/target", "", [f"test/things/s{n:02}" for n in range(10)])
    soft = replace(target, revision=2, deleted_at=3.0)
    write = Write(row=soft, expected=1, guard=True)
    assert (await refusal(store, Commit(writes=[write])))[0] == "in use"
    for source in sources[:10]:
        await store.commit(put(replace(source, revision=2), expected=1))  # refers no more
    await store.commit(gone(sources[10]))
    deleted = replace(sources[11], revision=2, deleted_at=4.0)
    await store.commit(put(deleted, refers(target), expected=1))
    await store.commit(Commit(writes=[write]))
    assert (await store.get(target.address)).deleted_at == 3.0


async def test_what_has_others_below_it_is_not_deleted(store: Store) -> None:
    row = thing("a")
    part = thing("1", kind="test/things/parts", parent="test/things/a")
    told = ("missing", "test/things/a/parts/1", "parent", ["test/things/a"])
    assert await refusal(store, put(part)) == told
    await store.commit(put(row))
    await store.commit(put(part))
    assert await refusal(store, gone(row)) == (
        "in use", "test/things/a", "", ["test/things/a/parts/1"],
    )  # fmt: skip
    await store.commit(put(replace(part, revision=2, deleted_at=1.0), expected=1))
    await store.commit(gone(row))
    assert (
        await refusal(store, put(replace(part, revision=1, address=replace(part.address, id="2"))))
    )[0] == "missing"


async def test_a_deletion_and_a_new_reference_never_both_succeed(store: Store) -> None:
    for number in range(15):
        target = thing(f"t{number}")
        part = thing("1", kind="test/things/parts", parent=target.address.name)
        await store.commit(put(target))
        tried = [
            store.commit(put(thing(f"s{number}"), refers(target))),
            store.commit(gone(target)),
            store.commit(put(part)),
        ]
        order = [tried[(number + at) % 3] for at in range(3)]
        done = dict(zip(order, await asyncio.gather(*order, return_exceptions=True), strict=True))
        referred, deleted, below = (done[one] for one in tried)
        assert (deleted is None) == (referred is not None and below is not None)
        assert {type(one) for one in done.values()} <= {type(None), Refused}
        live = await store.get(target.address)
        assert (live is None) == (deleted is None)


async def test_commits_that_lock_the_same_rows_do_not_block_each_other(store: Store) -> None:
    rows = [thing(f"r{n}") for n in range(6)]
    for row in rows:
        await store.commit(put(row))

    async def change(number: int) -> None:
        picked = [rows[(number * step + 1) % 6] for step in (1, 2, 3)]
        picked = list({row.address: row for row in picked}.values())
        found = [await store.get(row.address) for row in picked]
        writes = [
            Write(
                row=replace(row, revision=row.revision + 1),
                expected=row.revision,
                references=(refers(rows[number % 6]),),
            )
            for row in found
        ]
        await store.commit(Commit(writes=writes))

    begun = time.monotonic()
    done = await asyncio.gather(*(change(n) for n in range(30)), return_exceptions=True)
    assert {type(one) for one in done} <= {type(None), Refused}
    assert None in done
    assert time.monotonic() - begun < 30, "nobody waits for a lock until it is given up"


async def test_edges_are_found_from_both_ends(store: Store) -> None:
    one = Edge(workspace="w", source="a", relation="wasDerivedFrom", target="b", event="e", at=1.0)
    two = Edge(workspace="w", source="a", relation="used", target="c", detail="d", at=2.0)
    foreign = Edge(workspace="v", source="a", relation="used", target="c")
    await store.commit(Commit(edges=[one, two, foreign]))
    await store.commit(Commit(edges=[one]))
    assert await store.edges("w", ["a", "x"], towards=False) == [two, one]
    assert await store.edges("w", ["c", "b"], towards=True) == [two, one]
    assert await store.edges("w", ["c", "b"], towards=True, size=1) == [two]
    assert await store.edges("v", ["a"], towards=False) == [foreign]
    assert await store.edges("w", [], towards=False) == []
    target, source = thing("target"), thing("source")
    await store.commit(put(target))
    await store.commit(put(source, refers(target)))
    (kept,) = await store.edges("w", ["test/things/target"], towards=True)
    assert (kept.source, kept.relation, kept.detail) == ("test/things/source", "refersTo", "base")


def replay(seconds: float = 60, **more: object) -> Replay:
    values = {"key": b"\0key", "workspace": "w", "fingerprint": b"\xff"}
    return Replay(**(values | {"expires_at": time.time() + seconds} | more))


async def test_a_key_is_claimed_once_and_answers_with_what_was_kept(store: Store) -> None:
    claim = replay()
    assert await store.claim(claim) is None
    assert await store.claim(replay(fingerprint=b"other")) == claim
    answer = replay(600, status=201, body=b"\0sealed")
    row = thing("a")
    await store.commit(Commit(writes=[Write(row=row)], replay=answer))
    assert await store.claim(replay()) == answer
    await store.release(answer)
    assert await store.claim(replay()) == answer


async def test_a_claim_that_failed_or_expired_is_claimed_anew(store: Store) -> None:
    first = replay()
    assert await store.claim(first) is None
    await store.release(first)
    late = replay(-1)
    assert await store.claim(late) is None
    again = replay()
    assert await store.claim(again) is None
    await store.release(late)
    assert await store.claim(replay()) == again
    await store.claim(replay(-1, key=b"old"))
    await store.claim(replay(key=b"new"))
    rows = await store.driver.fetch("SELECT key FROM idempotency ORDER BY key")
    assert [bytes(key) for (key,) in rows] == [b"\0key", b"new"]


async def test_of_many_claims_at_once_one_gets_it(store: Store) -> None:
    claims = [replay(fingerprint=b"%d" % n) for n in range(10)]
    done = await asyncio.gather(*map(store.claim, claims))
    winner = done.index(None)
    assert [one for one in done if one is not None] == [claims[winner]] * 9


async def test_what_is_to_be_purged_is_found(store: Store) -> None:
    rows = [thing(f"r{n}", deleted_at=1.0, purge_at=float(n)) for n in (3, 1, 2)]
    for row in [*rows, thing("live")]:
        await store.commit(put(row))
    assert [row.address.id for row in await store.expired(2.0)] == ["r1", "r2"]
    assert Address("test/things", "w", "", "r1") == (await store.expired(1.0))[0].address


async def test_what_is_added_to_is_as_it_was_remembered(store: Store) -> None:
    """The same one, at the same revision, and alive; an id may be used again."""
    above = thing("p", {}, uid="a" * 24)
    await store.commit(Commit(writes=[Write(row=above)]))
    known = replace(above, recalled=True)
    at = Address("test/things/parts", "w", above.address.name, "1")
    part = replace(thing("1", {}), address=at, uid="b" * 24)
    for wrong in (replace(known, revision=2), replace(known, uid="c" * 24)):
        reason, name, _, _ = await refusal(store, Commit(above=wrong, writes=[Write(row=part)]))
        assert (reason, name) == ("stale", above.address.name)
    assert await store.get(at) is None
    await store.commit(Commit(above=known, writes=[Write(row=part)]))
    assert await store.get(at) is not None
