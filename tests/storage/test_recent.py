"""What a process remembers of its last changes: as much as helps, and no more."""

from typing import Any

from msgspec import Raw, structs

from modelyard.kernel.events import Event
from modelyard.kernel.ports import Address, Commit, Row, Write
from modelyard.storage.recent import Recent


def row(own_id: str, kind: str = "things", revision: int = 2, **spec: Any) -> Row:
    return Row(
        address=Address(kind, "w", "", own_id),
        uid=own_id * 4,
        revision=revision,
        created_at=float(revision),
        updated_at=2.0,
        created_by="k",
        updated_by="k",
        spec={"a": 1} | spec,
    )


def change(
    *rows: Row, verb: str = "thing.update", before: Row | None = None, told: bytes = b"{}"
) -> Commit:
    event = Event(
        workspace="w",
        actor="k",
        verb=verb,
        resource=rows[0].address.name,
        request_id="q",
        after=Raw(told),
    )
    writes = [Write(row=one, expected=one.revision - 1, before=before or one) for one in rows]
    return Commit(writes=writes, events=[event])


def test_the_last_ones_that_clients_changed_are_remembered() -> None:
    recent = Recent()
    for number in range(1100):
        recent.note(change(row(str(number))), "")
    known = [recent.find(row(str(number)).address, whole=True) for number in range(1100)]
    assert [one is not None for one in known] == [False] * 76 + [True] * 1024
    assert known[-1] is not None and known[-1].recalled


def test_what_the_server_does_about_it_takes_no_room() -> None:
    recent = Recent()
    for number in range(1100):
        recent.note(change(row(str(number)), verb="delivery.attempt"), "")
    recent.note(change(*(row(str(number)) for number in range(1100))), "")
    recent.note(Commit(writes=[Write(row=row("x"), expected=1, before=row("x"))]), "")
    assert all(recent.find(row(str(n)).address, whole=False) is None for n in (0, 9, 1099, "x"))


def test_what_was_changed_otherwise_is_forgotten() -> None:
    recent = Recent()
    one = row("a")
    for other in (
        change(row("a", revision=3), verb="thing.set-alias"),
        Commit(writes=[Write(row=row("a", revision=3), expected=2, remove=True)]),
        change(row("a", text="x" * 5000)),
    ):
        recent.note(change(one), "")
        assert recent.find(one.address, whole=True) is not None
        recent.note(other, "")
        assert recent.find(one.address, whole=True) is None


def test_a_large_newest_counts_only_where_it_is_shown() -> None:
    """Who adds needs no more of the newest than its number."""
    recent = Recent()
    newest = row("9", kind="things/parts", text="x" * 5000)
    above = structs.replace(row("a"), newest=newest)
    recent.note(change(above), "things/parts")
    assert recent.find(above.address, whole=False) is None
    recent.note(Commit(writes=[Write(row=row("8", kind="things/parts"))], above=above), "x")
    found = recent.find(above.address, whole=False)
    assert found is not None and found.newest is not None and not found.newest.spec
    assert recent.find(above.address, whole=True) is None


def test_what_was_told_of_a_row_is_remembered_with_its_revision() -> None:
    recent = Recent()
    one = row("a", revision=5)
    other = change(one, told=b"[1]")
    other.events[0] = structs.replace(other.events[0], resource="another")
    for commit, known in (
        (change(one, told=b'{"a":2}'), (5, Raw(b'{"a":2}'))),
        (change(one, told=b'"%s"' % (b"x" * 5000)), (0, Raw())),
        (other, (0, Raw())),
    ):
        recent.note(commit, "")
        found = recent.find(one.address, whole=True)
        assert found is not None and found.told == known
    recent.note(change(one), "")
    recent.note(Commit(writes=[Write(row=row("8", kind="things/parts"))], above=one), "x")
    found = recent.find(one.address, whole=False)
    assert found is not None and found.told == (0, Raw())


def test_what_was_changed_here_meanwhile_was_changed_by_nobody_else() -> None:
    """Who adds is not held to what he read: it may be older by then."""
    recent = Recent()
    read, changed = row("a", revision=2), row("a", revision=3, size=7)
    recent.note(change(changed), "")
    recent.note(Commit(writes=[Write(row=row("1", kind="things/parts"))], above=read), "")
    assert recent.find(read.address, whole=True) == structs.replace(changed, recalled=True)
    for other in (row("a", revision=4), structs.replace(read, uid="another")):
        recent = Recent()
        recent.note(change(changed), "")
        recent.note(Commit(writes=[Write(row=row("1", kind="things/parts"))], above=other), "")
        recent.note(change(structs.replace(other, revision=9), before=other), "")
        assert recent.find(read.address, whole=False) is None
