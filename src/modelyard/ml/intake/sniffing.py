"""What a file of rows is: its encoding, its dialect, whether it begins with names.

Every choice is told, so that a user who knows better can overrule it.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Format = Literal["csv", "jsonl", "parquet", "text", "zip", "tar"]

SAMPLE = 256 * 1024  # bytes that are looked at
_DELIMITERS = (",", "\t", ";", "|")
_MARKS = (  # the longer first: UTF-32's mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BY_NAME: dict[str, Format] = {
    "csv": "csv",
    "tsv": "csv",
    "tab": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "pq": "parquet",
    "txt": "text",
    "text": "text",
    "md": "text",
}
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_ARRAY = re.compile(r"\s*\[\s*[\[{]")
_JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff\u3000-\u303f\uff01-\uff5e]")
_NAME = re.compile(r"[^\W\d][\w .,/()%#:-]{0,99}")


class Unreadable(ValueError):
    """A file that cannot be read as rows at all; the message says why, and what would do."""


class Dialect(Struct, frozen=True, kw_only=True):
    """How a file writes its rows. ``quote`` is None where quotes are text like any other."""

    format: Format
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str | None = '"'
    header: bool = True
    said: tuple[str, ...] = ()  # what was found, in words


def sniff(
    head: bytes, name: str = "", *, whole: bool = False, encoding: str | None = None
) -> Dialect:
    """The dialect of a file by its first bytes and its name; ``whole``: there are no more.

    ``encoding`` is used where it is known.
    Raises ``Unreadable`` for what holds no rows.
    """
    if head[:4] == b"PAR1":
        return Dialect(format="parquet", said=("Parquet, by its first bytes",))
    if not head.strip():
        raise Unreadable("the file is empty")
    said = "the encoding: as it was given"
    if encoding is None:
        encoding, said = _encoding(head)
    text = head.decode(encoding, errors="replace")
    if not whole:  # the last line may be cut
        text = text[: text.rfind("\n") + 1] or text
    lines = text.splitlines()
    if "\x00" in text[:4096]:
        raise Unreadable("the file is binary; tables come as CSV, JSONL or Parquet")
    if _ARRAY.match(text):
        raise Unreadable("it is a JSON array; write an object a line (JSONL)")
    suffix = name.lower().removesuffix(".gz").rpartition(".")[2]
    form = _BY_NAME.get(suffix)
    if form is None or (form == "csv" and text.lstrip()[:1] == "{"):
        form = "jsonl" if text.lstrip()[:1] == "{" else "csv"
    if form != "csv":
        return Dialect(format=form, encoding=encoding, said=(said, f"{form}, one row a line"))
    return _delimited(text, lines, encoding, said)


def _encoding(head: bytes) -> tuple[str, str]:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, f"{encoding}, by its byte order mark"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(head)  # a character that is cut at the end is no fault
    except UnicodeDecodeError:
        pass
    else:
        return "utf-8", "utf-8"
    if any(byte in head for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)):  # undefined there
        if _is_japanese(head):
            return "cp932", "cp932 (Shift-JIS): nearly all that is no ASCII is Japanese in it"
        return "latin-1", "latin-1: no valid UTF-8, nor Windows-1252"
    return "cp1252", "cp1252 (Windows): no valid UTF-8"


def _is_japanese(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("cp932")().decode(head)
    except UnicodeDecodeError:
        return False
    others = [letter for letter in text if not letter.isascii()]
    return sum(_JAPANESE.match(one) is not None for one in others) > 0.9 * len(others)


def _delimited(text: str, lines: Sequence[str], encoding: str, said: str) -> Dialect:
    found = []
    for delimiter in _DELIMITERS:
        with_quotes = _regularity(text, delimiter, '"')
        without = _regularity(lines, delimiter, None)
        quoted = with_quotes[0] >= without[0]
        (regular, width) = with_quotes if quoted else without
        # Columns count for little beside regularity: else a comma in prose would win.
        found.append((regular**4 * (1 + min(width, 20) / 20), quoted, delimiter))
    score, quoted, delimiter = max(found)
    if score == 0.0:
        delimiter, quoted = ",", True
    quote = '"' if quoted else None
    rows = _rows(text if quoted else lines, delimiter, quote)[:1000]
    header = names_first(rows)
    told = {"\t": "tabs"}.get(delimiter, f"'{delimiter}'")
    return Dialect(
        format="csv",
        encoding=encoding,
        delimiter=delimiter,
        quote=quote,
        header=header,
        said=(
            said,
            f"columns divided by {told}",
            "quotes are quotes" if quoted else "quotes are text: they do not come in pairs",
            "the first row has the names" if header else "no row of names: column_1, column_2 …",
        ),
    )


def _rows(text: str | Sequence[str], delimiter: str, quote: str | None) -> list[list[str]]:
    lines = text.splitlines(keepends=True) if isinstance(text, str) else text
    quoting: Literal[0, 3] = csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter, quoting=quoting) if row]
    except csv.Error:  # a field above the module's limit: a quote that is never closed
        return []


def _regularity(text: str | Sequence[str], delimiter: str, quote: str | None) -> tuple[float, int]:
    """The share of rows with as many columns as the usual one, and how many those are.

    Rows that run over lines weigh against quotes: one that is never closed swallows the rest.
    """
    rows = _rows(text, delimiter, quote)
    width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (1, 0)
    if width == 1:
        return 0.0, 1
    bad = sum(field.count("\n") for row in rows for field in row)
    if isinstance(text, str):
        bad += _badly_closed(text, delimiter)
    return count / (len(rows) + bad), width


def _badly_closed(text: str, delimiter: str) -> int:
    """Fields that begin with a quote and go on behind the closing one: RFC 4180 has none."""
    begin = rf'(?:^|{re.escape(delimiter)})"'
    whole = rf'{begin}(?:[^"]|"")*"(?=\r?$|{re.escape(delimiter)})'
    return len(re.findall(begin, text, re.M)) - len(re.findall(whole, text, re.M))


def names_first(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row holds the names of the columns."""
    if not rows:
        return False
    first, rest = rows[0], rows[1:]
    cells = [cell.strip() for cell in first]
    if any(_NUMBER.fullmatch(cell) for cell in cells):
        return False
    if len(set(cells)) < len(cells) and not _numbers_below(rest):
        return False
    if not rest:
        return all(_NAME.fullmatch(cell) for cell in cells)
    for at, cell in enumerate(cells):
        below = [row[at].strip() for row in rest if at < len(row)]
        if cell and cell in below:
            return False
    return sum(_NAME.fullmatch(cell) is not None or not cell for cell in cells) == len(cells)


def _numbers_below(rest: Sequence[Sequence[str]]) -> bool:
    """Whether a column has numbers alone: then a first row without any has names."""
    columns = zip(*(row for row in rest if len(row) == len(rest[0])), strict=True) if rest else ()
    return any(all(_NUMBER.fullmatch(cell.strip()) for cell in column) for column in columns)
