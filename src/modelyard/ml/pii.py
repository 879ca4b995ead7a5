"""Personal data in tables: found, told of, and taken out.

Recognised are e-mail addresses, phone numbers, IBANs, payment cards, IP addresses, US social
security numbers and, by the words before them alone, names of persons.
``docs/explanation/personal-data.md`` has the measured recall and precision.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import polars as pl
from msgspec import Struct
from polars import Expr, LazyFrame, Series

from modelyard.ml.reading import Source, column, height, kinds, opened
from modelyard.ml.recognisers import NO_NAMES, RECOGNISERS, Recogniser, issuer
from modelyard.ml.sampling import Sample, described, sample

KINDS = tuple(dict.fromkeys(one.kind for one in RECOGNISERS))
LOOKED_AT = 20_000  # rows of a scan
LEAST_KEY = 16  # bytes
_NEAR = 40  # characters

Method = Literal["mask", "hash", "generalise"]


class Span(NamedTuple):
    """Personal data in a text, from ``start`` to before ``end``."""

    kind: str
    start: int
    end: int


class Finding(Struct, frozen=True, kw_only=True):
    """``share`` of the rows looked at (0 to 1) have such data in the column; the ``examples`` are
    masked.
    """

    column: str
    kind: str
    rows: int
    share: float
    examples: list[str]


class Scan(Struct, frozen=True, kw_only=True, rename="camel"):
    """``contains_pii`` of what was looked at; ``sample`` is None where that was every row.

    Of n rows without a finding fewer than 3 in n have one, with 95 % confidence (rule of three).
    """

    contains_pii: bool
    findings: list[Finding]
    sample: Sample | None


def spans(text: str, recognisers: Sequence[Recogniser] = RECOGNISERS) -> list[Span]:
    """The personal data in a text, in order; none overlaps another."""
    found: list[Span] = []
    for one in recognisers:
        for match in one.pattern.finditer(text):
            span = _span(one, match, text)
            if span and all(span.end <= other.start or span.start >= other.end for other in found):
                found.append(span)
    return sorted(found, key=lambda span: span.start)


def scan(source: Source, *, seed: int = 0, rows: int = LOOKED_AT) -> Scan:
    """Look at the texts of all rows, or of a sample of about ``rows``."""
    frame = opened(source)
    total = height(frame)
    drawn = sample(frame, total, rows, seed)
    findings = []
    for name, of in kinds(frame).items():
        if of == "string":
            findings += _findings(name, drawn[name])
        elif of == "integer":
            findings += _findings(name, drawn[name].cast(pl.String))
    return Scan(
        contains_pii=bool(findings),
        findings=findings,
        sample=described(drawn.height, total) if 0 < drawn.height < total else None,
    )


def anonymised(
    source: Source,
    method: Method,
    columns: Sequence[str] | None = None,
    key: bytes = b"",
) -> LazyFrame:
    """The table with the personal data of its texts replaced, worked out block by block.

    ``mask``: each letter and digit becomes ``*``. ``hash``: the kind and 128 bits of keyed BLAKE2b,
    so that equal values stay equal and only who has the ``key`` (16 to 64 bytes) can test a guess.
    ``generalise``: what it has in common with others (an address's domain, a network, a country,
    an issuer). Raises ``ValueError`` for a key too short, or a column that is no column of texts.
    """
    if method == "hash" and not LEAST_KEY <= len(key) <= 64:
        raise ValueError(f"the key of hashes has {LEAST_KEY} to 64 bytes, not {len(key)}")
    frame = opened(source)
    types = kinds(frame)
    chosen = [name for name, of in types.items() if of == "string"] if columns is None else columns
    for name in chosen:
        if types.get(name) != "string":
            raise ValueError(f"{name!r} is no column of texts")
    return frame.with_columns(taken_out(name, method, key) for name in chosen)


def replaced(text: str, method: Method, key: bytes = b"") -> str:
    """One text without its personal data; ``anonymised`` tells of the methods."""
    work: dict[str, Callable[[str, str], str]] = {
        "mask": lambda kind, value: re.sub(r"[^\W_]", "*", value),
        "hash": lambda kind, value: f"[{kind}:{_hash(kind, value, key)}]",
        "generalise": generalised,
    }
    made = text
    for one in reversed(spans(text)):
        value = text[one.start : one.end]
        made = made[: one.start] + work[method](one.kind, value) + made[one.end :]
    return made


def generalised(kind: str, value: str) -> str:
    """What the value has in common with many others."""
    if kind == "email":
        return "*@" + value.rpartition("@")[2].lower()
    if kind == "ip":
        of = ipaddress.ip_address(value)
        return str(ipaddress.ip_network(f"{of}/{24 if of.version == 4 else 48}", strict=False))
    if kind == "iban":
        return f"[iban {value[:2]}]"
    if kind == "credit_card":
        return f"[{issuer(value)} card]"
    return f"[{kind}]"


def _hash(kind: str, value: str, key: bytes) -> str:
    """Of the value as it would be written without spaces, in lower case."""
    plain = re.sub(r"[\s()/.-]", "", value) if kind not in ("email", "ip", "name") else value
    data = f"{kind}:{plain.lower()}".encode()
    return hashlib.blake2b(data, key=key, digest_size=16).hexdigest()


def _span(one: Recogniser, match: re.Match[str], text: str) -> Span | None:
    start, end = match.span(1 if one.kind == "name" else 0)
    size = one.check(text[start:end])
    before = text[max(0, start - _NEAR) : start]
    if one.kind == "name" and text[start:end].split()[0] in NO_NAMES:
        return None
    if not size or (one.near and not one.near.search(before)):
        return None
    if one.not_near and one.not_near.search(before):
        return None
    return Span(one.kind, start, start + size)


def _suspect(cells: Expr) -> Expr:
    """Whether a text may hold anything: what any recogniser needs, in Rust."""
    needs = "|".join(f"(?:{one})" for one in dict.fromkeys(one.needs for one in RECOGNISERS))
    return cells.str.contains(needs)


def _findings(name: str, texts: Series) -> list[Finding]:
    suspects = texts.to_frame("text").filter(_suspect(pl.col("text")))["text"]
    rows = dict.fromkeys(KINDS, 0)
    examples: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for text in suspects:
        found = spans(text)
        for kind in {one.kind for one in found}:
            rows[kind] += 1
        for one in found:
            if len(examples[one.kind]) < 3:
                examples[one.kind].append(re.sub(r"[^\W_]", "*", text[one.start : one.end]))
    return [
        Finding(
            column=name, kind=kind, rows=count, share=count / len(texts), examples=examples[kind]
        )
        for kind, count in rows.items()
        if count
    ]


def taken_out(name: str, method: Method, key: bytes) -> Expr:
    """A column, read as texts, without the personal data in its values."""

    def work(texts: Series) -> Series:
        made = [None if text is None else replaced(text, method, key) for text in texts]
        return Series(made, dtype=pl.String)

    cells = column(name).cast(pl.String)
    suspects = pl.when(_suspect(cells)).then(cells)
    changed = suspects.map_batches(work, return_dtype=pl.String, is_elementwise=True)
    return pl.coalesce(changed, cells).alias(name)
