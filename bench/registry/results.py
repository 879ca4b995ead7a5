"""Figures and verdicts: what is asked for beside what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.registry.measures import CONNECTIONS, Figures, Sample, figures
from bench.registry.requests import OPERATIONS

AT_LEAST, AIM = 10.0, 30.0  # times MLflow's throughput
GET_MS = 5.0  # p99 of a get at 32 connections


@dataclass(frozen=True)
class Line:
    """One operation at one number of connections."""

    database: str
    operation: str
    connections: int
    ours: Figures
    theirs: Figures
    ratio: float | None

    @property
    def verdict(self) -> str:
        if self.ours.problem:
            return "not measured" if self.ours.problem == "not measured" else "FAILED"
        if self.ratio is None:
            return "–"
        if self.ratio >= AIM:
            return "aim reached"
        return "enough" if self.ratio >= AT_LEAST else "MISSED"


def lines(database: str, samples: Sequence[Sample]) -> list[Line]:
    """A line for everything that was measured on a database."""
    made = []
    for operation in OPERATIONS:
        for connections in CONNECTIONS:
            both = [s for s in samples if (s.operation, s.connections) == (operation, connections)]
            if not both:
                continue
            ours = [one for one in both if one.registry == "modelyard"]
            theirs = [one for one in both if one.registry == "mlflow"]
            made.append(
                Line(
                    database=database,
                    operation=operation,
                    connections=connections,
                    ours=figures(ours),
                    theirs=figures(theirs),
                    ratio=_ratio(ours, theirs),
                )
            )
    return made


def _ratio(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float | None:
    """The median of the ratios within the rounds."""
    if figures(ours).problem or figures(theirs).problem:
        return None
    return round(median(a.rps / b.rps for a, b in zip(ours, theirs, strict=True)), 1)


@dataclass(frozen=True)
class Get:
    """How long a get takes while 32 are asked at a time."""

    database: str
    p99_ms: float

    @property
    def verdict(self) -> str:
        return "enough" if self.p99_ms <= GET_MS else "MISSED"


def gets(all_lines: Sequence[Line]) -> list[Get]:
    """The times of a get that are asked for."""
    return [
        Get(line.database, round(line.ours.p99_us / 1000, 2))
        for line in all_lines
        if line.operation == "get" and line.connections == 32 and not line.ours.problem
    ]


def table(all_lines: Sequence[Line]) -> str:
    """What was measured, as Markdown: a table for each database."""
    parts = []
    for database in dict.fromkeys(line.database for line in all_lines):
        head = [
            f"| {database} | connections | Modelyard req/s | p50, p99 ms | CPU ms "
            "| MLflow req/s | p50, p99 ms | CPU ms | ratio | |",
            "|" + "---|" * 10,
        ]
        rows = [_row(line) for line in all_lines if line.database == database]
        parts.append("\n".join([*head, *rows]))
    return "\n\n".join(parts)


def _row(line: Line) -> str:
    ratio = "–" if line.ratio is None else f"{line.ratio:.1f} ×"
    what = f"| {line.operation} | {line.connections}"
    return f"{what} | {_cells(line.ours)} | {_cells(line.theirs)} | {ratio} | {line.verdict} |"


def _cells(figure: Figures) -> str:
    if figure.problem:
        return ("–" if figure.problem == "not measured" else "fails") + " | – | –"
    times = f"{figure.p50_us / 1000:.2f}, {figure.p99_us / 1000:.2f}"
    return f"{figure.rps:,.0f} | {times} | {figure.cpu_us / 1000:.2f}"


def notes(all_lines: Sequence[Line]) -> list[str]:
    """What should be known to read the figures."""
    said = []
    for line in all_lines:
        what = f"{line.operation} at {line.connections} on {line.database}"
        for name, figure in (("modelyard", line.ours), ("mlflow", line.theirs)):
            if figure.problem and figure.problem != "not measured":
                said.append(f"{name}, {what}: {figure.problem}")
    busy = {
        name: median(shares)
        for name in ("modelyard", "mlflow")
        if (
            shares := [
                (line.ours if name == "modelyard" else line.theirs).busy
                for line in all_lines
                if line.connections == 32 and line.database == "sqlite"
            ]
        )
    }
    for name, share in busy.items():
        if share and share < 0.8:
            said.append(
                f"{name} used {share:.0%} of its core at 32 connections on SQLite (median of the "
                "operations): it waited for the disk, or other work took the core."
            )
    return said
