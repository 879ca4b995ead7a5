"""Operations at ``/v1/operations`` (AIP-151): work that outlives the request for it."""

from __future__ import annotations

from msgspec import structs

from modelyard.jobs.schema import ENDED, Metadata, Operation, State
from modelyard.kernel.context import Context, Item
from modelyard.kernel.resource import Resource
from modelyard.protocol import errors
from modelyard.protocol.errors import Failure, envelope, timestamp

KEPT_SECONDS = 30 * 86_400.0  # a finished operation is forgotten after that (AIP-151)

operations = Resource(
    "/operations",
    Operation,
    tag="Operations",
    id_prefix="op",
    standard=("list", "get"),
    filterable=("done", "metadata.state", "metadata.kind", "metadata.target", "metadata.priority"),
    sortable=("metadata.priority", "metadata.started_at", "metadata.finished_at"),
)


@operations.post("cancel", response=operations.types.view, errors=("CONFLICT",))
async def cancel(context: Context, item: Item[Operation]) -> Item[Operation]:
    """Cancel an operation.

    One that waits is cancelled at once; one that runs stops at its next step, and is `cancelling`
    until then. What it had not committed is not kept. One that has ended stays as it is.
    """
    if item.spec.done:
        raise Failure(
            "CONFLICT",
            f"{item.name} has ended ({item.spec.metadata.state}); there is nothing to cancel.",
            details={"field": "state", "state": item.spec.metadata.state},
        )
    if item.spec.metadata.state == "queued":
        after = cancelled(item.spec, context.principal.id)
        ended_now = await context.update(item, after, verb="cancel")
        keep_for_a_while(context)
        return ended_now
    spec = structs.replace(
        item.spec, metadata=structs.replace(item.spec.metadata, state="cancelling")
    )
    return await context.update(item, spec, verb="cancel")


@operations.standard_method("delete", errors=("CONFLICT",))
async def delete(context: Context, item: Item[Operation]) -> None:
    """Forget a finished operation."""
    if not item.spec.done:
        raise Failure(
            "CONFLICT",
            f"{item.name} has not ended ({item.spec.metadata.state}). Cancel it first.",
            details={"field": "state", "state": item.spec.metadata.state},
        )
    context.delete(item)


def keep_for_a_while(context: Context) -> None:
    """An operation that ends with this commit is forgotten some day."""
    write = context.commit.writes[-1]
    row = structs.replace(write.row, purge_at=errors.now() + KEPT_SECONDS)
    context.commit.writes[-1] = structs.replace(write, row=row)


def ended(spec: Operation, state: State, **more: object) -> Operation:
    """The operation in a state that it stays in."""
    if state not in ENDED:
        raise ValueError(state)
    metadata: Metadata = structs.replace(spec.metadata, state=state, finished_at=timestamp())
    if state == "succeeded":
        whole = structs.replace(metadata.progress, percent=100.0, eta_seconds=0.0)
        metadata = structs.replace(metadata, progress=whole)
    return structs.replace(spec, done=True, metadata=metadata, needs=[], **more)


def cancelled(spec: Operation, by: str) -> Operation:
    """The operation as it is once it was cancelled: its result is refused by its state.

    AIP-151 has gRPC's CANCELLED; the registry of errors, which alone names codes, has none.
    """
    failure = Failure(
        "CONFLICT",
        "The operation was cancelled. Start it again if its result is wanted.",
        details={"field": "state", "state": "cancelled", "cancelled_by": by},
    )
    return ended(spec, "cancelled", error=problem(failure, spec.request_id))


def problem(failure: Failure, request_id: str) -> dict[str, object]:
    """The inner object of the error envelope."""
    inner: dict[str, object] = envelope(failure, request_id)["error"]
    return inner
