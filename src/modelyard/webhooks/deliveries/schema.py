"""What clients read of deliveries (snake_case)."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.kernel.fields import OUTPUT_ONLY, Time

State = Literal["pending", "succeeded", "failed"]


class Attempt(Struct, frozen=True, kw_only=True):
    """One try to send it."""

    at: Time
    seconds: Annotated[float, Meta(description="Until the answer, or until it was given up.")]
    status: Annotated[int | None, Meta(description="HTTP status of the answer.")] = None
    error: Annotated[str | None, Meta(description="Why there was no answer.")] = None
    response: Annotated[str, Meta(description="How the answer begins.")] = ""


class Delivery(Struct, frozen=True, kw_only=True):
    """One event for one webhook, and what became of it. The server writes it."""

    event_id: Annotated[
        str,
        OUTPUT_ONLY,
        Meta(description="Also the message's `webhook-id`: the same however often it is sent."),
    ]
    event_type: Annotated[str, OUTPUT_ONLY]
    resource: Annotated[str, OUTPUT_ONLY, Meta(description="What the event is of.")]
    state: Annotated[State, OUTPUT_ONLY] = "pending"
    attempts: Annotated[list[Attempt], OUTPUT_ONLY] = []
    next_attempt_at: Annotated[Time | None, OUTPUT_ONLY] = None
    finished_at: Annotated[Time | None, OUTPUT_ONLY] = None
    redelivery_of: Annotated[
        str | None, OUTPUT_ONLY, Meta(description="The delivery that this one repeats.")
    ] = None
