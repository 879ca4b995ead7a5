"""The state of the cache's levels, as status and metrics show it."""

from collections.abc import Iterable, Mapping

from modelyard.gateway.live import CacheState
from modelyard.inference.cache.disk import DiskCache
from modelyard.inference.cache.level import Level
from modelyard.inference.cache.levels import Levels
from modelyard.inference.series import LevelCounts


async def cache_states(
    levels: Levels, workspace: str, counts: Mapping[str, LevelCounts]
) -> dict[str, CacheState]:
    """The levels that are turned on, by name; entries and bytes are the workspace's."""
    states: dict[str, CacheState] = {}
    memory, settings = levels.memory, levels.settings
    if "l1" in levels.names():
        entries, size = memory.count(workspace)
        count = counts.get("l1", LevelCounts())
        states["l1"] = CacheState(
            entries=entries,
            bytes=size,
            utilization=max(memory.entries / memory.max_entries, memory.bytes / memory.max_bytes),
            hits=count.hits,
            misses=count.misses,
            strategy=memory.policy,
            ttl=memory.ttl,
        )
    for level in levels.lower:
        count = counts.get(level.name, LevelCounts())
        held = await level.held(workspace)
        disk = level if isinstance(level, DiskCache) else None
        states[level.name] = CacheState(
            entries=held.entries,
            bytes=held.bytes,
            utilization=None if disk is None else disk.utilization,
            hits=count.hits,
            misses=count.misses,
            errors=count.errors,
            skipped=count.skipped,
            state=level.state,
            trouble=level.trouble,
            ttl=level.ttl,
            compression=settings.compress_above < settings.entry_bytes,
            encryption=settings.encrypt,
            path=None if disk is None else str(disk.path),
        )
    return states


def level_gauges(levels: Iterable[Level]) -> list[tuple[str, str, float]]:
    """Gauges of the levels below the memory."""
    gauges: list[tuple[str, str, float]] = []
    for level in levels:
        text = f"Whether this process uses level {level.name} of the cache."
        gauges.append((f"modelyard_{level.name}_up", text, int(level.state == "up")))
        if isinstance(level, DiskCache):
            entries, size = level.total
            gauges.append(("modelyard_l3_entries", "Answers on disk.", entries))
            gauges.append(("modelyard_l3_bytes", "Bytes of the answers on disk.", size))
    return gauges
