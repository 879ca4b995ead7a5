"""What clients send and read of inference jobs (snake_case)."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from modelyard.jobs.schema import Progress, State
from modelyard.kernel.fields import Time
from modelyard.protocol import paging

KIND = "inference"  # of operations; one of ``jobs.schema.SERVED``


class SubmitQuery(Struct, frozen=True, kw_only=True):
    """Query parameters of a submission."""

    surface: Annotated[
        str,
        Meta(
            max_length=500,
            description="Path of the surface whose request the body is; the gateway's own when "
            "left out. `Prefer: respond-async` sent to a surface does the same.",
        ),
    ] = "/v1/ai-inference/inference"


class JobsQuery(paging.Paging, frozen=True, kw_only=True):
    """Query parameters of the list of jobs."""

    status: Annotated[State | None, Meta(description="Only jobs in this state.")] = None


class Asked(Struct, frozen=True, kw_only=True):
    """A request as it is kept until it is made. ``body`` is its text; a large one lies apart."""

    surface: str
    body: str = ""
    headers: dict[str, str] = {}


class InferenceJob(Struct, frozen=True, kw_only=True):
    """An inference that runs without its client."""

    job_id: str
    operation: Annotated[str, Meta(description="Its name: `operations/op_…`, for `/v1/{name}`.")]
    status: State
    surface: str
    model: Annotated[str | None, Meta(description="As the request names it.")]
    priority: Annotated[int, Meta(description="0 to 9, the first.")]
    progress: Progress
    attempts: int
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    prediction: Annotated[
        str | None, Meta(description="Where its result is stored: `predictions/pred_…`.")
    ]
    result_url: Annotated[str | None, Meta(description="Where its result is read once there is.")]
    error: dict[str, Any] | None


class InferenceJobs(Struct, frozen=True, kw_only=True):
    """A page of jobs, the newest first."""

    jobs: list[InferenceJob]
    next_page_token: str | None = None
