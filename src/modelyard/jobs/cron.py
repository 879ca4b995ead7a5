"""Cron expressions: minute, hour, day of month, month, day of week; and the next time one means.

As in Vixie's cron: lists, ranges, steps and English names; where both days are restricted, either
will do. ``@hourly``, ``@daily``, ``@weekly``, ``@monthly`` and ``@yearly`` are short for what they
say.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_PART = re.compile(r"(\*|[a-z0-9]+)(?:-([a-z0-9]+))?(?:/(\d+))?")
_YEARS = 8  # a 29th of February comes at last after eight years


class Cron(Struct, frozen=True):
    """A parsed expression; ``zone`` is where its times are told."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    either: bool  # the day of month or the day of week
    zone: str = "UTC"

    def after(self, at: float) -> float:
        """The first time after ``at``, both in Unix seconds; infinity where there is none.

        A time that the clocks pass over in spring is the one that much later.
        """
        zone = UTC if self.zone == "UTC" else ZoneInfo(self.zone)
        day = datetime.fromtimestamp(at, zone).date()
        for _ in range(_YEARS * 366):
            if self._means(day):
                for hour in self.hours:
                    for minute in self.minutes:
                        local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                        if (found := local.timestamp()) > at:
                            return found
            day += timedelta(days=1)
        return float("inf")

    def _means(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_month = day.day in self.days
        by_week = day.isoweekday() % 7 in self.weekdays
        return by_month or by_week if self.either else by_month and by_week


def parse(text: str, zone: str = "UTC") -> Cron:
    """Raises ValueError, naming the field and what it may hold."""
    words = _MACROS.get(text.strip().lower(), text).lower().split()
    if len(words) != len(_FIELDS):
        raise ValueError(
            f"'{text}' has {len(words)} fields; a cron expression has 5: minute, hour, day of "
            "month, month, day of week"
        )
    minutes, hours, days, months, weekdays = (
        _values(word, *field) for word, field in zip(words, _FIELDS, strict=True)
    )
    return Cron(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        frozenset(days),
        frozenset(months),
        frozenset(number % 7 for number in weekdays),
        not words[2].startswith("*") and not words[4].startswith("*"),
        zone,
    )


def _values(word: str, name: str, least: int, most: int, names: dict[str, int]) -> set[int]:
    found: set[int] = set()
    for part in word.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{name}: '{part}' is none; write * or numbers, such as 1,5 or 1-5/2")
        first, last, step = match.groups()
        if first == "*":
            low, high = least, most if name != "day of week" else 6
        else:
            low = _number(first, name, least, most, names)
            high = low if last is None else _number(last, name, least, most, names)
            if last is None and step is not None:
                high = most if name != "day of week" else 6
        if high < low or step == "0":
            raise ValueError(f"{name}: '{part}' holds nothing")
        found |= set(range(low, high + 1, int(step or 1)))
    return found


def _number(text: str, name: str, least: int, most: int, names: dict[str, int]) -> int:
    number = names.get(text, int(text) if text.isdigit() else -1)
    if not least <= number <= most:
        raise ValueError(f"{name}: '{text}' is not from {least} to {most}")
    return number
