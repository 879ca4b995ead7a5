"""Inference jobs at ``/v1/ai-inference/jobs``: inference that runs without its client."""

from __future__ import annotations

from typing import Any

import msgspec

from modelyard.gateway.jobs import bodies, envelopes
from modelyard.gateway.jobs.runner import Runner, prediction_of
from modelyard.gateway.jobs.schema import KIND, InferenceJob, InferenceJobs, JobsQuery, SubmitQuery
from modelyard.gateway.jobs.submission import submission
from modelyard.jobs.kinds import Kind, start
from modelyard.jobs.operations import cancel as cancel_operation
from modelyard.jobs.operations import operations
from modelyard.jobs.schema import USUAL, Compute, Operation
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Address, Query, Row, position
from modelyard.kernel.route import Raw, Route
from modelyard.protocol import paging
from modelyard.protocol.asgi import JSON
from modelyard.protocol.errors import REGISTRY, Failure, timestamp
from modelyard.protocol.filtering import Compare, both

PATH = "/v1/ai-inference/jobs"
ONE = PATH + "/{job_id}"
TAG = "Inference jobs"
MODEL = "model"  # the label that a job's model is kept under


async def _served() -> None:
    """The servers run these themselves; no worker does."""


_KIND = Kind(
    name=KIND,
    function=_served,
    ask=None,
    resource=None,
    permission="inference:create",
    compute=Compute(cpu=0.01, memory_bytes=64 << 20),
    priority=USUAL,
)


async def submit(context: Context, ask: dict[str, Any], query: SubmitQuery) -> Raw:
    """Take it on, and answer with its operation."""
    taken = submission(query.surface, ask, context.headers)
    labels = {MODEL: taken.model[:256]} if taken.model else {}
    staged = await start(context, _KIND, taken.asked, priority=taken.priority, labels=labels)
    if taken.apart:
        bodies.keep(context, staged.id, taken.apart)

    async def begin() -> None:
        context.of(Runner).submit(staged.row)

    context.afterwards.append(begin)
    headers = {"Location": f"{PATH}/{staged.id}", "Operation-Location": f"/v1/{staged.name}"}
    if b"prefer" in context.headers:
        headers["Preference-Applied"] = "respond-async"
    shown = msgspec.json.encode(operations.show(staged.row))
    return Raw(shown, JSON, status=202, headers=headers)


async def list_jobs(context: Context, query: JobsQuery) -> InferenceJobs:
    """A page of them, the newest first: one's own, and those that ``operation:read`` shows."""
    fields = operations.filterable
    shown = context.ports.policies.visible(
        context.principal, "operation:read", operations.kind, fields
    )
    kind = Compare(fields["metadata.kind"], "=", KIND)
    state = None
    if query.status is not None:
        state = Compare(fields["metadata.state"], "=", query.status)
    about = f"jobs\n{context.workspace}\n{query.status}\n{context.principal.id}"
    wanted = Query(
        kind=operations.kind,
        workspace=context.workspace,
        filter=both(both(kind, state), shown),
        after=paging.position(query.page_token, about, tuple[Any, ...]),
        size=query.size + 1,
    )
    rows = await context.ports.store.page(wanted)
    following = None
    if len(rows) > query.size:
        following = paging.token(position(wanted, rows[query.size - 1]), about)
    return InferenceJobs(jobs=[_job(row) for row in rows[: query.size]], next_page_token=following)


async def get(context: Context, job_id: str) -> InferenceJob:
    """One of them."""
    return _job((await _find(context, job_id)).row)


async def result(context: Context, job_id: str) -> Raw:
    """What the surface answered, or the error it ended with."""
    item = await _find(context, job_id)
    spec = item.spec
    if not spec.done or spec.metadata.state == "cancelled":
        state = spec.metadata.state
        raise Failure(
            "CONFLICT",
            f"The job is {state}: there is no result. Wait for it at /v1/{item.name}/wait."
            if not spec.done
            else "The job was cancelled: there is no result. Submit it again.",
            details={"field": "job_id", "state": state},
        )
    if spec.error is not None:
        context.envelope = envelopes.of_surface(str(spec.asked["surface"]))
        code = str(spec.error.get("code"))
        known = code if code in REGISTRY and REGISTRY[code].status else "INTERNAL"
        details = spec.error.get("details")
        raise Failure(known, str(spec.error.get("message")), details=details)
    if spec.response is None:
        raise Failure(
            "NOT_FOUND",
            "The result was deleted with its prediction. Submit the job again.",
            details={"field": "job_id"},
        )
    headers = {"X-Modelyard-Prediction": f"predictions/{prediction_of(item.id)}"}
    return Raw(msgspec.json.encode(spec.response), JSON, headers=headers)


