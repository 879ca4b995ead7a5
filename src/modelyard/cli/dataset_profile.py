"""``modelyard datasets analyze``, ``profile``, ``statistics`` and ``quality``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.client import Client
from modelyard.cli.dataset import Every, Id, Version, at, print_columns, worked
from modelyard.cli.options import Json, Key, Url, Workspace, connect
from modelyard.cli.output import console, plain, print_json, print_table
from modelyard.cli.problem import Problem

app = typer.Typer()
LONGEST_WAIT = 30  # seconds of one request
_BARS, _PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
_SHOWN = 3  # frequent values; a column with so few has no range
_RARE = 0.01  # a text that fewer rows have is no frequent one
_MOST_CORRELATIONS = 5
_MOST_ISSUES = 20


@app.command()
def analyze(
    own_id: Id,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The class, for its distribution.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--unique", metavar="COLUMNS", help="What tells rows apart.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="[ID@]VERSION", help="Rows that are right, found by --unique."),
    ] = None,
    last_day: Annotated[
        str | None, typer.Option(metavar="DAY", help="2026-11-30: later days are not valid.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(metavar="ROWS", help="To look at one by one; else 200,000.")
    ] = None,
    version: Version = None,
    workspace: Workspace = None,
    url: Url = None,
    key_: Key = None,
    as_json: Json = False,
) -> None:
    """Work out statistics, profile and quality of a version anew."""
    client = connect(url, key_)
    asked: dict[str, Any] = {
        "version": version, "target": target, "key": key.split(",") if key else None,
        "reference": _reference(reference), "referenceDate": last_day,
    }  # fmt: skip
    if sample is not None:
        asked["sampleRows"] = sample
    made = worked(client, at(own_id, "analyze", workspace), asked, as_json)
    if not as_json:
        _show_shares(made["statistics"])
        _show_figures(made["quality"])


@app.command()
def profile(
    own_id: Id,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with pictures instead.")
    ] = None,
    version: Version = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    every: Every = False,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show each column of a version: its values, how they spread, what goes together."""
    client = connect(url, key)
    found = _asked(client, own_id, "profile", workspace, version)
    if html is not None:
        _save(client, own_id, workspace, version, html, force=force)
    elif as_json:
        print_json(found)
    else:
        _show_profile(found, every=every)


