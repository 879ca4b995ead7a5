"""``GET /v1/ai-inference/status``: how the gateway is doing."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.gateway.costs import CostStats, OverallCache, cost_stats, overall_cache
from modelyard.gateway.figures import PERIOD, Usd, first_day, ratio, usd
from modelyard.gateway.live import CacheState, Live
from modelyard.protocol.errors import timestamp
from modelyard.storage.ledger.queries import Reader, Usage

LATER = Meta(description="Null: this server has none.")


class MemoryCache(Struct, kw_only=True):
    """L1, in the memory of this process. Null fields: it is turned off."""

    total_entries: Annotated[int | None, Meta(description="Entries of this workspace.")] = None
    utilization: Annotated[
        float | None, Meta(description="Fraction of the whole cache that is used, 0 to 1.")
    ] = None
    strategy: Annotated[str | None, Meta(description="Which entries leave first.")] = None
    total_bytes: Annotated[int | None, Meta(description="Bytes of this workspace.")] = None


class RedisCache(Struct, kw_only=True):
    """L2."""

    total_entries: Annotated[int | None, LATER] = None
    compression: Annotated[bool | None, LATER] = None
    ttl_seconds: Annotated[int | None, LATER] = None


class DiskCache(Struct, kw_only=True):
    """L3."""

    total_entries: Annotated[int | None, LATER] = None
    total_size_mb: Annotated[float | None, LATER] = None
    storage_path: Annotated[str | None, LATER] = None


class CacheStats(Struct, kw_only=True):
    """The caches, since the ledger began."""

    overall: OverallCache
    l1_memory: MemoryCache
    l2_redis: RedisCache
    l3_persistent: DiskCache


class Deduplicator(Struct, kw_only=True):
    """Identical requests that shared one upstream call, since the ledger began."""

    total_requests: int
    exact_duplicates: int
    semantic_duplicates: Annotated[int | None, LATER] = None
    deduplication_rate: Annotated[
        float | None, Meta(description="Fraction of the requests that were duplicates, 0 to 1.")
    ]
    total_cost_saved: Usd


class BatchProcessor(Struct, kw_only=True):
    """Batches."""

    total_batches: Annotated[int | None, LATER] = None
    successful_batches: Annotated[int | None, LATER] = None
    failed_batches: Annotated[int | None, LATER] = None
    average_batch_size: Annotated[float | None, LATER] = None


class WorkerStats(Struct, kw_only=True):
    """The server's processes, and what this workspace had them do."""

    total_workers: int
    active_workers: int
    total_requests_processed: Annotated[int, Meta(description="Since the ledger began.")]
    deduplicator: Deduplicator
    batch_processor: BatchProcessor


class Status(Struct, kw_only=True):
    """Figures of the caller's workspace from the ledger, and this process's live state."""

    status: Annotated[
        Literal["healthy", "degraded", "unhealthy"],
        Meta(
            description="degraded: a target's circuit is open. unhealthy: all are, or the ledger "
            "cannot be written, so that no request is answered."
        ),
    ]
    timestamp: str
    pending_requests: Annotated[
        int | None, Meta(description="Waiting to be sent; null: there is no queue.")
    ]
    processing_requests: int
    cache_stats: CacheStats
    cost_stats: CostStats
    worker_stats: WorkerStats


class Sums(Struct, frozen=True, kw_only=True):
    """What a status needs of the ledger: one workspace's sums, of all time and of the period."""

    ever: Usage
    levels: dict[str, Usage]
    period: Usage
    providers: dict[str, Usage]


def read(reader: Reader, workspace: str) -> Sums:
    """Ask the ledger (this blocks)."""
    since = first_day(PERIOD)
    return Sums(
        ever=reader.usage(workspace).get("", Usage()),
        levels=reader.usage(workspace, by="cache"),
        period=reader.usage(workspace, since).get("", Usage()),
        providers=reader.usage(workspace, since, by="provider"),
    )


def build(sums: Sums, live: Live, workspace: str, writable: bool) -> Status:
    """Join the ledger's figures with the live state."""
    return Status(
        status=health(live, writable),
        timestamp=timestamp(),
        pending_requests=live.pending_requests(),
        processing_requests=live.processing_requests(),
        cache_stats=CacheStats(
            overall=overall_cache(sums.levels, sums.ever),
            l1_memory=_memory(live.l1(workspace)),
            l2_redis=RedisCache(),
            l3_persistent=DiskCache(),
        ),
        cost_stats=cost_stats(PERIOD, sums.period, sums.providers),
        worker_stats=_workers(sums.ever, live),
    )


def health(live: Live, writable: bool) -> Literal["healthy", "degraded", "unhealthy"]:
    """One word for all of it."""
    circuits = [target.circuit for target in live.targets()]
    closed = circuits.count("closed")
    if not writable or (circuits and not closed):
        return "unhealthy"
    return "healthy" if closed == len(circuits) else "degraded"


def _memory(state: CacheState | None) -> MemoryCache:
    if state is None:
        return MemoryCache()
    return MemoryCache(
        total_entries=state.entries,
        utilization=round(state.utilization, 4),
        strategy=state.strategy,
        total_bytes=state.bytes,
    )


def _workers(ever: Usage, live: Live) -> WorkerStats:
    workers = live.workers()
    return WorkerStats(
        total_workers=workers.total,
        active_workers=workers.active,
        total_requests_processed=ever.requests,
        deduplicator=Deduplicator(
            total_requests=ever.requests,
            exact_duplicates=ever.followers,
            deduplication_rate=ratio(ever.followers, ever.requests),
            total_cost_saved=usd(ever.saved_by_followers) or 0.0,
        ),
        batch_processor=BatchProcessor(),
    )
