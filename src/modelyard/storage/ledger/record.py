"""One ledger record: everything that is kept of one request, money and failures included."""

from typing import Any

from msgspec import Struct


class Attempt(Struct, omit_defaults=True):
    """One call of one target. Times are milliseconds since the request was admitted."""

    id: str
    target: str
    started: float
    duration: float
    outcome: str = "ok"  # "ok", else the reason: "timeout_first_byte", "http_503", "refused" …
    status: int | None = None
    detail: str | None = None
    first_byte: float | None = None
    reused: bool = False  # the connection came from the pool


class Match(Struct, frozen=True):
    """How a kept answer was found for a question that was put in other words.

    ``similarity`` is the cosine of the two questions, ``confidence`` the verifier's probability
    that the answer fits; the ages are seconds: of the answer, and since its question was asked
    first.
    """

    similarity: float
    confidence: float
    verifier: str
    age: float
    prompt_age: float


class Record(Struct, omit_defaults=True):
    """What one request did and cost. Written once, as one JSON line, before its last byte.

    Money is integer nano-dollars (1 USD = 1,000,000,000); ``None`` means the price is unknown.
    ``at`` is Unix seconds; ``timings`` are milliseconds by stage.
    """

    id: str  # unique; loading is idempotent by it
    request_id: str  # X-Request-ID; a client may reuse it
    at: float
    workspace: str
    key_id: str
    surface: str  # "inference", "chat", "completions", "embeddings"
    model: str  # what the client asked for
    status: int  # HTTP status given; 499 when the client left before the end
    seconds: float  # admission to settlement
    cache: str = "off"  # what answered: "l1", "l2", "l3", "semantic"; "miss", "off"
    shared: bool = False  # a follower of another request's flight: costs nothing
    stream: bool = False
    target: str | None = None  # who answered, as "provider/model"
    provider: str | None = None
    model_version: str | None = None  # the model the provider says answered
    error: str | None = None  # symbol of the error registry
    message: str | None = None
    finish_reason: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    usage_estimated: bool = False  # the provider reported no usage; it was counted here
    cost: int | None = 0
    estimated_cost: int | None = 0
    saved: int | None = 0  # what a hit or a follower would have cost
    timings: dict[str, float] = {}
    attempts: list[Attempt] = []
    semantic: Match | None = None  # of an answer to a question that means the same
    trace_id: str | None = None
    correlation_id: str | None = None
    user_id: str | None = None
    metadata: dict[str, Any] = {}
    priority: int | None = None
    strategy: str | None = None
    cost_optimize: bool | None = None
