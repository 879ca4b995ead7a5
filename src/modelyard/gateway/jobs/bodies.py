"""Bodies of submissions, beside their jobs: a job's record changes often, its body never does.

A body has no address of its own and no event. It goes with its job's end, or some day by itself.
"""

from __future__ import annotations

import contextlib

from msgspec import structs

from modelyard.gateway.jobs.schema import Asked
from modelyard.jobs.operations import KEPT_SECONDS
from modelyard.kernel import names
from modelyard.kernel.context import Context
from modelyard.kernel.ports import Address, Commit, Refused, Row, Store, Write
from modelyard.protocol import errors
from modelyard.protocol.errors import Failure

BODIES = "ai-inference/bodies"  # the kind of their rows
LARGE = 16 * 1024  # characters from which on a body has a row of its own


def keep(context: Context, own_id: str, body: str) -> None:
    """Stage the body of the job with this id."""
    now = errors.now()
    row = Row(
        address=_place(context.workspace, own_id),
        uid=names.new_uid(),
        created_at=now,
        updated_at=now,
        created_by=context.principal.id,
        updated_by=context.principal.id,
        purge_at=now + KEPT_SECONDS,
        spec={"body": body},
    )
    context.commit.writes.append(Write(row=row))


async def read(store: Store, workspace: str, own_id: str, asked: Asked) -> str:
    """The body of a job. Raises ``CONFLICT`` where it is gone."""
    if asked.body:
        return asked.body
    row = await store.get(_place(workspace, own_id))
    if row is None:
        raise Failure(
            "CONFLICT",
            "The request is not kept any more: it waited too long. Submit it again.",
            details={"field": "job_id"},
        )
    return str(row.spec["body"])


async def forget(store: Store, workspace: str, own_id: str) -> None:
    """Remove the body of a job that has ended, if it has one."""
    row = await store.get(_place(workspace, own_id))
    if row is None:
        return
    gone = structs.replace(row, revision=row.revision + 1)
    with contextlib.suppress(Refused):  # somebody else did
        await store.commit(Commit(writes=[Write(row=gone, expected=row.revision, remove=True)]))


def _place(workspace: str, own_id: str) -> Address:
    return Address(BODIES, workspace, "", own_id)
