"""``GET /v1/ai-inference/status``: how the gateway is doing."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from modelyard.gateway.costs import CostStats, OverallCache, cost_stats, overall_cache
from modelyard.gateway.figures import PERIOD, Percent, Usd, first_day, percent, ratio, usd
from modelyard.gateway.live import CacheState, Live
from modelyard.gateway.semantic import SemanticStats
from modelyard.gateway.warming import WarmingStats
from modelyard.protocol.errors import timestamp
from modelyard.storage.ledger.queries import Reader, Usage

LATER = Meta(description="Null: this server has none.")


class LevelStats(Struct, kw_only=True):
    """What one level did, in all workspaces and processes since the server started.

    Null where the level is turned off.
    """

    state: Annotated[
        Literal["up", "slow", "down", "full"] | None,
        Meta(
            description="slow, down: not asked until it answers in time again. full: asked, but "
            "takes nothing."
        ),
    ] = None
    trouble: Annotated[str | None, Meta(description="Why it is not up.")] = None
    hits: int | None = None
    misses: int | None = None
    hit_rate: Annotated[
        Percent | None, Meta(description="Of the requests that this level was asked by.")
    ] = None
    errors: Annotated[
        int | None, Meta(description="Failed, too late, or could not be read: like a miss.")
    ] = None
    skipped: Annotated[int | None, Meta(description="Not asked, as it was failing.")] = None
    total_entries: Annotated[int | None, Meta(description="Entries of this workspace.")] = None


class MemoryCache(LevelStats, kw_only=True):
    """L1, in the memory of the processes; the entries are those of the one that answers."""

    utilization: Annotated[
        float | None, Meta(description="Fraction of the whole cache that is used, 0 to 1.")
    ] = None
    strategy: Annotated[str | None, Meta(description="Which entries leave first.")] = None
    total_bytes: Annotated[int | None, Meta(description="Bytes of this workspace.")] = None


class RedisCache(LevelStats, kw_only=True):
    """L2, in Redis or Valkey."""

    compression: bool | None = None
    encryption: bool | None = None
    ttl_seconds: int | None = None


class DiskCache(LevelStats, kw_only=True):
    """L3, on this machine's disk."""

    total_size_mb: Annotated[float | None, Meta(description="10^6 bytes of this workspace.")] = None
    utilization: Annotated[
        float | None, Meta(description="Fraction of the whole level that is used, 0 to 1.")
    ] = None
    compression: bool | None = None
    encryption: bool | None = None
    ttl_seconds: int | None = None
    storage_path: str | None = None


class CacheStats(Struct, kw_only=True):
    """The caches, since the ledger began."""

    overall: OverallCache
    l1_memory: MemoryCache
    l2_redis: RedisCache
    l3_persistent: DiskCache
    semantic: Annotated[SemanticStats | None, Meta(description="Null: it is turned off.")] = None
    warming: Annotated[WarmingStats | None, Meta(description="Null: it is turned off.")] = None


class Deduplicator(Struct, kw_only=True):
    """Requests that shared the call of another that asked the same, since the ledger began."""

    total_requests: int
    exact_duplicates: int
    semantic_duplicates: Annotated[
        int | None, Meta(description="Answered by the semantic cache; null: it is turned off.")
    ] = None
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


def build(
    sums: Sums,
    live: Live,
    caches: Mapping[str, CacheState],
    semantic: SemanticStats | None,
    warming: WarmingStats | None,
    writable: bool,
) -> Status:
    """Join the ledger's figures with the live state."""
    return Status(
        status=health(live, writable),
        timestamp=timestamp(),
        pending_requests=live.pending_requests(),
        processing_requests=live.processing_requests(),
        cache_stats=CacheStats(
            overall=overall_cache(sums.levels, sums.ever, caches),
            l1_memory=_memory(caches.get("l1")),
            l2_redis=_redis(caches.get("l2")),
            l3_persistent=_disk(caches.get("l3")),
            semantic=semantic,
            warming=warming,
        ),
        cost_stats=cost_stats(PERIOD, sums.period, sums.providers),
        worker_stats=_workers(sums.ever, live, None if semantic is None else _alike(sums)),
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
        **_counted(state),
        utilization=_rounded(state.utilization),
        strategy=state.strategy,
        total_bytes=state.bytes,
    )


def _redis(state: CacheState | None) -> RedisCache:
    if state is None:
        return RedisCache()
    return RedisCache(
        **_counted(state),
        compression=state.compression,
        encryption=state.encryption,
        ttl_seconds=round(state.ttl),
    )


def _disk(state: CacheState | None) -> DiskCache:
    if state is None:
        return DiskCache()
    return DiskCache(
        **_counted(state),
        total_size_mb=None if state.bytes is None else round(state.bytes / 1e6, 3),
        utilization=_rounded(state.utilization),
        compression=state.compression,
        encryption=state.encryption,
        ttl_seconds=round(state.ttl),
        storage_path=state.path,
    )


def _counted(state: CacheState) -> dict[str, Any]:
    return {
        "state": state.state,
        "trouble": state.trouble or None,
        "hits": state.hits,
        "misses": state.misses,
        "hit_rate": percent(state.hits, state.hits + state.misses + state.errors),
        "errors": state.errors,
        "skipped": state.skipped,
        "total_entries": state.entries,
    }


def _rounded(fraction: float | None) -> float | None:
    return None if fraction is None else round(fraction, 4)


def _alike(sums: Sums) -> int:
    return sums.levels.get("semantic", Usage()).hits


def _workers(ever: Usage, live: Live, alike: int | None) -> WorkerStats:
    workers = live.workers()
    return WorkerStats(
        total_workers=workers.total,
        active_workers=workers.active,
        total_requests_processed=ever.requests,
        deduplicator=Deduplicator(
            total_requests=ever.requests,
            exact_duplicates=ever.followers,
            semantic_duplicates=alike,
            deduplication_rate=ratio(ever.followers + (alike or 0), ever.requests),
            total_cost_saved=usd(ever.saved_by_followers) or 0.0,
        ),
        batch_processor=BatchProcessor(),
    )
