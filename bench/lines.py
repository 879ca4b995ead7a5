"""A chart of lines as plain SVG: one panel per database, on logarithmic scales."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 320, 300, 66, 44, 34, 40
COLOURS = (
    "#2563eb", "#c2873a", "#059669", "#7c3aed", "#db2777", "#6b7280",
    "#0891b2", "#ca8a04", "#dc2626", "#65a30d", "#111827", "#f472b6",
    "#93c5fd", "#854d0e", "#34d399", "#a78bfa", "#fb7185", "#a3a3a3",
)  # fmt: skip
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2937 }
.title { font-weight: 600; font-size: 14px } .axis { font-size: 11px; fill: #6b7280 }
.grid { stroke: #e5e7eb } .line { fill: none; stroke-width: 1.8 }
"""

Results = dict[str, dict[str, dict[str, dict[str, float]]]]  # database, question, rows, figure


def draw(results: Results, figure: str) -> str:
    """Milliseconds by rows, a line for each question."""
    values = [
        one[figure] for found in results.values() for by in found.values() for one in by.values()
    ]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    panels = [
        _panel(name, found, figure, (low, high), number * (WIDTH + LEFT + RIGHT))
        for number, (name, found) in enumerate(results.items())
    ]
    names = list(next(iter(results.values())))
    total = len(results) * (WIDTH + LEFT + RIGHT)
    legend = "\n".join(_entry(name, at, total) for at, name in enumerate(names))
    height = TOP + HEIGHT + BOTTOM + 20 * math.ceil(len(names) / 3) + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" width="{total}" '
        f'height="{height}"><style>{STYLE}</style><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(panels)}{legend}</svg>\n"
    )


def _panel(
    name: str,
    found: dict[str, dict[str, dict[str, float]]],
    figure: str,
    span: tuple[int, int],
    left: int,
) -> str:
    sizes = [int(size) for size in next(iter(found.values()))]
    first, last = math.log10(min(sizes)), math.log10(max(sizes))

    def x(size: float) -> float:
        return left + LEFT + WIDTH * (math.log10(size) - first) / ((last - first) or 1)

    def y(value: float) -> float:
        return TOP + HEIGHT * (1 - (math.log10(value) - span[0]) / (span[1] - span[0]))

    parts = [f'<text x="{left + LEFT}" y="24" class="title">{escape(name)}: a page, median</text>']
    for decade in range(span[0], span[1] + 1):
        at = y(10.0**decade)
        parts.append(
            f'<line x1="{left + LEFT}" x2="{left + LEFT + WIDTH}" y1="{at:.1f}" y2="{at:.1f}" '
            f'class="grid"/><text x="{left + LEFT - 6}" y="{at + 4:.1f}" class="axis" '
            f'text-anchor="end">{10.0**decade:g} ms</text>'
        )
    parts += [
        f'<text x="{x(size):.1f}" y="{TOP + HEIGHT + 18}" class="axis" text-anchor="middle">'
        f"{size:,}</text>"
        for size in sizes
    ]
    for number, by in enumerate(found.values()):
        points = " ".join(f"{x(int(size)):.1f},{y(one[figure]):.1f}" for size, one in by.items())
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline points="{points}" class="line" stroke="{colour}"/>')
    return "\n".join(parts)


def _entry(name: str, at: int, total: int) -> str:
    x, y = LEFT + at % 3 * (total - LEFT) / 3, TOP + HEIGHT + BOTTOM + 20 * (at // 3)
    colour = COLOURS[at % len(COLOURS)]
    return (
        f'<line x1="{x:.0f}" x2="{x + 20:.0f}" y1="{y - 4:.0f}" y2="{y - 4:.0f}" '
        f'stroke="{colour}" stroke-width="3"/>'
        f'<text x="{x + 26:.0f}" y="{y:.0f}">{escape(name)}</text>'
    )
