"""Figures as they are shown: decimal USD, rates, periods of days."""

import math
import time
from typing import Annotated

from msgspec import Meta

from modelyard.inference.call import Price

NANO = 1_000_000_000
DAY = 86_400  # seconds
PERIOD = 7  # days, where a question names none

Usd = Annotated[float, Meta(description="US dollars.")]
Percent = Annotated[float, Meta(ge=0, le=100, description="Percent: 0 to 100.")]


def usd(nano: int | None) -> float | None:
    """Nano-dollars as US dollars; an unknown price stays unknown."""
    return None if nano is None else round(nano / NANO, 9)


def per_thousand(nano_per_token: float | None) -> float | None:
    """A price in nano-dollars per token as US dollars per 1,000 tokens."""
    return None if nano_per_token is None else round(nano_per_token * 1000 / NANO, 9)


def cost(price: Price, input_tokens: float, output_tokens: float) -> float:
    """US dollars for so many tokens, none of them cached."""
    return round((input_tokens * price.input + output_tokens * price.output) / NANO, 9)


def ratio(part: float, whole: float, digits: int = 4) -> float | None:
    """``part / whole``; None where there is nothing to compare."""
    return round(part / whole, digits) if whole else None


def percent(part: float, whole: float) -> float | None:
    """``part`` in percent of ``whole``."""
    return round(100 * part / whole, 2) if whole else None


def reliability(succeeded: int, total: int) -> float | None:
    """The lower end of the 95 % interval of a success rate (E. B. Wilson, 1927).

    So three successes of three count less than 3,000 of 3,000. None without any attempt.
    """
    if not total:
        return None
    z = 1.959964
    rate = succeeded / total
    centre = rate + z * z / (2 * total)
    spread = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    return round(max(0.0, (centre - spread) / (1 + z * z / total)), 4)


def first_day(days: int, now: float | None = None) -> float:
    """The beginning of a period that ends now: midnight UTC, so that today is its last day."""
    moment = time.time() if now is None else now
    return moment // DAY * DAY - (days - 1) * DAY


def dates(since: float, days: int) -> list[str]:
    """The dates of a period, the first day first."""
    return [time.strftime("%Y-%m-%d", time.gmtime(since + number * DAY)) for number in range(days)]
