"""The measurements: every operation, on one connection and on many, round after round."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.gateway.process import cpu_seconds
from bench.registry.requests import Size, load
from bench.registry.subject import Running

Say = Callable[[str], None]
CONNECTIONS = (1, 32)
LOOK, LOOKS = 0.5, 40  # seconds between two looks whether a server is idle, and how often
IDLE = 0.08  # of a core at most


@dataclass
class Sample:
    """One run of the load generator against one registry."""

    registry: str
    operation: str
    connections: int
    rps: float
    p50_us: float
    p99_us: float
    busy: float  # CPU time of the server's processes over the time that passed
    cpu_us: float  # the same, for each answered request; PostgreSQL's own is in neither
    later_us: float = 0.0  # CPU time after the last answer, for each: what was put off
    load: dict[str, Any] = field(default_factory=dict)

    @property
    def problem(self) -> str | None:
        """Why this is no measurement."""
        if self.load["errors"]:
            of = f"{self.load['errors']} of {self.load['issued']} requests failed"
            return f"{of}, first: {self.load['said']}"
        return None if self.load["requests"] else "nothing was answered in time"


def sample(
    running: Running, size: Size, operation: str, connections: int, seconds: float, number: int
) -> Sample:
    """Ask one registry for one operation, again and again."""
    fresh = f"new-{number}-{connections}"
    request = running.registry.request(operation, size, fresh)
    cpu, began = cpu_seconds(running.child.pid), time.perf_counter()
    result = load(running.address, request, size, connections, seconds)
    passed, used = time.perf_counter() - began, cpu_seconds(running.child.pid) - cpu
    return Sample(
        registry=running.name,
        operation=operation,
        connections=connections,
        rps=result["rps"],
        p50_us=result["latency"]["p50"],
        p99_us=result["latency"]["p99"],
        busy=round(used / passed, 3),
        cpu_us=round(used * 1e6 / max(1, int(result["answered"])), 1),
        load=result,
    )


def settled(running: Running) -> float:
    """Wait until a registry has nothing to do any more; the seconds of CPU time it took.

    What one puts off must not slow down the other, whose server has the same core.
    """
    begun = before = cpu_seconds(running.child.pid)
    for _ in range(LOOKS):
        time.sleep(LOOK)
        now = cpu_seconds(running.child.pid)
        if now - before < IDLE * LOOK:
            break
        before = now
    return cpu_seconds(running.child.pid) - begun


def interleaved(
    runnings: Sequence[Running],
    size: Size,
    operation: str,
    rounds: int,
    seconds: float,
    say: Say,
) -> list[Sample]:
    """Each registry in turn, round after round: drift of the machine touches them all alike."""
    samples: list[Sample] = []
    failed: set[tuple[str, int]] = set()  # not asked again: its figure fails as a whole
    for number in range(rounds):
        for connections in CONNECTIONS:
            for running in runnings:
                at = (running.name, connections)
                if at in failed:
                    continue
                got = sample(running, size, operation, connections, seconds, number)
                answered = max(1, int(got.load["answered"]))
                got.later_us = round(settled(running) * 1e6 / answered, 1)
                samples.append(got)
                if got.problem:
                    failed.add(at)
                note = got.problem or (
                    f"{got.rps:9,.0f} req/s  p50 {got.p50_us / 1000:8.2f} ms  "
                    f"p99 {got.p99_us / 1000:8.2f} ms  CPU {got.cpu_us / 1000:7.2f} ms, "
                    f"{got.busy:4.0%} of its core, later {got.later_us / 1000:.2f} ms"
                )
                at_what = f"{operation} {number + 1}/{rounds}  {connections:>2}"
                say(f"  {at_what:<24} {running.name:<10} {note}")
    return samples


@dataclass(frozen=True)
class Figures:
    """Medians over the rounds, or why there are none."""

    rps: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    busy: float = 0.0
    cpu_us: float = 0.0
    problem: str = ""


def figures(samples: Sequence[Sample]) -> Figures:
    """The medians of one registry's samples of one operation."""
    if not samples:
        return Figures(problem="not measured")
    if problem := next((one.problem for one in samples if one.problem), None):
        return Figures(problem=problem)
    names = ("rps", "p50_us", "p99_us", "busy", "cpu_us")
    return Figures(**{name: median(getattr(one, name) for one in samples) for name in names})
