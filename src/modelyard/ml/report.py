"""A profile as one page of HTML that needs nothing else: no script, no font, no address."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from modelyard.ml import pictures
from modelyard.ml.figures import ColumnProfile, Frequent, Profile, Quality, Value, statistics
from modelyard.ml.pictures import number

MOST_CORRELATIONS = 20
MOST_ISSUES = 30

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --paper: #fff; --soft: #5b6575; --line: #dde2ea;
  --bar: #4c78a8; --bad: #c8553d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --paper: #14171d; --soft: #9aa4b2;
  --line: #2c333f; --bar: #7aa6d6; --bad: #e78a74; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
th { color: var(--soft); font-weight: 500; } td { font-variant-numeric: tabular-nums; }
.column { border-top: 1px solid var(--line); padding: 1rem 0; display: flex; gap: 2rem;
  flex-wrap: wrap; align-items: flex-start; } .column h3 { width: 12rem; margin: 0;
  overflow-wrap: anywhere; } .column small { display: block; color: var(--soft); }
svg rect { fill: var(--bar); } svg rect.negative { fill: var(--bad); }
svg text { fill: currentColor; font-size: 11px; } .note { color: var(--soft); }
"""

Row = tuple[str, str]


def report(of: Profile, title: str, quality: Quality | None = None) -> str:
    """The page, in UTF-8. All that comes from the data is escaped."""
    name = escape(title)
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{name}</title>',
        '<meta name="viewport" content="width=device-width">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">",
        f"<style>{STYLE}</style></head><body><h1>{name}</h1>",
        _overview(of),
        _sampled(of),
        "" if quality is None else _quality(quality),
        "<h2>Columns</h2>",
        *(_column(one, of.rows) for one in of.columns),
        _classes(of),
        _correlations(of),
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _overview(of: Profile) -> str:
    shares = statistics(of)
    repeated = f"{shares.duplicates:.2%}"
    if not of.duplicates.exact:
        repeated += f" (± {of.duplicates.error:.2%}, estimated)"
    return _table(
        [
            ("Rows", f"{of.rows:,}"),
            ("Columns", f"{len(of.columns):,}"),
            ("Cells without a value", f"{shares.null_values:.2%}"),
            ("Repeated rows", repeated),
            ("Outliers among numbers", f"{shares.outliers:.2%}"),
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
    accuracy = "not measured" if of.accuracy is None else f"{of.accuracy:.2%} (by {of.accuracy_by})"
    rows = [
        ("Completeness", f"{of.completeness:.2%}"),
        ("Consistency", f"{of.consistency:.2%}"),
        ("Accuracy", accuracy),
        ("Validity", f"{of.validity:.2%}"),
    ]
    issues = "".join(
        f"<tr><td>{escape(one.column)}</td><td>{escape(one.what)}</td><td>{one.count:,}</td></tr>"
        for one in of.issues[:MOST_ISSUES]
    )
    listed = "<table><tr><th>Column</th><th>What</th><th>Cells</th></tr>" + issues + "</table>"
    more = len(of.issues) - MOST_ISSUES
    rest = f'<p class="note">and {more} more</p>' if more > 0 else ""
    return f"<h2>Quality</h2>{_table(rows)}{listed if issues else ''}{rest}"


def _column(one: ColumnProfile, rows: int) -> str:
    picture = ""
    if one.histogram is not None and one.distinct > 10:
        picture = pictures.histogram(one.histogram)
    elif one.top:
        picture = pictures.shares(one.top)
    about = "≈ " if one.distinct_error else ""
    figures = [
        ("Without a value", f"{one.nulls:,} ({one.null_share:.1%})"),
        ("Distinct", f"{about}{one.distinct:,}"),
        *_figures(one),
    ]
    head = f"<h3>{escape(one.name)}<small>{escape(one.type)}</small></h3>"
    return f'<section class="column">{head}{picture}{_table(figures)}</section>'


def _figures(one: ColumnProfile) -> Iterable[Row]:
    if one.minimum is not None:
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
    strongest = of.correlations[:MOST_CORRELATIONS]
    rows = "".join(
        f"<tr><td>{escape(one.a)}</td><td>{escape(one.b)}</td><td>{one.measure}</td>"
        f"<td>{one.value:.3f}</td></tr>"
        for one in strongest
    )
    head = "<tr><th>Column</th><th>Column</th><th>Measure</th><th>Value</th></tr>"
    picture = pictures.matrix(of.correlations)
    return f"<h2>Correlations</h2>{picture}<table>{head}{rows}</table>"


def _table(rows: Iterable[Row]) -> str:
    body = "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{body}</table>"
