"""The levels below the memory, as they are set."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from modelyard.inference.cache.answer_file import AnswerFile
from modelyard.inference.cache.disk import DiskCache
from modelyard.inference.cache.level import Level
from modelyard.inference.cache.levels import Levels
from modelyard.inference.cache.sealing import Sealer
from modelyard.inference.cache.shared import SharedCache
from modelyard.inference.series import LevelCounts
from modelyard.settings import Settings
from modelyard.storage.redis.address import parse
from modelyard.storage.redis.link import Link

FOLDER = "cache"  # of the home folder; it may be deleted whenever no server runs


def open_levels(
    levels: Levels, settings: Settings, home: Path, pepper: bytes, counts: dict[str, LevelCounts]
) -> None:
    """Begin to use L2 and L3, where they are set. ``counts``: what was counted before.

    Nothing is waited for: a level that is not there is skipped until it comes.
    """
    levels.memory.continue_from(counts.setdefault("l1", LevelCounts()))
    cache = settings.cache
    lower: list[Level] = []
    if settings.redis_url is not None and cache.l2:
        lower.append(_shared(settings, pepper, counts.setdefault("l2", LevelCounts())))
    if cache.l3:
        lower.append(_disk(settings, home, counts.setdefault("l3", LevelCounts())))
    most = cache.entry_bytes
    levels.extend(lower, Sealer(cache.compress_above, most, pepper, cache.encrypt))


def _shared(settings: Settings, pepper: bytes, counts: LevelCounts) -> Level:
    assert settings.redis_url is not None
    address = parse(settings.redis_url, settings.redis_ca_file)
    link = Link(address, settings.cache.l2_timeout)
    link.start()
    return SharedCache(link, pepper, settings.cache.l2_ttl, counts)


def _disk(settings: Settings, home: Path, counts: LevelCounts) -> Level:
    cache = settings.cache
    path = home / FOLDER / "answers.db"
    limits = (cache.l3_entries, cache.l3_bytes, cache.l3_keep_free)
    return DiskCache(partial(AnswerFile, path, *limits), cache.l3_ttl, cache.l3_timeout, counts)
