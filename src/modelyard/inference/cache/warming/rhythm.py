"""When in the week something happens: decayed counts by hour, smoothed where they are few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

HOUR = 3_600.0
DAY = 24 * HOUR
WEEK_HOURS = 168
HALF_LIFE = 7 * DAY  # an event counts half as much a week later
_OWN, _BESIDE = 0.6, 0.2  # an hour speaks for those beside it
_DAILY = 3.0  # events of its own that outweigh what the others do, for the hour of the day
_WEEKLY = 8.0  # … for the hour of the week
_EVEN = 50.0  # events of all that outweigh the assumption that every hour is alike


def hour_of_week(at: float) -> int:
    """0 to 167, in UTC, of a Unix time; 0 is Thursday's first hour, as the epoch's."""
    return int(at // HOUR) % WEEK_HOURS


class Rhythm(Struct):
    """Decayed counts of events by the hour of the week; hours without any are not kept."""

    bins: dict[int, float] = {}
    total: float = 0.0
    decayed_at: float = 0.0  # Unix seconds; counts are as of then

    def add(self, at: float) -> None:
        """Count an event."""
        self.decay(at)
        hour = hour_of_week(at)
        self.bins[hour] = self.bins.get(hour, 0.0) + 1.0
        self.total += 1.0

    def decay(self, now: float) -> None:
        """Let the counts fade, in steps of an hour."""
        passed = now - self.decayed_at
        if passed < HOUR:
            return
        if self.bins:
            factor = 0.5 ** (passed / HALF_LIFE)
            self.bins = {
                hour: left for hour, n in self.bins.items() if (left := n * factor) > 0.001
            }
            self.total *= factor
        self.decayed_at = now

    def daily(self, hour: int) -> float:
        """The smoothed count of an hour of the day, all days of the week together."""
        total = 0.0
        for other, count in self.bins.items():
            apart = (other - hour) % 24
            if not apart:
                total += _OWN * count
            elif apart in {1, 23}:
                total += _BESIDE * count
        return total

    def weekly(self, hour: int) -> float:
        """The smoothed count of an hour of the week."""
        get = self.bins.get
        beside = get((hour - 1) % WEEK_HOURS, 0.0) + get((hour + 1) % WEEK_HOURS, 0.0)
        return _OWN * get(hour, 0.0) + _BESIDE * beside


def shape_of_all(all_events: Rhythm, hour: int) -> float:
    """How busy an hour of the week is, 1 on the average."""
    counted = WEEK_HOURS * all_events.weekly(hour)
    return (counted + _EVEN) / (all_events.total + _EVEN)


def shape(own: Rhythm, of_all: float, hour: int) -> float:
    """How much more often than on its average something happens in this hour of the week.

    Few events of its own say little: the hour of the day fills in for that of the week, and what
    all do (``of_all``: ``shape_of_all``) for both.
    """
    day = 24 * own.daily(hour) + _DAILY * of_all
    day /= own.total + _DAILY
    return (WEEK_HOURS * own.weekly(hour) + _WEEKLY * day) / (own.total + _WEEKLY)


def hours(start: float, end: float) -> Iterator[tuple[int, float]]:
    """The hours of the week that an interval touches, and how much of each, in seconds.

    A part beyond a week is left out.
    """
    end = min(end, start + WEEK_HOURS * HOUR)
    while start < end:
        until = min(end, (start // HOUR + 1) * HOUR)
        yield hour_of_week(start), until - start
        start = until


def exposure(seconds: float) -> float:
    """The seconds for which decayed counts were gathered, decayed as they are."""
    mean_life = HALF_LIFE / 0.6931471805599453
    return mean_life * float(1.0 - 0.5 ** (max(0.0, seconds) / HALF_LIFE))


def faded(counts: Mapping[bytes, float], factor: float) -> dict[bytes, float]:
    """The counts times ``factor``, without those that are next to nothing."""
    return {name: left for name, count in counts.items() if (left := count * factor) > 0.05}
