"""What clients send and read of predictions (snake_case)."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from modelyard.kernel.fields import OUTPUT_ONLY, UNTOLD, Time

Score = Annotated[float, Meta(ge=-1, le=1, description="-1 (bad) to 1 (good).")]
Comment = Annotated[str, Meta(max_length=5000)]


class Feedback(Struct, frozen=True, kw_only=True):
    """What somebody said of a prediction."""

    at: Time
    by: str
    rating: float | None = None
    ground_truth: Any = None
    comment: str = ""


class Prediction(Struct, frozen=True, kw_only=True):
    """What a model answered, kept for a time. The server writes it."""

    model: Annotated[str | None, OUTPUT_ONLY, Meta(description="As the request named it.")] = None
    surface: Annotated[str, OUTPUT_ONLY, Meta(description="The path that was asked.")] = ""
    operation: Annotated[str, OUTPUT_ONLY, Meta(description="The job that made it.")] = ""
    request_id: Annotated[str, OUTPUT_ONLY, Meta(description="Finds it in the log.")] = ""
    response: Annotated[Any, OUTPUT_ONLY, UNTOLD, Meta(description="As the surface answered.")] = (
        None
    )
    expires_at: Annotated[Time | None, OUTPUT_ONLY, Meta(description="Then it is deleted.")] = None
    feedback: Annotated[
        list[Feedback], OUTPUT_ONLY, UNTOLD, Meta(description="The newest last.")
    ] = []


class GiveFeedback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rating, or what would have been right, or both."""

    rating: Score | None = None
    ground_truth: Annotated[
        Any, Meta(description="What the right answer was: any JSON value; null: not told.")
    ] = None
    comment: Comment = ""
