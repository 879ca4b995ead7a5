"""How the semantic cache is doing, as the status shows it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.gateway.figures import Percent, Usd, percent, usd
from modelyard.gateway.live import SemanticState
from modelyard.inference.semantic.plain import SURE


class SemanticStats(Struct, kw_only=True):
    """The semantic cache. What was counted is of all workspaces since the server started;
    entries, threshold and checks are this workspace's.
    """

    state: Annotated[
        Literal["up", "watching", "down"],
        Meta(
            description="watching: no threshold of the verifier is shown to keep the bound of "
            "wrong hits, so only questions that are the same to the letter are answered; fresh "
            "answers are compared with kept ones until one is. down: requests go on without it."
        ),
    ]
    trouble: Annotated[str | None, Meta(description="Why it is down.")]
    verifier: Annotated[str | None, Meta(description="Who decides. Null: it is down.")]
    hits: int
    misses: int
    hit_rate: Percent | None
    errors: Annotated[int, Meta(description="Not answered in time: like a miss.")]
    skipped: Annotated[int, Meta(description="Not asked: it was down or had too much to do.")]
    total_entries: Annotated[int | None, Meta(description="Questions of this workspace.")]
    total_bytes: Annotated[int | None, Meta(description="About what they take on the disk.")]
    error_bound: Annotated[float, Meta(description="Share of hits that may be wrong, as set.")]
    error_upper: Annotated[
        float | None,
        Meta(
            description="What the share of wrong hits is below, with 95 % confidence, from the "
            "threshold on; null: too little is known."
        ),
    ]
    threshold: Annotated[
        float | None,
        Meta(
            description="The least confidence of a hit; 1: the same to the letter; null: no hits."
        ),
    ]
    checks: Annotated[
        int | None, Meta(description="Answers compared with fresh ones; old ones count less.")
    ]
    wrong: Annotated[int | None, Meta(description="Of them, those that were not the same.")]
    cost_spent_today: Annotated[
        Usd | None, Meta(description="Of questions asked again today (UTC), all workspaces.")
    ]


def semantic_stats(state: SemanticState) -> SemanticStats:
    """The figures as they are shown."""
    told = state.told
    asked = state.hits + state.misses + state.errors
    sure = told is not None and told.threshold is not None and told.threshold < SURE
    up: Literal["up", "watching"] = "up" if sure else "watching"
    return SemanticStats(
        state=up if told else "down",
        trouble=state.trouble,
        verifier=state.verifier or None,
        hits=state.hits,
        misses=state.misses,
        hit_rate=percent(state.hits, asked),
        errors=state.errors,
        skipped=state.skipped,
        total_entries=told.entries if told else None,
        total_bytes=told.bytes if told else None,
        error_bound=state.error,
        error_upper=None if told is None or told.upper is None else round(told.upper, 5),
        threshold=None if told is None or told.threshold is None else round(told.threshold, 4),
        checks=told.checks if told else None,
        wrong=told.wrong if told else None,
        cost_spent_today=usd(told.spent) if told else None,
    )