async def cancel(context: Context, job_id: str) -> InferenceJob:
    """Cancel one that waits or runs: the call to its provider is closed."""
    item = await _find(context, job_id, "operation:cancel")
    if item.spec.metadata.state in ("cancelled", "cancelling"):
        return _job(item.row)
    return _job((await cancel_operation(context, item)).row)


async def _find(
    context: Context, job_id: str, permission: str = "operation:read"
) -> Item[Operation]:
    """A job of the caller's own, or one that others' operations may be read (or cancelled) of."""
    from_here = Failure(
        "NOT_FOUND",
        "There is no such job in this workspace. Its id is in the answer to its submission.",
        details={"field": "job_id"},
    )
    address = Address(operations.kind, context.workspace, "", job_id)
    row = await context.ports.store.get(address)
    if row is None or row.spec["metadata"]["kind"] != KIND:
        raise from_here
    try:
        context.check(permission, row)
    except Failure as failure:
        raise from_here from failure
    return Item(operations, row)


def _job(row: Row) -> InferenceJob:
    spec = operations.load(row)
    known, ended = spec.metadata, spec.metadata.state == "succeeded"
    return InferenceJob(
        job_id=row.address.id,
        operation=row.address.name,
        status=known.state,
        surface=str(spec.asked["surface"]),
        model=row.labels.get(MODEL),
        priority=known.priority,
        progress=known.progress,
        attempts=known.attempts,
        created_at=timestamp(row.created_at),
        started_at=known.started_at,
        finished_at=known.finished_at,
        prediction=f"predictions/{prediction_of(row.address.id)}" if ended else None,
        result_url=f"{PATH}/{row.address.id}/result" if ended else None,
        error=spec.error,
    )


def routes() -> list[Route]:
    """The declarations."""
    return [_submission(), *_reads(), _cancellation()]


def _submission() -> Route:
    return Route(
        method="POST",
        path=PATH,
        serve=submit,
        permission="inference:create",
        summary="Submit an inference as a background job",
        tag=TAG,
        description="The body is a request of the gateway's own surface, or of the one that "
        "`surface` names. The operation is answered at once; the result is kept.",
        request=dict[str, Any],
        query=SubmitQuery,
        largest=_largest,
        envelopes=envelopes.of_query,
        response=operations.types.view,
        status=202,
        errors=("INVALID_REQUEST", "SYSTEM_OVERLOADED", "STORAGE_FULL"),
        audit="inference.submit",
        operation="submitInferenceJob",
        headers={"Idempotency-Key": "A string of your own: the same is submitted once."},
        examples={"request": {"prompt": "Tell me of the sea.", "model": "sandbox"}},
    )


def _largest(context: Context) -> int:
    return context.of(Runner).most_bytes


def _reads() -> list[Route]:
    common: dict[str, Any] = {"method": "GET", "tag": TAG, "permission": "inference:read"}
    return [
        Route(
            path=PATH,
            serve=list_jobs,
            summary="List inference jobs",
            query=JobsQuery,
            response=InferenceJobs,
            operation="listInferenceJobs",
            **common,
        ),
        Route(
            path=ONE,
            serve=get,
            summary="State and progress of an inference job",
            response=InferenceJob,
            errors=("NOT_FOUND",),
            operation="getInferenceJob",
            **common,
        ),
        Route(
            path=ONE + "/result",
            serve=result,
            summary="Result of a finished inference job",
            description="What the surface answered; a failed job's error.",
            response=Any,
            errors=("NOT_FOUND", "CONFLICT", "PROVIDER_ERROR", "INFERENCE_TIMEOUT"),
            operation="getInferenceJobResult",
            **common,
        ),
    ]


def _cancellation() -> Route:
    return Route(
        method="DELETE",
        path=ONE,
        serve=cancel,
        permission="inference:cancel",
        summary="Cancel an inference job that waits or runs",
        tag=TAG,
        response=InferenceJob,
        errors=("NOT_FOUND", "CONFLICT", "SYSTEM_OVERLOADED"),
        audit="inference.cancel",
        operation="cancelInferenceJob",
    )
