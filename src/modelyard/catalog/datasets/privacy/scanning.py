"""Looking for personal data in a table. For the processes of jobs alone: it loads polars."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
from msgspec import Struct, structs
from polars import DataFrame, Series

from modelyard.catalog.datasets.privacy.schema import Finding, VersionPrivacy
from modelyard.ml import pii, rowgroups
from modelyard.ml.reading import column, kinds

VALUES = 200_000  # that are looked at when a file comes: seconds, however large it is
_ROWS = (1_000, 20_000)  # of a table with many columns, or few
_BLOCKS = 8  # of a large table that are read for a sample
_LONGEST = 20_000  # characters of a value that a sample looks at
_LEAST_CARD = 10**12  # no smaller whole number is a payment card's
_EXAMPLES = 3

# Columns whose name says what is in them, whatever it looks like; letters alone, in lower case.
_NAMED = {
    "name": "surname lastname familyname firstname givenname middlename maidenname fullname "
    "personname nachname vorname apellido apellidos nomdefamille prenom",
    "birth_date": "dateofbirth birthdate birthday dob geburtsdatum fechadenacimiento "
    "datedenaissance",
    "address": "streetaddress homeaddress postaladdress mailingaddress billingaddress "
    "residentialaddress shippingaddress addressline addressone addresstwo strasse",
    "national_id": "passport passportnumber passportno nationalid nationalidnumber ssn "
    "socialsecuritynumber taxid taxidentificationnumber driverslicense driverlicense "
    "drivinglicence driverlicensenumber driverslicensenumber personalausweis",
    "email": "email emailaddress",
    "phone": "phone phonenumber mobilenumber mobilephone telephone telephonenumber telefon",
}
# Whose it is, before such a name; before "name" alone where it is a person.
_PERSON = (
    "applicant borrower cardholder client contact customer driver employee father guest member "
    "mother owner passenger patient person spouse student teacher"
)
_PLACE = "billing business cell emergency home office personal primary secondary shipping work"
_PERSONS, _WHOSE = frozenset(_PERSON.split()), frozenset(f"{_PERSON} {_PLACE}".split())
_KIND_OF = {name: kind for kind, names in _NAMED.items() for name in names.split()}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
Told = Callable[[int], None]  # rows that were looked at until now


class Found(Struct, frozen=True, kw_only=True):
    """What was found in ``scanned`` of ``rows`` rows."""

    findings: list[Finding]
    scanned: int
    rows: int

    @property
    def privacy(self) -> VersionPrivacy:
        """As a version keeps it."""
        return VersionPrivacy(
            contains_pii=bool(self.findings), scanned_rows=self.scanned, findings=self.findings
        )


def kind_of(name: str) -> str | None:
    """What a column holds by its name alone; None where that does not tell."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    words = [one.lower() for one in _WORD.findall(plain.encode("ascii", "ignore").decode())]
    found = _KIND_OF.get("".join(words))
    if found is None and words and words[0] in _WHOSE:
        rest = "".join(words[1:])
        return "name" if rest == "name" and words[0] in _PERSONS else _KIND_OF.get(rest)
    return found


def look(data: Path, rows: int | None = None, told: Told = lambda _: None) -> Found:
    """Look at about so many rows of a Parquet file, by chance; at all of them where None."""
    frame = pl.scan_parquet(data)
    total = int(frame.select(pl.len()).collect().item())
    sums: dict[tuple[str, str, str], Finding] = {}
    scanned = 0
    for block in _blocks(data, total, rows):
        for one in _findings(block, bounded=rows is not None):
            mark = (one.column, one.kind, one.by)
            before = sums.get(mark, structs.replace(one, rows=0, examples=[]))
            examples = [*before.examples, *one.examples][:_EXAMPLES]
            sums[mark] = structs.replace(one, rows=before.rows + one.rows, examples=examples)
        scanned += block.height
        told(scanned)
    findings = [structs.replace(one, share=one.rows / scanned) for one in sums.values()]
    order = {name: at for at, name in enumerate(frame.collect_schema().names())}
    findings.sort(key=lambda one: (order[one.column], one.kind))
    return Found(findings=findings, scanned=scanned, rows=total)


def sampled(data: Path) -> Found:
    """Look at a sample that takes seconds: what is done with each file that comes."""
    wide = sum(kind == "string" for kind in kinds(pl.scan_parquet(data)).values())
    least, most = _ROWS
    return look(data, min(most, max(least, VALUES // max(1, wide))))


def _blocks(data: Path, total: int, rows: int | None) -> Iterator[DataFrame]:
    """All rows block by block, or some of each of a few blocks."""
    spans = list(rowgroups.spans(rowgroups.weights(data)))
    if rows is not None and rows < total:
        step = max(1, len(spans) // _BLOCKS)
        spans = spans[::step][:_BLOCKS]
        share = -(-rows // len(spans))
    for begin, height in spans:
        block = pl.scan_parquet(data).slice(begin, height).collect()
        if rows is not None and rows < total:
            block = block.sample(min(share, block.height), seed=begin)
        yield block


def _findings(block: DataFrame, *, bounded: bool) -> Iterator[Finding]:
    kept = {name: of for name, of in kinds(block.lazy()).items() if _worth(block, name, of)}
    frame = block.lazy().select(column(name) for name in kept)
    if bounded:
        frame = frame.with_columns(pl.col(pl.String).str.head(_LONGEST))
    for one in pii.scan(frame, rows=block.height).findings if kept else ():
        yield Finding(
            column=one.column,
            kind=one.kind,
            rows=one.rows,
            share=one.share,
            examples=one.examples,
        )
    for name in block.columns:
        if (kind := kind_of(name)) is not None:
            yield _by_name(block[name], kind)


def _worth(block: DataFrame, name: str, of: str) -> bool:
    if of == "integer":
        largest = block[name].max()
        return isinstance(largest, int) and largest >= _LEAST_CARD
    return of == "string"


def _by_name(cells: Series, kind: str) -> Finding:
    there = cells.drop_nulls()
    texts = [str(one) for one in there.head(_EXAMPLES).to_list()]
    return Finding(
        column=cells.name,
        kind=kind,
        rows=there.len(),
        share=there.len() / max(1, cells.len()),
        by="column",
        examples=[re.sub(r"[^\W_]", "*", one[:100]) for one in texts],
    )
