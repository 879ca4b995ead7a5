"""The chart: throughput of every operation, both registries beside each other."""

from collections.abc import Sequence

from bench.gateway.chart import COLOURS, OTHER, Bar, picture
from bench.registry.measures import CONNECTIONS
from bench.registry.results import Line

MANY = CONNECTIONS[-1]
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "postgresql-second": "PostgreSQL, later"}


def draw(lines: Sequence[Line], note: str) -> str:
    """A panel for each database, with what was measured on many connections."""
    panels = []
    for database in dict.fromkeys(line.database for line in lines):
        bars: list[Bar] = []
        for line in lines:
            if (line.database, line.connections) != (database, MANY):
                continue
            if line.ours.rps:
                bars.append((line.operation, line.ours.rps, COLOURS["modelyard"]))
            if line.theirs.rps:
                bars.append(("MLflow", line.theirs.rps, OTHER))
        title = f"{NAMES[database]}, {MANY} connections (higher is better)"
        panels.append((title, "req/s", bars))
    return picture(panels, note)
