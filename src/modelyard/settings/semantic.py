"""``[cache.semantic]``: answers to questions that mean the same."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class SemanticSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[cache.semantic]``: kept answers for questions that mean the same.

    Needs the extra `semantic` and `modelyard local install minilm`. Only what the exact cache would
    share is compared, within one workspace, model and context.
    """

    mode: Annotated[
        Literal["off", "request", "on"],
        Meta(
            description="`off`; `request`: for requests that ask for it with `semantic_cache` or "
            "`X-Modelyard-Semantic-Cache: on`; `on`: for all that do not refuse it."
        ),
    ] = "off"
    error: Annotated[
        float,
        Meta(
            gt=0, le=0.5, description="Share of hits that may be wrong; kept by checks, see sample."
        ),
    ] = 0.01
    verifier: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=128,
            description="Who decides that two questions mean the same: `light`, or a model that "
            "`modelyard semantic train` made.",
        ),
    ] = "light"
    similarity: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Cosine below which a question is not shown to the verifier. It is no "
            "threshold of hits: that follows from `error`.",
        ),
    ] = 0.7
    candidates: Annotated[
        int, Meta(ge=1, le=32, description="Questions that the verifier is shown at most.")
    ] = 4
    sample: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of hits whose question is asked again in the background to compare "
            "the answers; ten times as many while little is known.",
        ),
    ] = 0.02
    budget: Annotated[
        float,
        Meta(ge=0, le=1e6, description="USD a day (UTC) that those questions may cost, in all."),
    ] = 1.0
    wait: Annotated[
        float, Meta(gt=0, le=60, description="Seconds a request waits for the semantic cache.")
    ] = 0.05
    entries: Annotated[
        int, Meta(ge=1, le=10_000_000, description="Questions kept at most, in all.")
    ] = 100_000
    workspace_entries: Annotated[
        int, Meta(ge=1, le=10_000_000, description="Questions kept at most of one workspace.")
    ] = 50_000
