"""How commands print: tables for people, JSON for scripts."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

ABSENT = "–"


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table as wide as the terminal; as wide as its content when there is none."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(plain(cell)) for cell in row))
    print_flush(table, console())


def print_flush(table: Table, out: Console) -> None:
    """Print a table without the blanks that fill its last column."""
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        out.out(line.rstrip(), highlight=False)


def console(*, stderr: bool = False) -> Console:
    """A console that does not fold lines where the output is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 1000
    return Console(file=stream, width=width, highlight=False)


def plain(value: object) -> str:
    """A cell's text; nothing that steers a terminal."""
    if value is None or value == "" or value == []:
        return ABSENT
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {plain(item)}" for name, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return safe(f"{value:,}" if isinstance(value, int | float) else str(value))


def safe(text: str) -> str:
    """A text without control characters but newline and tab: it may come from a model."""
    return "".join(c for c in text if c in "\n\t" or (c >= " " and not "\x7f" <= c <= "\x9f"))


def dollars(amount: float | None) -> str:
    """USD with as many digits as a cheap call needs; "unknown" for an unknown price."""
    if amount is None:
        return "cost unknown"
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.9f}".rstrip("0")


def seconds(duration: float) -> str:
    """A duration in the unit it is read best in."""
    return f"{duration:.2f} s" if duration >= 1 else f"{duration * 1000:.1f} ms"
