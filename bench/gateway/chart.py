"""A chart as plain SVG: throughput and latency of each gateway, on logarithmic scales."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

LABELS, PLOT, NUMBERS = 110, 440, 110
BAR, GAP, HEAD, FOOT = 22, 10, 46, 26
COLOURS = {"modelyard": "#2563eb", "nginx": "#9ca3af"}
OTHER = "#c2873a"
Bar = tuple[str, float, str]  # label, value, colour


def _span(values: Sequence[float]) -> tuple[int, int]:
    """Decades that hold all values; the shortest bar still has some length."""
    low = math.floor(math.log10(min(values)) - 0.05)
    return low, max(low + 1, math.ceil(math.log10(max(values))))


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'


def _panel(title: str, unit: str, bars: Sequence[Bar], top: int) -> tuple[str, int]:
    """One panel of bars, and its height."""
    low, high = _span([value for _, value, _ in bars])
    height = HEAD + len(bars) * (BAR + GAP) + FOOT
    bottom = top + height - FOOT
    parts = [_text(LABELS, top + 18, title, 'class="title"')]
    for decade in range(low, high + 1):
        x = LABELS + PLOT * (decade - low) / (high - low)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + HEAD - 8}" y2="{bottom}" class="grid"/>'
        )
        parts.append(_text(x, bottom + 14, f"{10.0**decade:,g}", 'class="axis"'))
    for index, (name, value, colour) in enumerate(bars):
        y = top + HEAD + index * (BAR + GAP)
        width = PLOT * (math.log10(value) - low) / (high - low)
        parts.append(_text(LABELS - 8, y + BAR * 0.7, name, 'class="name"'))
        parts.append(
            f'<rect x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'
        )
        shown = f"{value:,.0f} {unit}"
        parts.append(_text(LABELS + width + 6, y + BAR * 0.7, shown, 'class="value"'))
    return "\n".join(parts), height


STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2937 }
.title { font-weight: 600; font-size: 14px }
.name { text-anchor: end } .axis { text-anchor: middle; font-size: 11px; fill: #6b7280 }
.grid { stroke: #e5e7eb }
"""


def draw(throughput: dict[str, float], latency: dict[str, float], note: str) -> str:
    """The chart of the gateways; a panel without values is left out."""
    panels = []
    for title, unit, values, best_high in (
        ("Throughput at 32 connections (higher is better)", "req/s", throughput, True),
        ("Median latency at one connection (lower is better)", "µs", latency, False),
    ):
        bars = sorted(values.items(), key=lambda bar: bar[1], reverse=best_high)
        coloured = [(name, value, COLOURS.get(name, OTHER)) for name, value in bars]
        panels.append((title, unit, coloured))
    return picture(panels, note)


def picture(panels: Sequence[tuple[str, str, Sequence[Bar]]], note: str) -> str:
    """Panels (title, unit, bars) below each other; those without bars are left out."""
    drawn, top = [], 8
    for title, unit, bars in panels:
        if bars:
            one, height = _panel(title, unit, bars, top)
            drawn.append(one)
            top += height + 12
    width = LABELS + PLOT + NUMBERS
    drawn.append(_text(8, top + 8, note, 'class="note" style="font-size:11px;fill:#6b7280"'))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top + 20}" '
        f'viewBox="0 0 {width} {top + 20}">\n<style>{STYLE}</style>\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )
