"""What can be done with predictions, beside reading and deleting them."""

import msgspec
from msgspec import structs

from modelyard.jobs.operations import operations
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Address
from modelyard.kernel.resource import DELETE
from modelyard.predictions import predictions
from modelyard.predictions.schema import Feedback, GiveFeedback, Prediction
from modelyard.protocol.errors import Failure, timestamp

MOST = 100  # of one prediction
LARGEST = 64 * 1024  # bytes of a ground truth


@predictions.standard_method(DELETE, status=204, errors=("ETAG_MISMATCH",))
async def delete(context: Context, item: Item[Prediction]) -> None:
    """Delete a prediction, and the result in its operation."""
    own_id = item.spec.operation.rpartition("/")[2]
    row = await context.ports.store.get(Address(operations.kind, context.workspace, "", own_id))
    if row is not None:
        job = Item(operations, row)
        bare = structs.replace(job.spec, response=None)
        await context.update(job, bare, verb="forget-response", unchecked=True)
    context.delete(item)


@predictions.post(
    "feedback",
    response=predictions.types.view,
    errors=("CONFLICT",),
    examples={"request": {"rating": 1, "ground_truth": "churned", "comment": "spot on"}},
)
async def feedback(context: Context, item: Item[Prediction], ask: GiveFeedback) -> Item[Prediction]:
    """Say how good a prediction was, or what would have been right."""
    if ask.rating is None and ask.ground_truth is None and not ask.comment:
        raise Failure(
            "INVALID_REQUEST",
            "There is no feedback: send 'rating', 'ground_truth' or 'comment'.",
            details={"field": "rating", "rule": "required"},
        )
    if len(msgspec.json.encode(ask.ground_truth)) > LARGEST:
        raise Failure(
            "INVALID_REQUEST",
            f"'ground_truth' is larger than {LARGEST} bytes.",
            details={"field": "ground_truth", "rule": "length", "allowed": LARGEST},
        )
    if len(item.spec.feedback) >= MOST:
        raise Failure("CONFLICT", f"{item.name} has {MOST} entries of feedback already.")
    entry = Feedback(
        at=timestamp(),
        by=context.principal.subject or context.principal.id,
        rating=ask.rating,
        ground_truth=ask.ground_truth,
        comment=ask.comment,
    )
    spec = structs.replace(item.spec, feedback=[*item.spec.feedback, entry])
    return await context.update(item, spec, verb="feedback", unchecked=True)
