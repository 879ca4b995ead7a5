"""What requests cost in a period, and what caches saved: the figures of status and analytics."""

from collections.abc import Container, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from modelyard.gateway.figures import Percent, Usd, percent, usd
from modelyard.storage.ledger.queries import Usage


class CostStats(Struct, kw_only=True):
    """Cost in a period of days that ends now; its first day begins at midnight UTC."""

    period_days: int
    total_cost: Annotated[
        Usd | None,
        Meta(description="USD of the requests with a known price; null when none has one."),
    ]
    total_tokens: Annotated[
        int, Meta(description="Input and output tokens that providers processed.")
    ]
    total_requests: Annotated[
        int, Meta(description="All requests, answered from a cache and failed ones included.")
    ]
    avg_cost_per_request: Annotated[
        Usd | None, Meta(description="USD: total_cost by the requests with a known price.")
    ]
    avg_cost_per_token: Annotated[
        Usd | None, Meta(description="USD: total_cost by the tokens with a known price.")
    ]
    provider_breakdown: Annotated[
        dict[str, Usd | None],
        Meta(description="USD by provider; null where no price of a provider is known."),
    ]
    unpriced_requests: Annotated[
        int, Meta(description="Requests whose price is unknown: their cost is in no sum.")
    ]


class CostAnalysis(CostStats, kw_only=True):
    """Cost in a period, by day."""

    daily_costs: Annotated[
        dict[str, Usd | None], Meta(description="USD by day (UTC), every day of the period.")
    ]


class OverallCache(Struct, kw_only=True):
    """How much the caches answered. Rates are null until a request asked a cache."""

    total_requests: Annotated[int, Meta(description="Requests that were looked up in a cache.")]
    hit_rate: Percent | None
    l1_hit_rate: Percent | None
    l2_hit_rate: Annotated[Percent | None, Meta(description="Null: not configured.")] = None
    l3_hit_rate: Annotated[Percent | None, Meta(description="Null: not configured.")] = None
    total_cost_saved: Annotated[Usd, Meta(description="USD that the answers had cost.")]
    total_tokens_saved: Annotated[
        int, Meta(description="Tokens that no provider processed, shared calls included.")
    ]


def total_cost(usage: Usage) -> float | None:
    """USD of the requests whose price is known; None when there are only others."""
    only_unknown = usage.requests > 0 and usage.unpriced_requests == usage.requests
    return None if only_unknown else usd(usage.cost)


def cost_stats(days: int, total: Usage, providers: Mapping[str, Usage]) -> CostStats:
    """The figures of a period."""
    cost = total_cost(total)
    return CostStats(
        period_days=days,
        total_cost=cost,
        total_tokens=total.tokens,
        total_requests=total.requests,
        avg_cost_per_request=_average(cost, total.requests - total.unpriced_requests),
        avg_cost_per_token=_average(cost, total.tokens - total.unpriced_tokens),
        provider_breakdown={name: total_cost(sums) for name, sums in providers.items() if name},
        unpriced_requests=total.unpriced_requests,
    )


def overall_cache(
    levels: Mapping[str, Usage], total: Usage, configured: Container[str]
) -> OverallCache:
    """The caches' figures, from the sums by cache level and the sum of all.

    A level that is not configured has a rate if it ever had a hit.
    """

    def rate(level: str) -> float | None:
        hits = levels.get(level, Usage()).hits
        return percent(hits, total.lookups) if hits or level in configured else None

    return OverallCache(
        total_requests=total.lookups,
        hit_rate=percent(total.hits, total.lookups),
        l1_hit_rate=percent(levels.get("l1", Usage()).hits, total.lookups),
        l2_hit_rate=rate("l2"),
        l3_hit_rate=rate("l3"),
        total_cost_saved=usd(total.saved_by_hits) or 0.0,
        total_tokens_saved=total.saved_tokens,
    )


def _average(cost: float | None, count: int) -> float | None:
    return round(cost / count, 12) if cost is not None and count > 0 else None
