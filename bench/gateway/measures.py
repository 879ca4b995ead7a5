"""The measurements. Each returns samples; `results.py` makes figures of them."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.gateway.ours import Modelyard
from bench.gateway.process import Memory, cpu_seconds, memory
from bench.gateway.rig import CHUNKS, MESSAGES, Loading, Route, Upstream, load
from bench.gateway.subject import Running, start

Say = Callable[[str], None]


@dataclass
class Sample:
    """One run of the load generator against one gateway."""

    gateway: str
    rps: float
    p50_us: float
    p99_us: float
    answered: int
    upstream: int  # what the upstream counted
    busy: float  # CPU time of the gateway's processes over the time that passed
    cpu_us: float  # the same, for each answered request
    load: dict[str, Any] = field(default_factory=dict)

    @property
    def problem(self) -> str | None:
        """Why this sample is no measurement: errors, or the upstream counted otherwise."""
        if self.load["errors"]:
            return f"{self.load['errors']} errors, first: {self.load['said']}"
        if not self.load["requests"]:
            return "nothing was answered in time"
        if self.upstream != self.answered:
            return f"the upstream counted {self.upstream}, the load generator {self.answered}"
        return None


def sample(
    running: Running, upstream: Upstream, how: Loading, route: Route | None = None
) -> Sample:
    """Runs the load and compares its count with the upstream's."""
    upstream.rest()
    upstream.reset()
    cpu, began = cpu_seconds(running.pid), time.perf_counter()
    result = load(route or running.route, how)
    passed, used = time.perf_counter() - began, cpu_seconds(running.pid) - cpu
    answered = int(result["answered"])
    return Sample(
        gateway=running.gateway.name,
        rps=result["rps"],
        p50_us=result["latency"]["p50"],
        p99_us=result["latency"]["p99"],
        answered=answered,
        upstream=upstream.count(),
        busy=round(used / passed, 3),
        cpu_us=round(used * 1e6 / max(1, answered), 2),
        load=result,
    )


def interleaved(
    gateways: list[Running], upstream: Upstream, how: Loading, rounds: int, what: str, say: Say
) -> list[list[Sample]]:
    """Each gateway in turn, round after round: drift of the machine touches them all alike."""
    all_rounds: list[list[Sample]] = []
    failed: set[str] = set()  # not asked again: its figure fails as a whole
    for number in range(rounds):
        all_rounds.append([])
        for running in gateways:
            name = running.gateway.name
            if name in failed:
                continue
            got = sample(running, upstream, how)
            all_rounds[-1].append(got)
            if got.problem:
                failed.add(name)
            note = got.problem or describe(got, how)
            say(f"  {what} {number + 1}/{rounds}  {name:<11} {note}")
    return all_rounds


def describe(got: Sample, how: Loading) -> str:
    """One line about a sample."""
    if how.stream:
        added = got.load["added_per_chunk"]
        return (
            f"{got.cpu_us / CHUNKS:8.1f} µs CPU a chunk, first chunk "
            f"{got.load['first_chunk']['p50']} µs, added to each {added['p50']} µs"
        )
    return f"{got.rps:10,.0f} req/s  p50 {got.p50_us:8,.0f} µs  {got.busy:4.0%} of its core"


def translated(
    running: Running, upstream: Upstream, how: Loading, rounds: int, say: Say
) -> list[list[Sample]]:
    """Calls that pass through, and calls of another dialect's clients, in turn."""
    routes = {
        "passed": running.route,
        "translated": replace(running.route, path="/v1/messages", template=MESSAGES),
    }
    all_rounds: list[list[Sample]] = []
    for number in range(rounds):
        all_rounds.append([])
        for name, route in routes.items():
            got = replace(sample(running, upstream, how, route), gateway=name)
            all_rounds[-1].append(got)
            note = got.problem or f"{describe(got, how)}, {got.cpu_us:.1f} µs CPU"
            say(f"  translated {number + 1}/{rounds}  {name:<11} {note}")
    return all_rounds


@dataclass
class Started:
    """Seconds from start to first answer, each time."""

    fresh: list[float]
    existing: list[float]


def starts(upstream: Upstream, folder: Path, times: int, say: Say) -> Started:
    """Starts the project again and again: with a home of its own, then with one that exists."""
    fresh: list[float] = []
    existing: list[float] = []
    gateway = Modelyard()
    for number in range(times):
        home = folder / f"start-{number}"
        for taken, label in ((fresh, "fresh"), (existing, "existing")):
            running = start(gateway, upstream, home)
            running.child.stop()
            taken.append(round(running.start_seconds, 4))
            say(f"  start {number + 1}/{times}  {label} home: {taken[-1]:.3f} s")
    return Started(fresh, existing)


@dataclass
class Growth:
    """Memory of the project: idle, once L1 is full, and after many more requests."""

    idle: Memory
    full: Memory
    after: Memory
    fill_requests: int
    more_requests: int
    problem: str | None

    @property
    def percent(self) -> float:
        return (self.after.rss / self.full.rss - 1) * 100


def settled_memory(pid: int, seconds: float = 4.0) -> Memory:
    """The median of five readings, after what is written behind has been written."""
    time.sleep(seconds)
    readings = []
    for _ in range(5):
        readings.append(memory(pid))
        time.sleep(0.2)
    return sorted(readings, key=lambda m: m.rss)[2]


def growth(upstream: Upstream, folder: Path, fill: int, more: int, say: Say) -> Growth:
    """Fills L1 (its default holds 10,000 answers), then sends ``more`` different requests."""
    gateway = Modelyard()
    running = start(gateway, upstream, folder / "memory")
    try:
        route = gateway.limited(running.route)
        idle = settled_memory(running.pid)
        say(f"  memory idle: {idle.rss / 1e6:.1f} MB")
        samples, read = [], []
        for requests in (fill, more):
            samples.append(sample(running, upstream, Loading(32, requests=requests), route))
            read.append(settled_memory(running.pid))
            say(f"  memory after {requests:,} requests: {read[-1].rss / 1e6:.1f} MB")
        problem = next((s.problem for s in samples if s.problem), None)
        return Growth(idle, read[0], read[1], fill, more, problem)
    finally:
        running.child.stop()


def medians(rounds: list[list[Sample]], name: str) -> dict[str, Any]:
    """The medians of one gateway's samples, and why they are none."""
    own = [s for one_round in rounds for s in one_round if s.gateway == name]
    if not own:
        return {}
    problem = next((s.problem for s in own if s.problem), None)
    if problem:
        return {"problem": problem}
    figures: dict[str, Any] = {
        f: median(getattr(s, f) for s in own) for f in ("rps", "p50_us", "p99_us", "busy", "cpu_us")
    }
    if "events" in own[0].load:
        figures["cpu_us_per_chunk"] = round(figures["cpu_us"] / CHUNKS, 2)
        for key in ("first_chunk", "added_per_chunk"):
            figures[key + "_p50_us"] = median(s.load[key]["p50"] for s in own)
    return figures


def as_json(rounds: list[list[Sample]]) -> list[list[dict[str, Any]]]:
    """Every sample, for the record."""
    return [[asdict(s) for s in one_round] for one_round in rounds]
