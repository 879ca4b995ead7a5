"""``GET /v1/ai-inference/analytics``: cost, caches and queue over a period."""

import time
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from modelyard.gateway.costs import (
    CostAnalysis,
    OverallCache,
    cost_stats,
    overall_cache,
    total_cost,
)
from modelyard.gateway.figures import PERIOD, dates, first_day
from modelyard.gateway.live import Live
from modelyard.protocol.errors import timestamp
from modelyard.storage.ledger.queries import Reader, Usage

_MINUTE = 60.0


class AnalyticsQuery(Struct, frozen=True, kw_only=True):
    """The period."""

    days: Annotated[
        int, Meta(ge=1, le=366, description="Days, today included; they are days of UTC.")
    ] = PERIOD


class CacheAnalysis(Struct, kw_only=True):
    """The caches in the period."""

    overall: OverallCache


class QueueStats(Struct, kw_only=True):
    """The queue and who works on it."""

    total_queues: Annotated[int | None, Meta(description="Null: there is no queue.")] = None
    total_workers: int
    active_workers: int
    total_requests_processed: Annotated[int, Meta(description="In the period.")]
    avg_queue_wait_time: Annotated[
        float | None, Meta(description="Seconds; null: there is no queue.")
    ] = None
    system_throughput: Annotated[
        float, Meta(description="Requests per second of this workspace in the last minute.")
    ]


class QueueAnalysis(Struct, kw_only=True):
    """The queue in the period."""

    manager_stats: QueueStats


class Analytics(Struct, kw_only=True):
    """Figures of the caller's workspace from the ledger, and this process's live state."""

    cost_analysis: CostAnalysis
    cache_stats: CacheAnalysis
    queue_stats: QueueAnalysis
    period_days: int
    timestamp: str


class Sums(Struct, frozen=True, kw_only=True):
    """What analytics needs of the ledger."""

    since: float  # Unix seconds
    total: Usage
    levels: dict[str, Usage]
    providers: dict[str, Usage]
    days: dict[str, Usage]
    last_minute: int


def read(reader: Reader, workspace: str, days: int) -> Sums:
    """Ask the ledger (this blocks)."""
    since = first_day(days)
    return Sums(
        since=since,
        total=reader.usage(workspace, since).get("", Usage()),
        levels=reader.usage(workspace, since, by="cache"),
        providers=reader.usage(workspace, since, by="provider"),
        days=reader.usage(workspace, since, by="day"),
        last_minute=reader.count(workspace, time.time() - _MINUTE),
    )


def build(sums: Sums, live: Live, days: int) -> Analytics:
    """Join the ledger's figures with the live state."""
    workers = live.workers()
    costs = cost_stats(days, sums.total, sums.providers)
    caches = overall_cache(sums.levels, sums.total, live.cache_levels())
    daily = {date: total_cost(sums.days.get(date, Usage())) for date in dates(sums.since, days)}
    return Analytics(
        cost_analysis=CostAnalysis(**msgspec.structs.asdict(costs), daily_costs=daily),
        cache_stats=CacheAnalysis(overall=caches),
        queue_stats=QueueAnalysis(
            manager_stats=QueueStats(
                total_workers=workers.total,
                active_workers=workers.active,
                total_requests_processed=sums.total.requests,
                system_throughput=round(sums.last_minute / _MINUTE, 3),
            )
        ),
        period_days=days,
        timestamp=timestamp(),
    )
