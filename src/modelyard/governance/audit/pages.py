"""The report as CSV, to go on with, and as a page, to read and print."""

import csv
import io
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template

from modelyard.governance.audit.schema import AuditReport, Tally
from modelyard.kernel.route import Raw

_POLICY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_STEERING = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for a formula begins so


def rendered(report: AuditReport, form: str) -> AuditReport | Raw:
    """The report in the form that was asked for."""
    if form == "csv":
        name = f"audit-{report.period.since[:10]}-{report.period.until[:10]}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Raw(_csv(report).encode(), "text/csv; charset=utf-8", headers=headers)
    if form == "html":
        return Raw(_html(report).encode(), "text/html; charset=utf-8", headers=_POLICY)
    return report


def _facts(report: AuditReport) -> dict[str, object]:
    """What a report says beside its lists."""
    chain = report.chain
    state = f"intact from {chain.verified_from} to {chain.verified_to}"
    if not chain.intact:
        state = f"BROKEN at {chain.broken_at} ({chain.reason})"
    return {
        "workspace": "all" if report.workspace == "-" else report.workspace,
        "since": report.period.since,
        "until": report.period.until,
        "filter": report.filter,
        "generated": report.generated_at,
        "entries": report.total,
        "refused attempts": report.denied.total,
        "chain": state,
        "digest": chain.digest,
    }


def _lists(report: AuditReport) -> dict[str, list[Tally]]:
    return {
        "actor": report.by_actor,
        "verb": report.by_verb,
        "kind": report.by_kind,
        "day": report.by_day,
        "refused attempt at": report.denied.by_resource,
    }


def _csv(report: AuditReport) -> str:
    """Columns section, name, value: the same for every part, so that it loads as one table."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("section", "name", "value"))
    for name, value in _facts(report).items():
        writer.writerow(("report", name, _cell(value)))
    for section, tallies in _lists(report).items():
        for one in tallies:
            writer.writerow((section, _cell(one.value), one.count))
    return out.getvalue()


def _cell(value: object) -> object:
    """A text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_STEERING) else value


def _html(report: AuditReport) -> str:
    page = Template(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=f"Audit report, {report.period.since[:10]} to {report.period.until[:10]}",
        content="\n".join(_sections(report)),
    )


def _sections(report: AuditReport) -> Iterator[str]:
    facts = [(name, str(value) or "–") for name, value in _facts(report).items()]
    yield _table("facts", facts)
    for section, tallies in _lists(report).items():
        if tallies:
            yield f"<h2>By {section}</h2>"
            yield _table("tally", [(one.value or "–", f"{one.count:,}") for one in tallies])


def _table(name: str, rows: list[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><th>{escape(left)}</th><td>{escape(right)}</td></tr>" for left, right in rows
    )
    return f'<table class="{name}">{cells}</table>'