@app.command()
def statistics(
    own_id: Id,
    version: Version = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show a version's absent values, repeated rows, outliers and classes."""
    found = _asked(connect(url, key), own_id, "statistics", workspace, version)
    if as_json:
        print_json(found)
    else:
        _head(found, found["recordCount"], found["sample"])
        _show_shares(found)


@app.command()
def quality(
    own_id: Id,
    version: Version = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show how complete, consistent, accurate and valid a version is, and what lowers that."""
    found = _asked(connect(url, key), own_id, "quality", workspace, version)
    if as_json:
        print_json(found)
        return
    _show_figures(found)
    issues = [
        (one["dimension"], one["column"], one["what"], one["count"]) for one in found["issues"]
    ]
    if issues:
        print_table(("lowers", "column", "what", "cells"), issues[:_MOST_ISSUES])
    if (more := len(issues) - _MOST_ISSUES) > 0:
        console().print(f"and {more} more: --json has them all", markup=False)


def sparkline(counts: Sequence[int]) -> str:
    """Bars of a histogram, one character each; what is empty is a blank."""
    bars = _BARS if "utf" in (sys.stdout.encoding or "").lower() else _PLAIN_BARS
    most = max(counts, default=0)
    last = len(bars) - 1
    return "".join(" " if not one else bars[round(one / most * last)] for one in counts)


def _asked(
    client: Client, own_id: str, what: str, workspace: str | None, version: str | None
) -> Any:
    path = at(own_id, what, workspace, version=version, wait=LONGEST_WAIT)
    return client.call("GET", path, seconds=LONGEST_WAIT + 30.0)


def _reference(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    dataset, _, version = text.rpartition("@")
    return {"dataset": dataset or None, "version": version}


def _save(
    client: Client,
    own_id: str,
    workspace: str | None,
    version: str | None,
    file: Path,
    *,
    force: bool,
) -> None:
    if file.exists() and not force:
        raise Problem(f"{file} exists; it is replaced with --force only")
    path = at(own_id, "profile", workspace, version=version, format="html")
    with client.download(path, {}) as (_, read):
        page = read()
    try:
        file.write_bytes(page)
    except OSError as error:
        raise Problem(f"{file} cannot be written: {error.strerror or error}") from error
    console().print(f"{file} ({len(page):,} bytes)", markup=False, soft_wrap=True)


def _head(found: dict[str, Any], rows: int, sample: dict[str, Any] | None) -> None:
    told = f"version {found['version']}: {rows:,} rows, analyzed at {found['analyzedAt']}"
    if sample:
        told += (
            f"; quantiles and histograms are of a sample of {sample['rows']:,} rows: with "
            f"{sample['confidence']:.0%} confidence a rank is off by at most {sample['bound']:.2%}"
        )
    if found["pending"]:
        told += f"; {found['pending']} works out newer figures"
    console().print(told, markup=False, soft_wrap=True)


def _show_profile(found: dict[str, Any], *, every: bool) -> None:
    made = found["profile"]
    _head(found, made["rows"], made["sample"])
    rows = [
        (
            one["name"],
            one["type"],
            f"{one['nullShare']:.1%}" if one["nulls"] else "",
            f"{'≈ ' if one.get('distinctError') else ''}{one['distinct']:,}",
            _spread(one),
            _summary(one),
        )
        for one in made["columns"]
    ]
    titles = ("column", "type", "absent", "distinct", "spread", "values")
    print_columns(titles, rows, every=every)
    strongest = made["correlations"][:_MOST_CORRELATIONS]
    if strongest:
        pairs = [(one["a"], one["b"], one["measure"], f"{one['value']:.2f}") for one in strongest]
        print_table(("goes with", "", "measure", ""), pairs)


def _spread(one: dict[str, Any]) -> str:
    """Bars of numbers and moments; of texts the shares of the most frequent, else their lengths."""
    histogram = one.get("histogram")
    if histogram and one["distinct"] > _SHOWN:
        return sparkline(histogram["counts"])
    if _repeats(one):
        return sparkline([round(each["share"] * 1000) for each in one["top"]])
    lengths = (one.get("lengths") or {}).get("histogram")
    return sparkline(lengths["counts"]) if lengths else ""


def _repeats(one: dict[str, Any]) -> bool:
    top = one.get("top") or []
    return bool(top) and top[0]["share"] >= _RARE


def _summary(one: dict[str, Any]) -> str:
    quantiles = one.get("quantiles")
    if quantiles and one["distinct"] > _SHOWN:
        ends = (one["minimum"], quantiles["0.5"], one["maximum"])
        return " … ".join(_number(end) for end in ends)
    if _repeats(one):
        return ", ".join(f"{_short(each['value'])} {each['share']:.0%}" for each in one["top"][:3])
    lengths = one.get("lengths")
    if not lengths:
        return ""
    least, most = lengths["minimum"], lengths["maximum"]
    return f"{least:,} to {most:,} characters" if least < most else f"{most:,} characters"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)[:19].replace("T", " ")


def _short(value: Any) -> str:
    text = plain(value)
    return text if len(text) <= 24 else text[:23] + "…"


def _show_shares(found: dict[str, Any]) -> None:
    rows = [
        ("absent values", _percent(found["nullValues"])),
        ("repeated rows", _percent(found["duplicates"], found.get("duplicatesError"))),
        ("outliers", _percent(found["outliers"])),
    ]
    print_table(("", ""), rows)
    classes = list(found["classDistribution"].items())
    if classes:
        most = max(share for _, share in classes)
        bar = "█" if "utf" in (sys.stdout.encoding or "").lower() else "#"
        listed = [(name, f"{share:.1%}", bar * round(share / most * 20)) for name, share in classes]
        print_table((found.get("target") or "class", "share", ""), listed[:_MOST_ISSUES])


def _show_figures(found: dict[str, Any]) -> None:
    by = found.get("accuracyBy")
    names = ("completeness", "consistency", "accuracy", "validity")
    rows = [(name, _percent(found[name])) for name in names]
    if by:
        rows[2] = (f"accuracy (by {by})", rows[2][1])
    print_table(("", ""), rows)


def _percent(share: float | None, error: float | None = None) -> str:
    if share is None:
        return "cannot be told"
    return f"{share:.2%}" + (f" ± {error:.2%}" if error else "")
