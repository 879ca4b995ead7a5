"""Pictures of a profile as SVG inside of a page: no script, no address, every text escaped."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape

from modelyard.ml.figures import Correlation, Frequent, Histogram, Value

WIDTH, HEIGHT = 340, 80  # pixels
_ROW = 16
_CELL = 22
_LABEL = 165
_LETTERS = 25  # that fit there
_PERCENT = 45
_LINE = 14


def number(value: float | str) -> str:
    """Four digits that count; a moment without its seconds."""
    if isinstance(value, str):
        return value[:16].replace("T", " ")
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def histogram(of: Histogram, what: str = "Histogram", ends: tuple[str, str] | None = None) -> str:
    """Bars above their range (``ends``, else that of the bins), with the counts as titles."""
    most = max(of.counts, default=0) or 1
    wide = WIDTH / max(len(of.counts), 1)
    bars = "".join(
        f'<rect x="{at * wide:.1f}" y="{HEIGHT - HEIGHT * count / most:.1f}" '
        f'width="{max(wide - 1, 1):.1f}" height="{HEIGHT * count / most:.1f}"><title>'
        f"{number(of.edges[at])} to {number(of.edges[at + 1])}: {count:,}</title></rect>"
        for at, count in enumerate(of.counts)
    )
    low, high = ends or (number(of.edges[0]), number(of.edges[-1]))
    base = HEIGHT + _LINE
    range_ = (
        f'<text x="0" y="{base - 2}">{escape(low)}</text>'
        f'<text x="{WIDTH}" y="{base - 2}" text-anchor="end">{escape(high)}</text>'
    )
    peak = max(range(len(of.counts)), key=lambda at: of.counts[at], default=0)
    told = f"{what} from {low} to {high}; most are from {number(of.edges[peak])} to "
    return _svg(WIDTH, base, told + number(of.edges[peak + 1]), bars + range_)


def shares(of: Sequence[Frequent], what: str = "Most frequent values") -> str:
    """A bar for each value, as long as its share of the largest one's."""
    most = max((one.share for one in of), default=0) or 1
    rows = []
    for at, one in enumerate(of):
        y = at * _ROW
        text = _named(one.value)
        long = (WIDTH - _LABEL - _PERCENT) * one.share / most
        rows.append(
            f'<text x="0" y="{y + 12}">{escape(_short(text))}<title>{escape(text)}</title></text>'
            f'<rect x="{_LABEL}" y="{y + 3}" width="{max(long, 1):.1f}" height="{_ROW - 5}"/>'
            f'<text x="{_LABEL + long + 4:.1f}" y="{y + 12}">{one.share:.1%}</text>'
        )
    told = ", ".join(f"{_short(_named(one.value))} {one.share:.1%}" for one in of[:3])
    return _svg(WIDTH, max(len(of), 1) * _ROW, f"{what}: {told}", "".join(rows))


def _named(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "(empty)" if value == "" else str(value)


def _short(text: str) -> str:
    """As much of a text as has room; letters of East Asia take twice as much."""
    room, kept = _LETTERS, ""
    for letter in text:
        room -= 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if room < 0:
            return kept[:-1] + "…"
        kept += letter
    return kept


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
        f'<text x="0" y="{at * _CELL + 15}">{escape(_short(name))}<title>{escape(name)}</title>'
        "</text>"
        for name, at in place.items()
    ]
    size = len(names) * _CELL
    told = f"Correlations of {len(names)} columns; the strongest are in the table"
    return _svg(_LABEL + size, max(size, 1), told, "".join(labels + cells))


def _svg(width: int, height: int, label: str, inner: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label, quote=True)}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}">{inner}</svg>'
    )
