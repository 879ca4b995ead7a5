"""What is counted, as it travels between processes."""

from msgspec import Struct

Labels = tuple[str, str, int, str]  # surface, target, status, cache


class Series(Struct, array_like=True):
    """What is counted for one set of labels. Money in nano-dollars."""

    requests: int = 0
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    saved: int = 0
    unpriced: int = 0
    shared: int = 0
    attempts: int = 0
    buckets: list[int] = []


class LevelCounts(Struct, array_like=True):
    """What one level of the cache did. ``skipped``: not asked, because it was failing."""

    hits: int = 0
    misses: int = 0
    errors: int = 0
    skipped: int = 0


class Counts(Struct, array_like=True):
    """All that was counted."""

    series: dict[Labels, Series] = {}
    ledger_lost: int = 0  # failed requests whose record could not be written
    levels: dict[str, LevelCounts] = {}  # by the level's name
