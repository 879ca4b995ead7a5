"""Four figures of a table's quality, each a share of 0 to 1, and what lowers them.

``docs/explanation/data-quality.md`` tells what they can and cannot say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl
from polars import DataFrame, Expr, LazyFrame

from modelyard.ml.constraints import Constraint, Expression, Unique, compiled, reads_as, validate
from modelyard.ml.figures import ColumnProfile, Issue, Profile, Quality
from modelyard.ml.reading import Source, column, opened, streamed
from modelyard.ml.rowgroups import of_long_rows
from modelyard.ml.sampling import Spans, sample

# Not "none" and "unknown": those are values of real categories ("other debtors: none").
PLACEHOLDERS = ("", "-", "--", "?", "n/a", "#n/a", "na", "nan", "nil", "null", "tbd")
FORMATS = {
    "2024-12-31": r"^\d{4}-\d{1,2}-\d{1,2}([T ].*)?$",
    "2024/12/31": r"^\d{4}/\d{1,2}/\d{1,2}( .*)?$",
    "31.12.2024": r"^\d{1,2}\.\d{1,2}\.\d{4}( .*)?$",
    "12/31/2024": r"^\d{1,2}/\d{1,2}/\d{4}( .*)?$",
    "31 Dec 2024": r"^\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{4}$",
}
TYPICAL = 0.95  # of a column's texts read as a type: the others are mistakes
MOST_SPELLINGS = 10_000
LOOKED_AT = 20_000  # rows, to guess what a column of texts is of
_CONTROLS = "[\x00-\x08\x0e-\x1f\x7f\ufffd]"
_TYPES = ("integer", "number", "boolean", "date", "datetime")


class Reference(NamedTuple):
    """Rows known to be right, and the columns that tell which row is which."""

    source: Source
    key: list[str]


class _Found(NamedTuple):
    bad: int
    judged: int
    issues: list[Issue]


def quality(
    source: Source,
    profile: Profile,
    constraints: Sequence[Constraint] = (),
    reference: Reference | None = None,
    looked_at: int = LOOKED_AT,
) -> Quality:
    """The figures of a table of which there is a profile; rows are streamed.

    From about ``looked_at`` rows it is guessed what a column of texts is of. Raises
    ``constraints.Unusable``; ``ValueError`` where the reference lacks a key column.
    """
    frame = opened(source)
    cells = profile.rows * len(profile.columns)
    nulls = sum(one.nulls for one in profile.columns)
    validity = _validity(frame, profile, constraints, looked_at, of_long_rows(source))
    consistency = _consistency(frame, profile, constraints)
    by = None if reference is None else "reference"
    if reference is None:
        accuracy = _extremes(frame, profile)
        by = "extremes" if accuracy.judged else None
    else:
        accuracy = _against(frame, reference, profile)
    missing = [
        Issue(dimension="completeness", column=one.name, what="no value", count=one.nulls)
        for one in profile.columns
        if one.nulls
    ]
    issues = [*missing, *validity.issues, *consistency.issues, *accuracy.issues]
    return Quality(
        completeness=1 - nulls / cells if cells else 1.0,
        consistency=_share(consistency),
        accuracy=_share(accuracy) if accuracy.judged else None,
        validity=_share(validity),
        accuracy_by=by,
        issues=sorted(issues, key=lambda one: (-one.count, one.dimension, one.column, one.what)),
    )


def _share(found: _Found) -> float:
    return 1 - found.bad / found.judged if found.judged else 1.0


def _texts(profile: Profile) -> list[str]:
    return [one.name for one in profile.columns if one.type == "string"]


# Validity.


def _validity(
    frame: LazyFrame,
    profile: Profile,
    constraints: Sequence[Constraint],
    looked_at: int,
    spans: Spans | None,
) -> _Found:
    reasons: dict[str, list[tuple[str, Expr]]] = {one.name: [] for one in profile.columns}
    for constraint, rule in zip(constraints, compiled(frame, constraints), strict=True):
        if rule is not None and not isinstance(constraint, Expression):
            name = rule.columns[0]
            what = f"breaks the constraint {constraint.__struct_config__.tag}"
            reasons[name].append((what, rule.broken & column(name).is_not_null()))
    texts = _texts(profile)
    drawn = DataFrame()
    if texts:
        chosen = frame.select(map(column, texts))
        drawn = sample(chosen, profile.rows, looked_at, 1, spans)
    for name in texts:
        cells = column(name)
        folded = cells.str.strip_chars().str.to_lowercase()
        reasons[name].append(("stands for no value", folded.is_in(PLACEHOLDERS)))
        reasons[name].append(("control characters", cells.str.contains(_CONTROLS)))
        if type_ := _typical(drawn, name):
            reasons[name].append((f"does not read as {type_}", reads_as(cells, type_).not_()))
    wanted: list[Expr] = []
    for name, every in reasons.items():
        wanted += [test.sum().alias(f"{at}:{name}") for at, (_, test) in enumerate(every)]
        if every:
            any_ = pl.any_horizontal(test.fill_null(value=False) for _, test in every)
            wanted.append(any_.sum().alias(f"any:{name}"))
    counted = streamed(frame.select(wanted)).row(0, named=True) if wanted else {}
    issues = [
        Issue(dimension="validity", column=name, what=what, count=counted[f"{at}:{name}"])
        for name, every in reasons.items()
        for at, (what, _) in enumerate(every)
        if counted[f"{at}:{name}"]
    ]
    bad = sum(count for name, count in counted.items() if name.startswith("any:"))
    there = sum(profile.rows - one.nulls for one in profile.columns)
    return _Found(bad, there, issues)


def _typical(drawn: DataFrame, name: str) -> str | None:
    """The type as which nearly all texts of the column read, if there is one."""
    texts = drawn.select(column(name)).drop_nulls()
    if texts.height < 20:
        return None
    for type_ in _TYPES:
        if texts.select(reads_as(column(name), type_).mean()).item() >= TYPICAL:
            return type_
    return None


# Consistency.


def _consistency(frame: LazyFrame, profile: Profile, constraints: Sequence[Constraint]) -> _Found:
    parts = [
        _spellings(frame, one)
        for one in profile.columns
        if one.type == "string" and one.distinct <= min(MOST_SPELLINGS, profile.rows // 2)
    ]
    parts.append(_formats(frame, _texts(profile)))
    across = [one for one in constraints if isinstance(one, Expression | Unique)]
    for verdict in validate(frame, across, samples=0).verdicts if across else []:
        one = verdict.constraint
        where = ", ".join(one.columns) if isinstance(one, Unique) else ""
        what = one.expression if isinstance(one, Expression) else "repeats a key"
        issue = Issue(dimension="consistency", column=where, what=what, count=verdict.broken)
        parts.append(_Found(verdict.broken, verdict.checked, [issue] if verdict.broken else []))
    return _Found(
        sum(one.bad for one in parts),
        sum(one.judged for one in parts),
        [issue for one in parts for issue in one.issues],
    )


def _spellings(frame: LazyFrame, one: ColumnProfile) -> _Found:
    """Texts of which a more frequent one differs in case and spaces alone."""
    counted = streamed(frame.select(text=column(one.name)).drop_nulls().group_by("text").len())
    folded = pl.col("text").str.strip_chars().str.replace_all(r"\s+", " ").str.to_lowercase()
    forms = counted.group_by(folded.alias("folded")).agg(
        pl.col("len").sum(), pl.col("len").max().alias("most")
    )
    judged = int(forms["len"].sum())
    bad = judged - int(forms["most"].sum())
    what = "differs from a more frequent spelling in case or spaces"
    issue = Issue(dimension="consistency", column=one.name, what=what, count=bad)
    return _Found(bad, judged, [issue] if bad else [])


def _formats(frame: LazyFrame, names: list[str]) -> _Found:
    """Dates written as most dates of their column are not; columns with less than half dates have
    none.
    """
    if not names:
        return _Found(0, 0, [])
    wanted = [column(name).is_not_null().sum().alias(f"there:{name}") for name in names]
    wanted += [
        column(name).str.contains(form).sum().alias(f"{shown}:{name}")
        for name in names
        for shown, form in FORMATS.items()
    ]
    counted = streamed(frame.select(wanted)).row(0, named=True)
    bad = judged = 0
    issues = []
    for name in names:
        forms = {shown: counted[f"{shown}:{name}"] for shown in FORMATS}
        dates = sum(forms.values())
        if not dates or dates < counted[f"there:{name}"] / 2:
            continue
        usual = max(forms, key=lambda shown: forms[shown])
        judged += dates
        other = dates - forms[usual]
        bad += other
        if other:
            what = f"a date that is not written as {usual}"
            issues.append(Issue(dimension="consistency", column=name, what=what, count=other))
    return _Found(bad, judged, issues)


# Accuracy.


def _extremes(frame: LazyFrame, profile: Profile) -> _Found:
    wanted: list[Expr] = []
    judged = 0
    for one in profile.columns:
        if one.outliers is not None:
            reach = (one.outliers.high - one.outliers.low) * 3 / 8  # of 4 ranges: 1.5 more
            low, high = one.outliers.low - reach, one.outliers.high + reach
            cells = column(one.name)
            wanted.append(((cells < low) | (cells > high)).sum().alias(one.name))
            judged += profile.rows - one.nulls
    counted = streamed(frame.select(wanted)).row(0, named=True) if wanted else {}
    issues = [
        Issue(dimension="accuracy", column=name, what="beyond the outer fences", count=count)
        for name, count in counted.items()
        if count
    ]
    return _Found(sum(counted.values()), judged, issues)


def _against(frame: LazyFrame, reference: Reference, profile: Profile) -> _Found:
    """Cells of the rows in both; a value beside none differs, two absent ones do not."""
    right = opened(reference.source)
    known = right.collect_schema().names()
    names = [one.name for one in profile.columns]
    for name in reference.key:
        if name not in known or name not in names:
            raise ValueError(f"the key column {name!r} is not in both, the data and the reference")
    shared = [name for name in names if name in known and name not in reference.key]
    keys = [f"key{at}" for at in range(len(reference.key))]
    mine, theirs = (
        of.select(
            *(column(name).alias(key) for key, name in zip(keys, reference.key, strict=True)),
            *(column(name).alias(f"{side}{at}") for at, name in enumerate(shared)),
        )
        for side, of in (("a", frame), ("b", right.unique(reference.key, keep="any")))
    )
    both = mine.join(theirs, on=keys)
    wanted = [
        pl.col(f"a{at}").ne_missing(pl.col(f"b{at}")).sum().alias(str(at))
        for at in range(len(shared))
    ]
    counted = streamed(both.select(pl.len().alias("rows"), *wanted)).row(0, named=True)
    issues = [
        Issue(
            dimension="accuracy",
            column=name,
            what="not as in the reference",
            count=counted[str(at)],
        )
        for at, name in enumerate(shared)
        if counted[str(at)]
    ]
    return _Found(sum(one.count for one in issues), counted["rows"] * len(shared), issues)
