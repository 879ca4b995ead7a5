"""Pictures of a profile as SVG inside of a page: no script, no address, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from modelyard.ml.figures import Correlation, Frequent, Histogram

WIDTH, HEIGHT = 260, 80  # pixels
_ROW = 16
_CELL = 22
_LABEL = 110


def number(value: float | str) -> str:
    """Four digits that count; a moment without its seconds."""
    if isinstance(value, str):
        return value[:16].replace("T", " ")
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def histogram(of: Histogram) -> str:
    """Bars, with the counts as titles."""
    most = max(of.counts, default=0) or 1
    wide = WIDTH / max(len(of.counts), 1)
    bars = "".join(
        f'<rect x="{at * wide:.1f}" y="{HEIGHT - HEIGHT * count / most:.1f}" '
        f'width="{max(wide - 1, 1):.1f}" height="{HEIGHT * count / most:.1f}"><title>'
        f"{number(of.edges[at])} to {number(of.edges[at + 1])}: {count:,}</title></rect>"
        for at, count in enumerate(of.counts)
    )
    label = f"from {number(of.edges[0])} to {number(of.edges[-1])}"
    return _svg(WIDTH, HEIGHT, f"Histogram {label}", bars)


def shares(of: Sequence[Frequent]) -> str:
    """A bar for each value; their length is its share of the largest."""
    most = max((one.share for one in of), default=0) or 1
    rows = []
    for at, one in enumerate(of):
        y = at * _ROW
        text = "(empty)" if one.value == "" else str(one.value)
        short = text if len(text) <= 16 else text[:15] + "…"
        long = (WIDTH - _LABEL) * one.share / most
        rows.append(
            f'<text x="0" y="{y + 12}">{escape(short)}<title>{escape(text)}</title></text>'
            f'<rect x="{_LABEL}" y="{y + 3}" width="{long:.1f}" height="{_ROW - 5}"/>'
            f'<text x="{_LABEL + 4}" y="{y + 12}">{one.share:.1%}</text>'
        )
    return _svg(WIDTH, max(len(of), 1) * _ROW, "Most frequent values", "".join(rows))


def matrix(of: Sequence[Correlation], most: int = 20) -> str:
    """Columns against columns: the stronger, the darker; red is negative."""
    names = list(dict.fromkeys(name for one in of for name in (one.a, one.b)))[:most]
    place = {name: at for at, name in enumerate(names)}
    cells = []
    for one in of:
        if one.a in place and one.b in place:
            for a, b in ((one.a, one.b), (one.b, one.a)):
                title = f"{one.a}, {one.b}: {one.measure} {one.value:.3f}"
                kind = "negative" if one.value < 0 else "positive"
                cells.append(
                    f'<rect class="{kind}" x="{_LABEL + place[a] * _CELL}" y="{place[b] * _CELL}" '
                    f'width="{_CELL - 1}" height="{_CELL - 1}" '
                    f'fill-opacity="{abs(one.value):.2f}"><title>{escape(title)}</title></rect>'
                )
    labels = [
        f'<text x="0" y="{at * _CELL + 15}">{escape(name[:16])}</text>'
        for name, at in place.items()
    ]
    size = len(names) * _CELL
    return _svg(_LABEL + size, max(size, 1), "Correlations", "".join(labels + cells))


def _svg(width: int, height: int, label: str, inner: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label, quote=True)}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}">{inner}</svg>'
    )
