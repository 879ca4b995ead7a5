"""A profile as one page of HTML that needs nothing else: no script, no font, no address."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from modelyard.ml import pictures
from modelyard.ml.figures import ColumnProfile, Frequent, Profile, Quality, Value, statistics
from modelyard.ml.pictures import number

MOST_CORRELATIONS = 20
MOST_ISSUES = 30
FEW = 10  # values of a column of numbers that are shown one by one
WEAK = 0.05  # a correlation below is not told of
RARE = 0.01  # a text that fewer rows have is no frequent one

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --paper: #fff; --soft: #566072; --line: #dde2ea;
  --bar: #4c78a8; --bad: #c8553d; --tile: #f4f6f9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --paper: #14171d; --soft: #9aa4b2;
  --line: #2c333f; --bar: #7aa6d6; --bad: #e78a74; --tile: #1c212a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1, .tile, .column td, td.name { overflow-wrap: anywhere; } td.name { min-width: 7rem;
  max-width: 22rem; }
.column table { justify-self: start; }
table { border-collapse: collapse; }
td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 500; } td { font-variant-numeric: tabular-nums; }
td.count { text-align: right; }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; }
.tile { background: var(--tile); border-radius: .4rem; padding: .5rem .9rem; min-width: 8rem; }
.tile b { display: block; font-size: 1.35rem; font-weight: 600; } .tile { color: var(--soft); }
.tile b { color: var(--ink); }
.column { border-top: 1px solid var(--line); padding: 1rem 0; display: grid; gap: .5rem 2rem;
  grid-template-columns: minmax(0, 15rem) 340px minmax(0, 1fr); align-items: start; }
.column h3 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
.column small { display: block; color: var(--soft); font-weight: 400; }
.column th { white-space: nowrap; min-width: 9rem; }
.wide { overflow-x: auto; } svg { display: block; max-width: 100%; height: auto; }
.wide svg { max-width: none; }
svg rect { fill: var(--bar); } svg rect.negative { fill: var(--bad); }
svg text { fill: currentColor; font-size: 11px; } .note { color: var(--soft); }
@media (max-width: 50rem) { .column { grid-template-columns: minmax(0, 1fr); } }
@media print { .column { break-inside: avoid; } body { margin: 0; max-width: none; } }
"""

Row = tuple[str, str]
_DAY = len("2026-11-30")


def report(of: Profile, title: str, quality: Quality | None = None) -> str:
    """The page, in UTF-8. All that comes from the data is escaped."""
    name = escape(title)
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{name}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">",
        f"<style>{STYLE}</style></head><body><main><h1>{name}</h1>",
        _overview(of),
        _sampled(of),
        "" if quality is None else _quality(quality),
        "<h2>Columns</h2>",
        *(_column(one) for one in of.columns),
        _classes(of),
        _correlations(of),
        "</main></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _overview(of: Profile) -> str:
    shares = statistics(of)
    repeated = f"{shares.duplicates:.2%}"
    if not of.duplicates.exact:
        repeated += f" (± {of.duplicates.error:.2%}, estimated)"
    numbers = any(one.outliers is not None for one in of.columns)
    return _tiles(
        [
            ("rows", f"{of.rows:,}"),
            ("columns", f"{len(of.columns):,}"),
            ("cells without a value", f"{shares.null_values:.2%}"),
            ("repeated rows", repeated),
            ("outliers among numbers", f"{shares.outliers:.2%}" if numbers else "–"),
        ]
    )


def _sampled(of: Profile) -> str:
    one = of.sample
    if one is None:
        return '<p class="note">Every figure is of all rows.</p>'
    return (
        f'<p class="note">Quantiles, histograms, frequent values and correlations are of a sample '
        f"of {one.rows:,} of {one.of:,} rows: with {one.confidence:.0%} confidence the rank of a "
        f"quantile is off by at most {one.bound:.2%}. Numbers of distinct values are estimated, "
        "with a standard error of 0.8 %. All other figures are of all rows.</p>"
    )


def _quality(of: Quality) -> str:
    by = "" if of.accuracy_by is None else f", by {of.accuracy_by}"
    tiles = [
        ("completeness", f"{of.completeness:.2%}"),
        ("consistency", f"{of.consistency:.2%}"),
        (f"accuracy{by}", "–" if of.accuracy is None else f"{of.accuracy:.2%}"),
        ("validity", f"{of.validity:.2%}"),
    ]
    issues = "".join(
        f'<tr><td>{escape(one.dimension)}</td><td class="name">{escape(one.column)}</td>'
        f'<td>{escape(one.what)}</td><td class="count">{one.count:,}</td></tr>'
        for one in of.issues[:MOST_ISSUES]
    )
    head = _headed("Lowers", "Column", "What", "Cells")
    listed = f'<div class="wide"><table>{head}{issues}</table></div>' if issues else ""
    more = len(of.issues) - MOST_ISSUES
    rest = f'<p class="note">and {more} more</p>' if more > 0 else ""
    none = (
        ""
        if of.accuracy is not None
        else (
            '<p class="note">Accuracy cannot be told: there is neither a reference nor a column of '
            "numbers.</p>"
        )
    )
    return f"<h2>Quality</h2>{_tiles(tiles)}{none}{listed}{rest}"


