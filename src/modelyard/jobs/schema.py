"""What an operation is (AIP-151), to a client and in the store."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from modelyard.kernel.fields import HIDDEN, OUTPUT_ONLY, UNTOLD, Time, refers
from modelyard.kernel.ports import Address
from modelyard.kernel.principal import Principal

State = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset(("succeeded", "failed", "cancelled"))
SERVED = frozenset(("inference",))  # kinds that servers run themselves: they only wait
LAST, FIRST, USUAL = 0, 9, 5

Priority = Annotated[
    int, Meta(ge=LAST, le=FIRST, description="9 is taken up first, 0 last; equals in their order.")
]


class Compute(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job may use. Its process is held to it."""

    cpu: Annotated[
        float, Meta(gt=0, le=1024, description="Cores; the process is pinned to as many, rounded.")
    ] = 1.0
    memory_bytes: Annotated[
        int,
        Meta(ge=64 << 20, le=1 << 46, description="The most the job may allocate, beside code."),
    ] = 512 << 20
    gpu: Annotated[int, Meta(ge=0, le=64, description="Whole GPUs; the process sees no other.")] = 0


class Progress(Struct, frozen=True, kw_only=True):
    """How far a job is, as it tells itself."""

    percent: Annotated[float, Meta(ge=0, le=100)] = 0.0
    message: str = ""
    eta_seconds: Annotated[
        float | None, Meta(description="Seconds that are left at the pace so far; null: unknown.")
    ] = None


class Step(Struct, frozen=True, kw_only=True):
    """A recorded part of the work: once it is finished, it is not done again."""

    name: str
    started_at: Time
    finished_at: Time | None = None


class Metadata(Struct, frozen=True, kw_only=True):
    """What is known of an operation beside its outcome."""

    kind: Annotated[str, Meta(description="What is done: `audit.verify`.")]
    state: State = "queued"
    target: Annotated[str, Meta(description="The name of the resource it is done to.")] = ""
    progress: Progress = Progress()
    steps: Annotated[
        list[Step], Meta(description="The last 50 of the present attempt, recorded ones first.")
    ] = []
    priority: Priority = USUAL
    attempts: Annotated[int, Meta(description="How often the work was begun.")] = 0
    compute: Compute = Compute()
    worker: Annotated[str, Meta(description="Who works at it, or did last.")] = ""
    started_at: Time | None = None
    finished_at: Time | None = None


class Operation(Struct, frozen=True, kw_only=True):
    """Work that outlives the request for it."""

    name: Annotated[str, OUTPUT_ONLY]
    metadata: Annotated[Metadata, OUTPUT_ONLY]
    done: Annotated[bool, OUTPUT_ONLY, Meta(description="There is `error` or `response`.")] = False
    error: Annotated[
        dict[str, Any] | None,
        OUTPUT_ONLY,
        Meta(description="The inner object of the error envelope; null unless it failed."),
    ] = None
    response: Annotated[
        Any,
        OUTPUT_ONLY,
        UNTOLD,
        Meta(description="What the method answers; null until it succeeded."),
    ] = None
    asked: Annotated[Any, HIDDEN] = None
    caller: Annotated[Principal | None, HIDDEN] = None
    request_id: Annotated[str, HIDDEN] = ""
    place: Annotated[Address | None, HIDDEN] = None  # of the target
    crashes: Annotated[int, HIDDEN] = 0  # attempts in a row that died without a new step
    needs: Annotated[list[str], HIDDEN, refers("artifacts")] = []  # kept until it has ended


class WaitOperation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of ``:wait``."""

    timeout_seconds: Annotated[
        float, Meta(ge=0, le=60, description="How long to wait; the operation is answered anyway.")
    ] = 30.0
