"""``POST /v1/ai-inference/clear-cache``: forget answers that were kept."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.gateway.live import Live
from modelyard.protocol.errors import Failure, timestamp

CLEARED = "cache.clear"  # the event's verb
RESOURCE = "ai-inference/clear-cache"  # what it names


class ClearCacheQuery(Struct, frozen=True, kw_only=True):
    """What to clear."""

    level: Annotated[
        Literal["l1", "l2", "l3", "all"],
        Meta(description="One level, or all that are configured."),
    ] = "all"


class ClearedCache(Struct, kw_only=True):
    """What was cleared: entries of the caller's workspace only.

    Of L1 those that the answering process held are counted; other workers follow within a second.
    """

    success: Annotated[bool, Meta(description="False: see `pending`.")]
    level: str
    timestamp: str
    cleared_entries: int
    pending: Annotated[
        list[str],
        Meta(description="Levels that cannot be reached now: they are cleared when they are back."),
    ] = []


async def clear(live: Live, workspace: str, level: str) -> ClearedCache:
    """Clear a level. Raises ``INVALID_REQUEST`` for one that is not configured."""
    configured = live.cache_levels()
    if level != "all" and level not in configured:
        allowed = [*configured, "all"]
        raise Failure(
            "INVALID_REQUEST",
            f"The cache level '{level}' is not configured on this server; "
            f"'level' may be {' or '.join(allowed)}.",
            details={"field": "level", "rule": "configured", "allowed": allowed},
        )
    names = configured if level == "all" else [level]
    # From below: what a level has may not get into one above that is already empty.
    removed = {name: await live.clear_cache(name, workspace) for name in reversed(names)}
    pending = [name for name in names if removed[name] is None]
    return ClearedCache(
        success=not pending,
        level=level,
        timestamp=timestamp(),
        cleared_entries=sum(count or 0 for count in removed.values()),
        pending=pending,
    )
