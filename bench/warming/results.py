"""Figures of several seeds as means with intervals, and what they say."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, sqrt
from statistics import mean, stdev

# Student's t, 97.5 %, by degrees of freedom.
_T = (0.0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class Run:
    """One policy on one workload. Money in USD a day of the second half, time in minutes a day."""

    kind: str
    seed: int
    policy: str
    budget: float  # USD a day
    requests: int
    hit_rate: float
    more_hits: float  # hit rate above that without warming
    saved: float  # fewer paid for misses than without warming
    spent: float
    waiting: float  # fewer minutes waited than without warming
    most_in_a_day: float  # USD spent
    used: float  # part of the warm answers that were asked for; nan: not told
    told: float  # saved, as the learner's own account says; nan: it has none


@dataclass(frozen=True)
class Figure:
    """A mean over seeds, and half its 95 % interval."""

    mean: float
    half: float

    def show(self, form: str = ".2f") -> str:
        return "–" if isnan(self.mean) else f"{self.mean:{form}} ± {self.half:{form}}"


def figure(values: Sequence[float]) -> Figure:
    """The mean, with an interval by Student's t."""
    if len(values) < 2 or any(map(isnan, values)):
        return Figure(values[0], 0.0)
    t = _T[min(len(values) - 1, len(_T) - 1)]
    return Figure(mean(values), t * stdev(values) / sqrt(len(values)))


@dataclass(frozen=True)
class Line:
    """All seeds of one policy, budget and kind of workload."""

    kind: str
    policy: str
    budget: float
    hit_rate: Figure
    more_hits: Figure
    saved: Figure
    spent: Figure
    net: Figure
    waiting: Figure
    most_in_a_day: float
    used: float
    told: float


def lines(runs: Sequence[Run]) -> list[Line]:
    """One for each kind, policy and budget, in the order of the runs."""
    groups: dict[tuple[str, str, float], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.kind, run.policy, run.budget), []).append(run)
    return [
        Line(
            kind=kind,
            policy=policy,
            budget=budget,
            hit_rate=figure([run.hit_rate for run in group]),
            more_hits=figure([run.more_hits for run in group]),
            saved=figure([run.saved for run in group]),
            spent=figure([run.spent for run in group]),
            net=figure([run.saved - run.spent for run in group]),
            waiting=figure([run.waiting for run in group]),
            most_in_a_day=max(run.most_in_a_day for run in group),
            used=mean(run.used for run in group),
            told=mean(run.told for run in group),
        )
        for (kind, policy, budget), group in groups.items()
    ]


def table(made: Sequence[Line]) -> str:
    """What was found, as Markdown."""
    head = (
        "| workload | policy | budget USD/day | hit rate % | gain, points | saved USD/day "
        "| spent USD/day | net USD/day | minutes of waiting saved a day | used % |\n" + "|---" * 10
    )
    rows = [
        f"| {one.kind} | {one.policy} | {one.budget:g} | {percent(one.hit_rate)} "
        f"| {percent(one.more_hits)} | {one.saved.show()} | {one.spent.show()} | {one.net.show()} "
        f"| {one.waiting.show('.1f')} | {'–' if isnan(one.used) else f'{100 * one.used:.0f}'} |"
        for one in made
    ]
    return "\n".join([head + "|", *rows])


def percent(one: Figure) -> str:
    return Figure(100 * one.mean, 100 * one.half).show(".1f")
