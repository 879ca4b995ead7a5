"""How long data is kept: ``2 years`` (seed 002's form) and ``P2Y`` (ISO 8601) are the same."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_WORDS = ("year", "month", "week", "day", "hour", "minute", "second")
_ISO = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?"
    r"(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?"
)
_WORD = re.compile(r"(\d+) (year|month|week|day|hour|minute|second)s?")
_MOST_YEARS = 1000


class Duration(NamedTuple):
    """Whole years, months, weeks and so on: a year is as long as the calendar says."""

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: int = 0

    def __str__(self) -> str:
        """``1 year 6 months``."""
        named = zip(self, _WORDS, strict=True)
        return " ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in named if n)

    def before(self, now: float) -> float:
        """The time (Unix seconds) from which on it is not over at ``now``."""
        at = datetime.fromtimestamp(now, UTC)
        months = at.year * 12 + at.month - 1 - self.years * 12 - self.months
        year, month = divmod(months, 12)
        if year < 1:
            return 0.0
        day = min(at.day, monthrange(year, month + 1)[1])
        rest = timedelta(
            weeks=self.weeks,
            days=self.days,
            hours=self.hours,
            minutes=self.minutes,
            seconds=self.seconds,
        )
        try:
            return (at.replace(year=year, month=month + 1, day=day) - rest).timestamp()
        except OverflowError:
            return 0.0


def parse(text: str) -> Duration:
    """A duration in words or in ISO 8601. Raises ValueError."""
    found = _ISO.fullmatch(text)
    if found is not None and text[-1] not in "PT":
        return _checked(Duration(*(int(one or 0) for one in found.groups())))
    parts = re.split(r"(?:,? and |, ?| (?=\d))", text.strip().lower())
    amounts = dict.fromkeys(_WORDS, 0)
    for part in parts:
        word = _WORD.fullmatch(part)
        if word is None or amounts[word[2]]:
            raise ValueError(f"'{part}' is no duration")
        amounts[word[2]] = int(word[1])
    return _checked(Duration(*amounts.values()))


def _checked(found: Duration) -> Duration:
    """Raise ValueError for nothing, and for more than a thousand years."""
    if not any(found):
        raise ValueError("it is empty")
    if len(str(max(found))) > 10 or found.years + found.months // 12 > _MOST_YEARS:
        raise ValueError(f"it is longer than {_MOST_YEARS} years")
    return found