def _column(one: ColumnProfile) -> str:
    about = "≈ " if one.distinct_error else ""
    figures = [
        ("Without a value", f"{one.nulls:,} ({one.null_share:.1%})"),
        ("Distinct", f"{about}{one.distinct:,}"),
        *_figures(one),
    ]
    head = f"<h3>{escape(one.name)}<small>{escape(one.type)}</small></h3>"
    label = escape(one.name, quote=True)
    return (
        f'<section class="column" aria-label="{label}">{head}<div>{_picture(one)}</div>'
        f"{_table(figures)}</section>"
    )


def _picture(one: ColumnProfile) -> str:
    """Bars of numbers and moments; of texts that repeat the values, else how long they are."""
    name = f"of {one.name}"
    if one.histogram is not None and one.distinct > FEW:
        ends = (_shown(one.minimum), _shown(one.maximum))
        return pictures.histogram(one.histogram, f"Histogram {name}", ends)
    size = one.lengths
    rare = not one.top or one.top[0].share < RARE
    if size is not None and size.histogram is not None and rare:
        ends = (_shown(size.minimum), _shown(size.maximum))
        picture = pictures.histogram(size.histogram, f"Characters of the texts {name}", ends)
        return f'{picture}<small class="note">characters of a text</small>'
    return pictures.shares(one.top, f"Most frequent values {name}") if one.top else ""


def _figures(one: ColumnProfile) -> Iterable[Row]:
    if one.minimum is not None and one.type != "boolean":
        yield "Range", f"{_shown(one.minimum)} to {_shown(one.maximum)}"
    if one.mean is not None:
        spread = "" if one.deviation is None else f" ± {number(one.deviation)}"
        yield "Mean ± deviation", number(one.mean) + spread
    if one.quantiles is not None:
        asked = ("0.05", "0.25", "0.5", "0.75", "0.95")
        yield "5, 25, 50, 75, 95 %", " · ".join(_shown(one.quantiles[at]) for at in asked)
    if one.skewness is not None:
        yield "Skewness", number(one.skewness)
    if one.lengths is not None:
        size = one.lengths
        yield "Characters", f"{size.minimum:,} to {size.maximum:,}, mean {number(size.mean)}"
    if one.outliers is not None:
        fences = f"[{number(one.outliers.low)}, {number(one.outliers.high)}]"
        yield "Outliers", f"{one.outliers.count:,} ({one.outliers.share:.1%}) outside {fences}"


def _shown(value: Value) -> str:
    if isinstance(value, str) and len(value) > _DAY and value[:_DAY].count("-") == 2:
        return value[:19].replace("T", " ")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}" if isinstance(value, int) else number(value)
    return str(value)


def _classes(of: Profile) -> str:
    if not of.class_distribution or of.target is None:
        return ""
    shown = [
        Frequent(value=name, share=share)
        for name, share in list(of.class_distribution.items())[:30]
    ]
    return f"<h2>Classes of {escape(of.target)}</h2>{pictures.shares(shown)}"


def _correlations(of: Profile) -> str:
    if not of.correlations:
        return ""
    strongest = [one for one in of.correlations if abs(one.value) >= WEAK][:MOST_CORRELATIONS]
    if not strongest:
        return '<h2>Correlations</h2><p class="note">No two columns go together.</p>'
    rows = "".join(
        f'<tr><td class="name">{escape(one.a)}</td><td class="name">{escape(one.b)}</td>'
        f"<td>{one.measure}</td>"
        f"<td>{one.value:.3f}</td></tr>"
        for one in strongest
    )
    head = _headed("Column", "Column", "Measure", "Value")
    picture = f'<div class="wide">{pictures.matrix(of.correlations)}</div>'
    listed = f'<div class="wide"><table>{head}{rows}</table></div>'
    return f"<h2>Correlations</h2>{picture}{listed}{_measures(of)}"


def _measures(of: Profile) -> str:
    told = {
        "pearson": "Pearson's r of two columns of numbers: -1 to 1.",
        "cramer": "Cramér's V of two categories: 0 to 1.",
    }
    used = {one.measure for one in of.correlations}
    return f'<p class="note">{" ".join(told[one] for one in sorted(used) if one in told)}</p>'


def _tiles(rows: Iterable[Row]) -> str:
    body = "".join(f'<div class="tile"><b>{escape(b)}</b>{escape(a)}</div>' for a, b in rows)
    return f'<div class="tiles">{body}</div>'


def _headed(*names: str) -> str:
    return "<tr>" + "".join(f'<th scope="col">{name}</th>' for name in names) + "</tr>"


def _table(rows: Iterable[Row]) -> str:
    body = "".join(
        f'<tr><th scope="row">{escape(a)}</th><td>{escape(b)}</td></tr>' for a, b in rows
    )
    return f"<table>{body}</table>"
