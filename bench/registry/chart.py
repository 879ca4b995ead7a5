"""The chart: throughput of every operation, both registries beside each other."""

from collections.abc import Sequence

from bench.gateway.chart import COLOURS, OTHER, Bar, picture
from bench.registry.results import Line


def draw(lines: Sequence[Line], note: str) -> str:
    """A panel for each database and number of connections."""
    places = list(dict.fromkeys((line.database, line.connections) for line in lines))
    panels = []
    for database, connections in sorted(places, key=lambda at: (at[0] != "sqlite", at[1])):
        bars: list[Bar] = []
        for line in lines:
            if (line.database, line.connections) != (database, connections):
                continue
            if line.ours.rps:
                bars.append((line.operation, line.ours.rps, COLOURS["modelyard"]))
            if line.theirs.rps:
                bars.append(("MLflow", line.theirs.rps, OTHER))
        many = "one connection" if connections == 1 else f"{connections} connections"
        panels.append((f"{database}, {many} (higher is better)", "req/s", bars))
    return picture(panels, note)
