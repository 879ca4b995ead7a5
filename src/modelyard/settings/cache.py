"""The settings of the cache."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.settings.semantic import SemanticSettings
from modelyard.settings.warming import WarmingSettings

_DAY = 86_400.0

Size = Annotated[int, Meta(ge=0, le=1 << 50)]
Keep = Annotated[float, Meta(gt=0, le=365 * _DAY)]
Wait = Annotated[float, Meta(gt=0, le=10)]


class CacheSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[cache]``: kept answers, in memory (L1), in Redis or Valkey (L2), on disk (L3)."""

    l1_entries: Annotated[
        int,
        Meta(ge=0, le=100_000_000, description="Answers kept in memory at most; 0 turns L1 off."),
    ] = 10_000
    l1_bytes: Annotated[Size, Meta(description="Bytes of them at most; 0 turns L1 off.")] = (
        64 * 1024 * 1024
    )
    l1_ttl: Annotated[Keep, Meta(description="Seconds an answer is kept in memory.")] = 3600.0
    l1_policy: Annotated[
        Literal["lru", "lfu", "ttl"],
        Meta(
            description="What leaves a full memory first: `lru`, what was not asked for longest; "
            "`lfu`, what is asked for least often; `ttl`, what expires first."
        ),
    ] = "lru"
    l1_workspace_share: Annotated[
        float, Meta(gt=0, le=1, description="Fraction of L1 that one workspace may fill.")
    ] = 1.0
    l2: Annotated[bool, Meta(description="Use the Redis of `redis_url`, if that is set.")] = True
    l2_ttl: Annotated[Keep, Meta(description="Seconds an answer is kept in Redis.")] = _DAY
    l2_timeout: Annotated[
        Wait, Meta(description="Seconds after which a request goes on without Redis' answer.")
    ] = 0.05
    l3: Annotated[
        bool, Meta(description="Keep answers in `cache/` of `home`: they survive a restart.")
    ] = False
    l3_entries: Annotated[
        int, Meta(ge=1, le=1_000_000_000, description="Answers kept on disk at most.")
    ] = 1_000_000
    l3_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 50, description="Bytes of them at most.")] = (
        1 << 30
    )
    l3_ttl: Annotated[Keep, Meta(description="Seconds an answer is kept on disk.")] = 7 * _DAY
    l3_timeout: Annotated[
        Wait, Meta(description="Seconds after which a request goes on without the disk's answer.")
    ] = 0.05
    l3_keep_free: Annotated[
        Size, Meta(description="Bytes of the disk that are left free: nothing is kept below.")
    ] = 512 * 1024 * 1024
    entry_bytes: Annotated[
        int,
        Meta(ge=1024, le=1 << 28, description="The largest answer that L2 and L3 keep."),
    ] = 4 * 1024 * 1024
    compress_above: Annotated[
        Size, Meta(description="Bytes above which an answer is compressed in L2 and L3.")
    ] = 1024
    encrypt: Annotated[
        bool, Meta(description="Encrypt answers in L2 and L3 (AES-256-GCM, key in `home`).")
    ] = False
    semantic: SemanticSettings = SemanticSettings()
    warming: WarmingSettings = WarmingSettings()
