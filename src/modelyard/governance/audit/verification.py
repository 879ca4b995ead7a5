"""The whole chain of the audit trail, recomputed: minutes for millions of events."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from modelyard.governance.audit.schema import ChainState
from modelyard.jobs.job import Job
from modelyard.jobs.kinds import Submit, kind, start
from modelyard.jobs.operations import operations
from modelyard.kernel.context import Context

PART = 20_000  # events of one recorded step: a few seconds


class Examined(Struct, frozen=True):
    """What a step found."""

    first: int
    last: int
    digest: str
    broken_at: int
    reason: Literal["", "changed", "missing"]


async def verify(job: Job) -> ChainState:
    """Verify the chain of the audit trail from its first event to the newest."""
    store = job.context.ports.store
    newest = await store.sealed()

    async def examine(after: int) -> Examined:
        found = await store.examine(after=after, most=PART)
        return Examined(found.first, found.last, found.digest.hex(), found.broken_at, found.reason)

    first, at = 0, 0
    while True:
        found: Examined = await job.step(f"events from {at + 1}", examine, at)
        first = first or found.first
        if found.broken_at or found.last >= newest or found.last <= at:
            return ChainState(
                intact=not found.broken_at,
                verified_from=first,
                verified_to=found.last,
                digest=found.digest,
                broken_at=found.broken_at or None,
                reason=found.reason or None,
            )
        at = found.last
        job.progress(at / newest, f"{at:,} of {newest:,} events")


VERIFY = kind("audit.verify", verify, permission="audit:read")


async def begin(context: Context, query: Submit) -> dict[str, Any]:
    """Verify the whole chain of the trail, in the background.

    The answer is an operation; its response tells what the report tells of the newest events.
    """
    context.use(query.workspace)
    started = await start(context, VERIFY, priority=query.priority)
    return operations.show(started.row)
