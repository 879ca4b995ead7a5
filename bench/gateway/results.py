"""Figures and verdicts: what the issue asks for beside what was measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.gateway.measures import Growth, Sample, Started, medians

Rounds = list[list[Sample]]


@dataclass(frozen=True)
class Row:
    """One line of the table. ``measured`` is None where there is no figure; ``why`` says why."""

    measure: str
    unit: str
    at_least: float | None
    aim: float | None
    measured: float | None
    why: str = ""
    less_is_better: bool = False

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return self.why or "not measured"
        if self.at_least is None or self.aim is None:
            return "–"
        if self._reaches(self.aim):
            return "aim reached"
        return "enough" if self._reaches(self.at_least) else "MISSED"

    @property
    def missed(self) -> bool:
        """A figure that was asked for and is not good enough, or is none after a failed run."""
        return self.verdict == "MISSED" or self.why.startswith("failed")

    def _reaches(self, limit: float) -> bool:
        assert self.measured is not None
        return self.measured <= limit if self.less_is_better else self.measured >= limit


@dataclass
class Results:
    """Everything that was measured in one run."""

    throughput: Rounds
    latency: Rounds
    stream: Rounds
    translated: Rounds = field(default_factory=list)
    started: Started | None = None
    growth: Growth | None = None


def paired(
    rounds: Rounds, one: str, other: str, compare: Callable[[Sample, Sample], float]
) -> tuple[float | None, str]:
    """The median over the rounds of a comparison within each round, or why there is none."""
    if not rounds:
        return None, "not measured"
    for name in (one, other):
        figures = medians(rounds, name)
        if not figures:
            return None, f"not measured: no {name}"
        if "problem" in figures:
            return None, f"failed: {name}: {figures['problem']}"
    compared = []
    for one_round in rounds:
        named = {s.gateway: s for s in one_round}
        compared.append(compare(named[one], named[other]))
    return median(compared), ""


def _throughput(rounds: Rounds) -> Iterator[Row]:
    def times(a: Sample, b: Sample) -> float:
        return a.rps / b.rps

    value, why = paired(rounds, "modelyard", "nginx", times)
    share = None if value is None else round(value * 100, 1)
    yield Row("throughput at 32 connections, of nginx's", "%", 12, 25, share, why)
    asked: list[tuple[str, str, float | None, float | None]] = [
        ("tensorzero", "against TensorZero", 1.7, 3.5),
        ("litellm", "against LiteLLM", 100, 200),
        ("portkey", "against Portkey", None, None),
    ]
    for name, title, at_least, aim in asked:
        value, why = paired(rounds, "modelyard", name, times)
        ratio = None if value is None else round(value, 2)
        yield Row(title, "×", at_least, aim, ratio, why)


def _latency(rounds: Rounds) -> Row:
    value, why = paired(rounds, "modelyard", "nginx", lambda a, b: (a.p50_us - b.p50_us) / 1000)
    value = None if value is None else round(value, 3)
    return Row("p50 at one connection minus nginx's", "ms", 0.25, 0.1, value, why, True)


def _stream(rounds: Rounds) -> Row:
    figures = medians(rounds, "modelyard")
    why = "" if figures else "not measured"
    if "problem" in figures:
        why = f"failed: {figures['problem']}"
    value = figures.get("cpu_us_per_chunk")
    return Row("CPU per streamed chunk (paced, 100 chunks)", "µs", 30, 20, value, why, True)


def _translated(rounds: Rounds) -> Row:
    value, why = paired(rounds, "translated", "passed", lambda a, b: a.cpu_us / b.cpu_us)
    value = None if value is None else round(value, 2)
    return Row("CPU of a translated call, of a passed-through one's", "×", 1.5, 1.25, value, why,
               True)  # fmt: skip


def _starts(started: Started | None) -> Iterator[Row]:
    for label in ("fresh", "existing"):
        taken = getattr(started, label) if started else []
        value = round(median(taken), 3) if taken else None
        why = "" if taken else "not measured"
        yield Row(f"start to first answer, {label} home", "s", 2, 1, value, why, True)


def _memory(grown: Growth | None) -> Iterator[Row]:
    idle = round(grown.idle.rss / 1e6, 1) if grown else None
    percent = round(grown.percent, 1) if grown and not grown.problem else None
    why = "" if grown else "not measured"
    yield Row("memory idle", "MB", 120, 80, idle, why, True)
    if grown and grown.problem:
        why = f"failed: {grown.problem}"
    more = grown.more_requests if grown else 200_000
    yield Row(f"growth over {more:,} requests once L1 is full", "%", 5, 0, percent, why, True)


def rows(results: Results) -> list[Row]:
    """The table of the issue."""
    return [
        *_throughput(results.throughput),
        _latency(results.latency),
        _stream(results.stream),
        _translated(results.translated),
        *_starts(results.started),
        *_memory(results.growth),
    ]


def number(value: float | None, unit: str) -> str:
    """A figure with its unit."""
    return "" if value is None else f"{value:g} {unit}".replace(" %", "%")


def table(lines: list[list[str]]) -> str:
    """Columns that line up."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rule = ["-" * width for width in widths]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [lines[0], rule, *lines[1:]]
    ]
    return "\n".join(padded)


