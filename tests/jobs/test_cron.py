"""Cron expressions, held to croniter's reading of them."""

from datetime import UTC, datetime

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.jobs import cron


def field(least: int, most: int, *, free: bool = True) -> st.SearchStrategy[str]:
    """One field: a star, a step, numbers, ranges."""
    number = st.integers(least, most)
    # croniter takes a range of one day, 0-0, for every day of the week.
    pairs = st.tuples(number, number).filter(lambda two: two[0] < two[1])
    ranges = pairs.map(lambda two: f"{two[0]}-{two[1]}")
    stepped = st.tuples(ranges, st.integers(1, 9)).map(lambda two: f"{two[0]}/{two[1]}")
    listed = st.lists(st.one_of(number.map(str), ranges, stepped), min_size=1, max_size=3)
    words = [listed.map(",".join)]
    return st.one_of(st.just("*"), *words) if free else words[0]


EXPRESSIONS = st.tuples(
    st.one_of(field(0, 59), st.integers(1, 30).map(lambda step: f"*/{step}")),
    field(0, 23),
    field(1, 28),
    field(1, 12),
    field(0, 6),
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS, st.integers(1_600_000_000, 1_900_000_000))
def test_the_next_time_is_croniters(expression: str, at: int) -> None:
    wanted = croniter(expression, datetime.fromtimestamp(at, UTC)).get_next(float)
    assert cron.parse(expression).after(at) == wanted


@pytest.mark.parametrize(
    ("expression", "zone", "after", "wanted"),
    [
        ("17 3 * * *", "UTC", "2026-01-15T03:17:00", "2026-01-16T03:17:00"),
        ("0 9 * * mon-fri", "Europe/Berlin", "2026-07-03T12:00:00", "2026-07-06T07:00:00"),
        ("@monthly", "UTC", "2026-01-15T00:00:00", "2026-02-01T00:00:00"),
        ("0 0 29 feb *", "UTC", "2096-03-01T00:00:00", "2104-02-29T00:00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00", "2026-03-29T01:30:00"),
    ],
)
def test_known_times(expression: str, zone: str, after: str, wanted: str) -> None:
    def seconds(text: str) -> float:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    assert cron.parse(expression, zone).after(seconds(after)) == seconds(wanted)


def test_a_day_that_never_comes_is_never() -> None:
    assert cron.parse("0 0 31 2 *").after(0) == float("inf")


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("* * * *", "4 fields"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of month"),
        ("* * * foo *", "month"),
        ("* * * * 1-", "day of week"),
        ("*/0 * * * *", "minute"),
        ("9-5 * * * *", "minute"),
        ("", "0 fields"),
    ],
)
def test_what_is_wrong_is_named(expression: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        cron.parse(expression)
