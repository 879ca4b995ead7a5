"""What was softly deleted goes for good once its time is over (AIP-164)."""

from __future__ import annotations

from msgspec import structs

from modelyard.kernel.context import Ports
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Commit, Refused, Row, Write

ACTOR = "system"  # of what no request asks for


async def purge(ports: Ports, now: float) -> int:
    """Remove those whose ``purge_at`` is over, each with an event; how many. At most 100.

    Several processes may do so at once: each goes once.
    """
    removed = 0
    for row in await ports.store.expired(now):
        try:
            await ports.store.commit(_removal(ports, row))
        except Refused:  # another process was first, or it was brought back meanwhile
            continue
        removed += 1
    return removed


def _removal(ports: Ports, row: Row) -> Commit:
    one = ports.resources.get(row.address.kind)  # None: this version does not declare it any more
    event = Event(
        workspace=row.address.workspace,
        actor=ACTOR,
        verb=f"{one.area if one else row.address.kind}.purge",
        kind=row.address.kind,
        resource=row.address.name,
        request_id="",
        before=one.told(row) if one else None,
    )
    gone = structs.replace(row, revision=row.revision + 1)
    return Commit(writes=[Write(row=gone, expected=row.revision, remove=True)], events=[event])
