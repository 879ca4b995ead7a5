"""The sweep of the budget as plain SVG: hit rate, and money, with intervals."""

import math
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from bench.lines import COLOURS, STYLE
from bench.warming.results import Figure, Line

WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 250, 60, 46, 70
Series = tuple[str, list[tuple[float, Figure]]]


def draw(made: Sequence[Line], none: Figure, note: str) -> str:
    """Two panels over the daily budget."""
    policies = list(dict.fromkeys(one.policy for one in made))
    budgets = sorted({one.budget for one in made})

    def of(policy: str, value: Callable[[Line], Figure]) -> list[tuple[float, Figure]]:
        found = [(one.budget, value(one)) for one in made if one.policy == policy]
        return sorted(found, key=lambda point: point[0])

    rates: list[Series] = [
        (name, of(name, lambda one: _hundred(one.hit_rate))) for name in policies
    ]
    rates.append(("none", [(budget, _hundred(none)) for budget in budgets]))
    money: list[Series] = [
        ("planner: spent", of("planner", lambda one: one.spent)),
        ("planner: saved", of("planner", lambda one: one.saved)),
        ("refresh ahead: spent", of("refresh ahead", lambda one: one.spent)),
        ("refresh ahead: saved", of("refresh ahead", lambda one: one.saved)),
    ]
    total = 2 * (WIDTH + LEFT) + GAP
    height = TOP + HEIGHT + 60 + 20 * len(rates)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" width="{total}" '
        f'height="{height}"><style>{STYLE}</style><rect width="100%" height="100%" fill="white"/>'
        f"{_panel('Hit rate, %', rates, 0)}{_panel('USD a day', money, WIDTH + LEFT + GAP)}"
        f'<text x="8" y="{height - 8}" class="axis">{escape(note)}</text></svg>\n'
    )


def _hundred(one: Figure) -> Figure:
    return Figure(100 * one.mean, 100 * one.half)


def _panel(title: str, series: Sequence[Series], left: int) -> str:
    xs = [math.log10(x) for _, points in series for x, _ in points]
    top = 1.08 * max(one.mean + one.half for _, points in series for _, one in points)
    step = 10 ** math.floor(math.log10(top))
    step = step if top / step >= 4 else step / 2 if top / step >= 2 else step / 5

    def x(value: float) -> float:
        span = (max(xs) - min(xs)) or 1.0
        return left + LEFT + WIDTH * (math.log10(value) - min(xs)) / span

    def y(value: float) -> float:
        return TOP + HEIGHT * (1 - value / top)

    parts = [f'<text x="{left + LEFT}" y="22" class="title">{title}</text>']
    for number in range(int(top / step) + 1):
        at = y(number * step)
        parts.append(
            f'<line x1="{left + LEFT}" x2="{left + LEFT + WIDTH}" y1="{at:.1f}" y2="{at:.1f}" '
            f'class="grid"/><text x="{left + LEFT - 6}" y="{at + 4:.1f}" class="axis" '
            f'text-anchor="end">{number * step:g}</text>'
        )
    parts += [
        f'<text x="{x(value):.1f}" y="{TOP + HEIGHT + 16}" class="axis" '
        f'text-anchor="middle">{value:g}</text>'
        for value in sorted({value for _, points in series for value, _ in points})
    ]
    middle = left + LEFT + WIDTH / 2
    parts.append(
        f'<text x="{middle:.0f}" y="{TOP + HEIGHT + 32}" class="axis" text-anchor="middle">'
        "budget, USD a day</text>"
    )
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        upper = [(x(value), y(one.mean + one.half)) for value, one in points]
        lower = [(x(value), y(max(0.0, one.mean - one.half))) for value, one in points]
        band = " ".join(f"{a:.1f},{b:.1f}" for a, b in [*upper, *reversed(lower)])
        line = " ".join(f"{x(value):.1f},{y(one.mean):.1f}" for value, one in points)
        row = TOP + HEIGHT + 54 + 20 * number
        parts.append(
            f'<polygon points="{band}" fill="{colour}" opacity="0.15"/>'
            f'<polyline points="{line}" class="line" stroke="{colour}"/>'
            f'<line x1="{left + LEFT}" x2="{left + LEFT + 20}" y1="{row - 4}" y2="{row - 4}" '
            f'stroke="{colour}" stroke-width="3"/>'
            f'<text x="{left + LEFT + 26}" y="{row}">{escape(name)}</text>'
        )
    return "\n".join(parts)
