"""The settings of the workers that operations run in."""

from typing import Annotated

from msgspec import Meta, Struct


class JobsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[jobs]``: the workers that operations run in."""

    workers: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="Worker processes of this server, started with the first operation; 0 "
            "where `modelyard worker` runs elsewhere.",
        ),
    ] = 1
    concurrency: Annotated[
        int, Meta(ge=1, le=256, description="Operations at a time in one worker.")
    ] = 2
    inferences: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Inference jobs at a time in one process of the server."),
    ] = 64
    prediction_days: Annotated[
        float, Meta(gt=0, le=3650, description="Days that the result of an inference job is kept.")
    ] = 30.0
    ray_address: Annotated[
        str | None,
        Meta(
            description="Jobs run on this Ray cluster instead of the worker's machine: `auto`, "
            "`host:port`, or `local` for one of this machine alone. Needs `modelyard[ray]`.",
            examples=["auto"],
        ),
    ] = None
    max_attempts: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Attempts in a row that may die without a new step; then the operation "
            "fails.",
        ),
    ] = 3
    nice: Annotated[
        int,
        Meta(
            ge=0,
            le=19,
            description="Niceness of jobs; at 19 they run only where nobody else wants the core.",
        ),
    ] = 19
    verify_audit: Annotated[
        str | None,
        Meta(
            description="When the chain of the audit trail is verified: a cron expression in UTC; "
            "unset: never by itself.",
            examples=["17 3 * * *"],
        ),
    ] = None
