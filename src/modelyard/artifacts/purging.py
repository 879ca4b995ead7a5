"""An artifact goes with its bytes at once, where nobody needs them: no grace period is waited for.

Each step is a commit that the store refuses if anything refers to what is removed; what is cut off
between two of them, the collector finds.
"""

from __future__ import annotations

from msgspec import structs

from modelyard.artifacts import artifacts, blobs, keeping
from modelyard.artifacts.depot import Depot
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Address, Commit, Refused, Row, Store, Write
from modelyard.kernel.purge import ACTOR
from modelyard.protocol import errors

_TRIES = 9  # where others change what a workspace holds at the same time


async def purge(store: Store, depot: Depot, workspace: str, ref: str) -> int:
    """How many bytes were removed: 0 where somebody needs them, or asked for them to be kept."""
    if not await _ended(store, workspace, ref):
        return 0
    row = await store.get(Address(blobs.kind, "", "", ref))
    if row is None:
        return 0
    blob = blobs.load(row)
    if not await _removed(store, [_gone(row), keeping.thrown(blob.place)], []):
        return 0  # others have the same bytes
    await keeping.throw(store, depot, blob.place)
    return blob.bytes.size


async def _ended(store: Store, workspace: str, ref: str) -> bool:
    """Whether the workspace has no artifact of these bytes any more."""
    for _ in range(_TRIES):
        row = await store.get(Address(artifacts.kind, workspace, "", ref))
        if row is None:
            return True
        if row.spec["retention"] != "referenced":
            return False
        spec = artifacts.load(row)
        writes = [
            _gone(row),
            await keeping.counted(store, workspace, -spec.size, -1),
            *await keeping.freed(store, ref, errors.now()),
        ]
        event = Event(
            workspace=workspace,
            actor=ACTOR,
            verb="artifact.purge",
            resource=row.address.name,
            kind=artifacts.kind,
            request_id="",
            before=artifacts.show(row),
        )
        if await _removed(store, writes, [event]):
            return True
    return False


async def _removed(store: Store, writes: list[Write], events: list[Event]) -> bool:
    try:
        await store.commit(Commit(writes=writes, events=events))
    except Refused:
        return False
    return True


def _gone(row: Row) -> Write:
    after = structs.replace(row, revision=row.revision + 1)
    return Write(row=after, expected=row.revision, remove=True, guard=True)
