"""Counters of the data plane, in Prometheus' text format (version 0.0.4).

Plain integers in one dictionary: an observation costs about a microsecond. Each process counts
for itself; with several workers (``modelyard.board``) their counts are added when they are read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from modelyard.inference.answer import NO_HIT
from modelyard.inference.series import Counts, Labels, LevelCounts, Series
from modelyard.storage.ledger.record import Record

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
MOST_SERIES = 1_000  # more are counted under the target OTHER: names of models come from outside
OTHER = "(other)"
_LONGEST_TARGET = 200  # characters


class Metrics:
    """The counters of this process; it goes on from ``counts``."""

    def __init__(self, counts: Counts | None = None) -> None:
        counts = counts or Counts()
        self.series = counts.series
        self.ledger_lost = counts.ledger_lost
        self.levels = counts.levels  # of the cache

    def counts(self) -> Counts:
        """What was counted until now; not a copy."""
        return Counts(self.series, self.ledger_lost, self.levels)

    def observe(self, record: Record) -> None:
        """Count one request."""
        labels = (record.surface, record.target or "", record.status, record.cache)
        series = self.series.get(labels)
        if series is None:
            series = self._new(labels)
        seconds = record.seconds
        series.requests += 1
        series.seconds += seconds
        series.buckets[bisect_left(BUCKETS, seconds)] += 1
        series.attempts += len(record.attempts)
        if record.cost is None:
            series.unpriced += 1
        else:
            series.cost += record.cost
        if record.shared or record.cache not in NO_HIT:
            series.shared += record.shared
            series.saved += record.saved or 0
        else:
            series.input_tokens += record.input_tokens
            series.output_tokens += record.output_tokens

    def _new(self, labels: Labels) -> Series:
        surface, target, status, cache = labels
        if len(self.series) >= MOST_SERIES or len(target) > _LONGEST_TARGET:
            labels = (surface, OTHER, status, cache)
        return self.series.setdefault(labels, _empty())


def _empty() -> Series:
    return Series(buckets=[0] * (len(BUCKETS) + 1))


_COUNTERS = (
    ("requests", "modelyard_requests_total", "Requests settled.", 1.0),
    ("input_tokens", "modelyard_input_tokens_total", "Prompt tokens paid for.", 1.0),
    ("output_tokens", "modelyard_output_tokens_total", "Generated tokens paid for.", 1.0),
    ("cost", "modelyard_cost_usd_total", "Cost of upstream calls, USD.", 1e-9),
    ("saved", "modelyard_saved_usd_total", "Cost saved by cache and flights, USD.", 1e-9),
    ("unpriced", "modelyard_unpriced_requests_total", "Requests without a known price.", 1.0),
    ("shared", "modelyard_shared_requests_total", "Requests that shared a flight.", 1.0),
    ("attempts", "modelyard_upstream_attempts_total", "Upstream attempts.", 1.0),
)


def render(counts: Counts, gauges: Iterable[tuple[str, str, float]]) -> str:
    """The exposition of counters and of gauges (name, help, value)."""
    lines: list[str] = []
    for name, text, value in gauges:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", f"{name} {value}"]
    name = "modelyard_ledger_lost_records_total"
    text = "Failed requests whose record could not be written."
    lines += [f"# HELP {name} {text}", f"# TYPE {name} counter", f"{name} {counts.ledger_lost}"]
    for field, name, text, unit in _COUNTERS:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} counter"]
        for labels, one in counts.series.items():
            value = getattr(one, field)
            lines.append(f"{name}{{{_labels(labels)}}} {value * unit if unit != 1.0 else value}")
    lines += _levels(counts.levels)
    name = "modelyard_request_seconds"
    lines += [f"# HELP {name} Time from arrival to settlement.", f"# TYPE {name} histogram"]
    for labels, one in counts.series.items():
        lines += _histogram(name, _labels(labels), one)
    return "\n".join(lines) + "\n"


def merge(parts: Iterable[Counts]) -> Counts:
    """The sum of several processes' counters."""
    total = Counts({}, levels={})
    for part in parts:
        total.ledger_lost += part.ledger_lost
        for name, level in part.levels.items():
            sums = total.levels.setdefault(name, LevelCounts())
            for field in LevelCounts.__struct_fields__:
                setattr(sums, field, getattr(sums, field) + getattr(level, field))
        for labels, one in part.series.items():
            into = total.series.setdefault(labels, _empty())
            for field in Series.__struct_fields__:
                if field != "buckets":
                    setattr(into, field, getattr(into, field) + getattr(one, field))
            into.buckets = [a + b for a, b in zip(into.buckets, one.buckets, strict=True)]
    return total


_LEVEL_COUNTERS = (
    ("hits", "Answers that a level of the cache gave."),
    ("misses", "Answers that a level of the cache was asked for and did not have."),
    ("errors", "Times a level of the cache failed, was too late, or held what cannot be read."),
    ("skipped", "Times a level of the cache was not used, as it was failing or full."),
)


def _levels(levels: dict[str, LevelCounts]) -> list[str]:
    lines: list[str] = []
    for field, text in _LEVEL_COUNTERS:
        name = f"modelyard_cache_{field}_total"
        lines += [f"# HELP {name} {text}", f"# TYPE {name} counter"]
        lines += [f'{name}{{level="{one}"}} {getattr(levels[one], field)}' for one in levels]
    return lines


def _histogram(name: str, labels: str, one: Series) -> list[str]:
    lines, total = [], 0
    for bound, count in zip((*BUCKETS, "+Inf"), one.buckets, strict=True):
        total += count
        lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {total}')
    return [
        *lines,
        f"{name}_sum{{{labels}}} {one.seconds:.6f}",
        f"{name}_count{{{labels}}} {one.requests}",
    ]


def _labels(labels: Labels) -> str:
    names = ("surface", "target", "status", "cache")
    return ",".join(f'{n}="{_escape(v)}"' for n, v in zip(names, labels, strict=True))


def _escape(value: Any) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
