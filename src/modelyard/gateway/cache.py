"""``POST /v1/ai-inference/clear-cache``: forget answers that were kept."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.gateway.live import Live
from modelyard.protocol.errors import Failure, timestamp

CLEARED = "cache.clear"  # the event's verb


class ClearCacheQuery(Struct, frozen=True, kw_only=True):
    """What to clear."""

    level: Annotated[
        Literal["l1", "l2", "l3", "all"],
        Meta(description="One level, or all that are configured."),
    ] = "all"


class ClearedCache(Struct, kw_only=True):
    """What was cleared: entries of the caller's workspace only.

    Those that the answering process held are counted; other workers follow within a second.
    """

    success: bool
    level: str
    timestamp: str
    cleared_entries: int


def clear(live: Live, workspace: str, level: str) -> ClearedCache:
    """Clear a level. Raises ``INVALID_REQUEST`` for one that is not configured."""
    configured = ["l1"] if live.l1(workspace) is not None else []
    if level != "all" and level not in configured:
        allowed = [*configured, "all"]
        raise Failure(
            "INVALID_REQUEST",
            f"The cache level '{level}' is not configured on this server; "
            f"'level' may be {' or '.join(allowed)}.",
            details={"field": "level", "rule": "configured", "allowed": allowed},
        )
    return ClearedCache(
        success=True,
        level=level,
        timestamp=timestamp(),
        cleared_entries=live.clear_l1(workspace) if configured else 0,
    )
