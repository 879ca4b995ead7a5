"""Precision by recall as plain SVG, a line for each verifier; recall on a logarithmic scale."""

import math
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 560, 300, 60, 40, 20, 44
LEAST = 0.003  # of recall
LOW = 0.6  # of precision
COLOURS = ("#6b7280", "#c2873a", "#059669", "#2563eb", "#7c3aed", "#db2777")
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2937 }
.title { font-weight: 600; font-size: 14px } .axis { font-size: 11px; fill: #6b7280 }
.grid { stroke: #e5e7eb } .line { fill: none; stroke-width: 1.8 }
"""


def x(recall: float) -> float:
    return LEFT + WIDTH * (1 - math.log(recall) / math.log(LEAST))


def y(precision: float) -> float:
    return TOP + HEIGHT * (1 - precision) / (1 - LOW)


def draw(found: dict[str, Any]) -> str:
    """The whole chart."""
    lines, legend = [], []
    for number, (name, one) in enumerate(found.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(
            f"{x(recall):.1f},{y(precision):.1f}"
            for _, precision, recall in one["curve"]
            if recall >= LEAST and precision >= LOW
        )
        lines.append(f'<polyline points="{points}" class="line" stroke="{colour}"/>')
        at = LEFT + number * 140
        legend.append(
            f'<line x1="{at}" x2="{at + 16}" y1="{TOP + HEIGHT + 58}" y2="{TOP + HEIGHT + 58}" '
            f'stroke="{colour}" stroke-width="3"/>'
            f'<text x="{at + 22}" y="{TOP + HEIGHT + 62}">{escape(name)}</text>'
        )
    total, height = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM + 34
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" width="{total}" '
        f'height="{height}"><style>{STYLE}</style><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{LEFT}" y="24" class="title">Hits that are right, by the share of duplicates '
        f"found</text>{_grid()}{''.join(lines)}{''.join(legend)}</svg>\n"
    )


def _grid() -> str:
    parts = []
    for step in range(5):
        value = LOW + step * (1 - LOW) / 4
        parts.append(
            f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'class="grid"/><text x="{LEFT - 6}" y="{y(value) + 4:.1f}" class="axis" '
            f'text-anchor="end">{value:.0%}</text>'
        )
    parts += [
        f'<text x="{x(recall):.1f}" y="{TOP + HEIGHT + 18}" class="axis" '
        f'text-anchor="middle">{recall:.1%}</text>'
        for recall in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    ]
    middle = LEFT + WIDTH / 2
    parts.append(
        f'<text x="{middle}" y="{TOP + HEIGHT + 36}" class="axis" text-anchor="middle">'
        "duplicates found (recall)</text>"
    )
    return "".join(parts)
