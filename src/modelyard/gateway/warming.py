"""What cache warming did, as the status shows it."""

from typing import Annotated

from msgspec import Meta, Struct

from modelyard.gateway.figures import Usd, ratio, usd
from modelyard.inference.warmer.keeping import Figures


class WarmingStats(Struct, kw_only=True):
    """What warming did for this workspace, since it was turned on; a few seconds old.

    A request counts as saved only where the cache alone would have had nothing.
    """

    known_prompts: Annotated[int, Meta(description="Prompts that may be warmed.")]
    warmed: Annotated[int, Meta(description="Answers fetched.")]
    used: Annotated[int, Meta(description="Of them, those that answered a request.")]
    wasted: Annotated[int, Meta(description="Of them, those that nobody asked for in time.")]
    failed: Annotated[int, Meta(description="Calls that brought no answer to keep.")]
    used_rate: Annotated[
        float | None, Meta(description="Fraction of the used and wasted ones, 0 to 1.")
    ]
    cost_spent: Usd
    cost_saved: Annotated[Usd, Meta(description="What the saved requests would have cost.")]
    cost_wasted: Usd
    seconds_saved: Annotated[float, Meta(description="Of waiting for providers.")]
    cost_spent_today: Annotated[Usd, Meta(description="Of the daily budget (UTC).")]


def warming_stats(figures: Figures, workspace: str) -> WarmingStats:
    """The workspace's figures."""
    own = figures.of(workspace)
    return WarmingStats(
        known_prompts=figures.prompts.get(workspace, 0),
        warmed=own.warmed,
        used=own.used,
        wasted=own.wasted,
        failed=own.failed,
        used_rate=ratio(own.used, own.used + own.wasted),
        cost_spent=usd(own.spent) or 0.0,
        cost_saved=usd(own.saved) or 0.0,
        cost_wasted=usd(own.wasted_money) or 0.0,
        seconds_saved=round(own.seconds, 3),
        cost_spent_today=usd(figures.spent_today.get(workspace, 0)) or 0.0,
    )


def warming_gauges(figures: Figures) -> list[tuple[str, str, float]]:
    """The figures of all workspaces together."""
    own = figures.total
    rows = (
        ("prompts", "Prompts that may be warmed.", sum(figures.prompts.values())),
        ("answers", "Answers fetched beforehand.", own.warmed),
        ("used", "Those that answered a request the cache alone would have missed.", own.used),
        ("wasted", "Those that nobody asked for in time.", own.wasted),
        ("failed", "Calls that brought no answer to keep.", own.failed),
        ("spent_usd", "What they cost, USD.", own.spent / 1e9),
        ("saved_usd", "What the calls they spared would have cost, USD.", own.saved / 1e9),
        ("saved_seconds", "Of waiting that they spared.", own.seconds),
        ("unaffordable", "Times that the budget had no room.", figures.unaffordable),
        ("crowded", "Times that a target had no room.", figures.crowded),
    )
    return [(f"modelyard_warming_{name}", text, value) for name, text, value in rows]