def verdicts(all_rows: list[Row]) -> str:
    """The table with verdicts, as text."""
    lines = [["measure", "at least", "aim", "measured", "verdict"]]
    for row in all_rows:
        limits = [number(limit, row.unit) for limit in (row.at_least, row.aim)]
        if row.less_is_better:
            limits = [f"≤ {limit}" for limit in limits]
        lines.append([row.measure, *limits, number(row.measured, row.unit), row.verdict])
    return table(lines)


def overview(results: Results, names: list[str]) -> dict[str, dict[str, Any]]:
    """The medians of each gateway by measure."""
    measured = {
        "throughput": results.throughput,
        "latency": results.latency,
        "stream": results.stream,
    }
    return {name: {what: medians(r, name) for what, r in measured.items()} for name in names}


def notes(by_name: dict[str, dict[str, Any]]) -> list[str]:
    """What a reader of the figures must know about this run."""
    said = []
    for name, measured in by_name.items():
        busy = measured["throughput"].get("busy", 1.0)
        if busy < 0.85:
            said.append(
                f"{name} used {busy:.0%} of its core only: the load generator, the upstream or "
                "something else on this machine was the limit, so its throughput is understated."
            )
    return said


def side_by_side(by_name: dict[str, dict[str, Any]], facts: dict[str, dict[str, Any]]) -> str:
    """Every gateway's medians beside each other, as text."""
    head = ["gateway", "version", "req/s", "of nginx", "CPU/req", "of nginx", "p50 at 1"]
    lines = [[*head, "CPU/chunk", "first chunk", "idle RSS", "PSS", "start"]]
    yardstick = by_name.get("nginx", {}).get("throughput", {})
    for name, measured in by_name.items():
        many, one, stream = measured["throughput"], measured["latency"], measured["stream"]
        rps, cpu = many.get("rps"), many.get("cpu_us")
        chunk, first = stream.get("cpu_us_per_chunk"), stream.get("first_chunk_p50_us")
        own = facts[name]
        lines.append(
            [
                name,
                own["version"],
                f"{rps:,.0f}" if rps else "",
                f"{rps / yardstick['rps']:.2%}" if rps and "rps" in yardstick else "",
                f"{cpu:,.0f} µs" if cpu else "",
                f"{yardstick['cpu_us'] / cpu:.2%}" if cpu and "rps" in yardstick else "",
                f"{one['p50_us']:,.0f} µs" if "p50_us" in one else "",
                f"{chunk:.1f} µs" if chunk else ("failed" if "problem" in stream else ""),
                f"{first:,.0f} µs" if first else "",
                f"{own['idle_rss'] / 1e6:.0f} MB",
                f"{own['idle_pss'] / 1e6:.0f} MB" if own["idle_pss"] else "",
                f"{own['start_seconds']:.2f} s",
            ]
        )
    return table(lines)
