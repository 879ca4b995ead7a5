"""What the gateway's own surface takes and gives (seed 001), as it is on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from modelyard.inference.surfaces.terms import LONGEST_TTL
from modelyard.storage.ledger.record import Match

STRATEGIES = Literal[
    "lowest_cost", "fastest_response", "balanced", "quality_focused", "budget_constrained"
]


class InferenceRequest(Struct, forbid_unknown_fields=True):
    """One prompt, and how it is to be answered. Only ``prompt`` is required."""

    prompt: Annotated[
        str, Meta(min_length=1, max_length=10_000_000, description="The prompt to process")
    ]
    model_name: Annotated[
        Annotated[str, Meta(max_length=256)] | None,
        Meta(description="Model, alias or provider/model; the default model when absent"),
    ] = None
    model: Annotated[
        Annotated[str, Meta(max_length=256)] | None, Meta(description="The same as model_name")
    ] = None
    temperature: (
        Annotated[
            float,
            Meta(
                ge=0,
                le=2,
                description="Sampling temperature, 0.0 to 2.0; 0.7 when absent, or the model's "
                "own where it takes no other",
            ),
        ]
        | UnsetType
    ) = UNSET
    max_tokens: Annotated[
        Annotated[int, Meta(ge=1, le=10_000_000)] | None,
        Meta(description="Tokens to generate at most"),
    ] = None
    user_id: Annotated[
        Annotated[str, Meta(max_length=256)] | None, Meta(description="For tracking only")
    ] = None
    workspace_id: Annotated[
        Annotated[str, Meta(max_length=256)] | None,
        Meta(description="For tracking: the key decides the workspace, and another one is 403"),
    ] = None
    priority: Annotated[int, Meta(ge=1, le=10, description="1 (background) to 10")] = 5
    stream: Annotated[bool, Meta(description="Answer with server-sent events")] = False
    timeout_seconds: Annotated[float, Meta(gt=0, le=3600, description="For the whole request")] = (
        300
    )
    use_cache: Annotated[
        bool, Meta(description="Share identical requests and answer from the cache")
    ] = True
    semantic_cache: Annotated[
        bool | None,
        Meta(
            description="Answer with a kept answer to a question that means the same; absent: as "
            "the server is set"
        ),
    ] = None
    cache_ttl_seconds: Annotated[
        Annotated[float, Meta(gt=0, le=LONGEST_TTL)] | None,
        Meta(description="Seconds this answer is kept; when absent, as the levels are set"),
    ] = None
    cache_namespace: Annotated[
        Annotated[str, Meta(min_length=1, max_length=128)] | None,
        Meta(description="Answers are shared within this namespace of the workspace only"),
    ] = None
    cost_optimize: Annotated[
        bool, Meta(description="Recorded; takes effect with a later version")
    ] = True
    strategy: Annotated[
        STRATEGIES, Meta(description="Recorded; takes effect with a later version")
    ] = "balanced"
    budget_limit: Annotated[
        Annotated[float, Meta(ge=0, le=1_000_000)] | None,
        Meta(description="USD that this request may cost at most"),
    ] = None
    metadata: Annotated[dict[str, Any], Meta(description="Kept with the request log")] = {}
    request_id: Annotated[
        Annotated[str, Meta(pattern=r"^[!-~]{1,128}\Z")] | None,
        Meta(
            description="Your name of this request: what is sent again under it is answered as the "
            "first time. The header Idempotency-Key goes before it"
        ),
    ] = None


class Timings(Struct):
    """Milliseconds."""

    total: float
    queue: float | None = None
    upstream: float | None = None
    first_byte: float | None = None
    first_token: float | None = None
    overhead: float | None = None


class InferenceMetadata(Struct):
    """How a request was answered."""

    strategy: str
    optimization_enabled: bool
    cache: str
    cache_age: float | None
    shared: bool
    semantic: Match | None
    attempts: int
    finish_reason: str | None
    model_version: str | None
    usage_estimated: bool
    sandbox: bool
    priority: int
    timings: Timings
    warnings: list[str]
    client: dict[str, Any]


class InferenceResponse(Struct):
    """An answer and what it took. Money in USD; ``processing_time`` in seconds."""

    request_id: str
    response: str | None
    model_used: str
    provider_used: str
    processing_time: float
    cache_hit: bool
    input_tokens: int
    output_tokens: int
    estimated_cost: float | None
    actual_cost: float | None
    timestamp: str
    metadata: InferenceMetadata


class StreamMessage(Struct):
    """One event of a streamed inference (seed 001)."""

    id: str
    type: Literal["progress", "data", "end", "error"]
    data: Any
    timestamp: str
    sequence: int
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
