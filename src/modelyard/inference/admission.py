"""Admission: may this key call now, and what must be reserved for the call?"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from modelyard.auth.keys import Key, Limits
from modelyard.inference.call import Call
from modelyard.kernel.errors import Failure

_DAY = 86_400.0


class Window:
    """A sliding-window counter: the last whole window weighs what still overlaps.

    Two counters instead of a log of times; the estimate is exact when the last window's use was
    even. A burst at the end of one window cannot be repeated at the start of the next.
    """

    __slots__ = ("current", "limit", "name", "previous", "seconds", "start", "unit")

    def __init__(self, name: str, limit: int, seconds: float, unit: str = "requests") -> None:
        self.name = name
        self.limit = limit
        self.seconds = seconds
        self.unit = unit
        self.start = 0.0
        self.current = 0
        self.previous = 0

    def used(self, now: float) -> float:
        """How much of the limit is used at ``now`` (Unix seconds)."""
        passed = now - self.start
        if passed >= self.seconds:
            self._roll(now, passed)
            passed = now - self.start
        if not self.previous:
            return self.current
        return self.current + self.previous * (1.0 - passed / self.seconds)

    def _roll(self, now: float, passed: float) -> None:
        self.previous = self.current if passed < 2 * self.seconds else 0
        self.current = 0
        self.start = now - now % self.seconds

    def wait(self, now: float, amount: float) -> float:
        """Seconds until ``amount`` more would fit; the window's length when it never will."""
        room = self.limit - amount
        if room < 0:
            return self.seconds
        left = self.seconds - (now - self.start)
        if self.current <= room and self.previous:
            share = (room - self.current) / self.previous
            return max(0.0, self.seconds * (1.0 - share) - (now - self.start))
        if self.current:  # it becomes the previous window first, then fades
            return left + self.seconds * max(0.0, 1.0 - room / self.current)
        return left


class Meter:
    """What one key has used, in this process. ``None`` windows are not limited."""

    def __init__(self, limits: Limits) -> None:
        self.running = 0
        self.tokens_reserved = 0
        self.money_reserved = 0  # nano-dollars held for running calls
        self.windows: list[Window] = []
        self.apply(limits)

    def apply(self, limits: Limits) -> None:
        """Take over changed limits; what was used stays used."""
        before = {window.name: window for window in self.windows}
        self.limits = limits
        self.second = _window("second", limits.requests_per_second, 1.0)
        self.minute = _window("minute", limits.requests_per_minute, 60.0)
        self.tokens = _window("tokens", limits.tokens_per_minute, 60.0, "tokens")
        self.day = _window("day", limits.requests_per_day, _DAY)
        self.requests = [w for w in (self.second, self.minute, self.day) if w is not None]
        self.windows = [*self.requests, *([self.tokens] if self.tokens else [])]
        self.policy = self._policy()
        for window in self.windows:
            if (old := before.get(window.name)) is not None:
                window.start, window.current = old.start, old.current
                window.previous = old.previous

    def _policy(self) -> bytes:
        """The ``RateLimit-Policy`` field (draft-ietf-httpapi-ratelimit-headers-10)."""
        items = [f'"{w.name}";q={w.limit};w={int(w.seconds)}' for w in self.windows]
        if self.limits.concurrent_requests is not None:
            items.append(
                f'"concurrent";q={self.limits.concurrent_requests};qu="concurrent-requests"'
            )
        return ", ".join(items).encode()

    def headers(self, now: float) -> bytes:
        """The rate-limit fields as header lines, for any answer to this key."""
        if not self.windows and self.limits.concurrent_requests is None:
            return b""
        return limit_lines(self, now)


def _window(name: str, limit: int | None, seconds: float, unit: str = "requests") -> Window | None:
    return None if limit is None else Window(name, limit, seconds, unit)


def limit_lines(meter: Meter, now: float) -> bytes:
    """X-RateLimit-* (the request limit nearest to exhaustion), RateLimit, X-Quota-* and the
    fields that OpenAI's clients read.
    """
    lines = []
    states = []
    nearest: tuple[float, Window, int] | None = None
    for window in meter.windows:
        remaining = max(0, int(window.limit - window.used(now)))
        reset = max(1, math.ceil(window.start + window.seconds - now))
        states.append(b'"%b";r=%d;t=%d' % (window.name.encode(), remaining, reset))
        if window is meter.tokens:
            lines.append(
                _OPENAI % (b"tokens", window.limit, b"tokens", remaining, b"tokens", reset)
            )
            continue
        share = remaining / window.limit
        if nearest is None or share < nearest[0]:
            nearest = (share, window, remaining)
    if nearest is not None:
        _, window, remaining = nearest
        reset = max(1, math.ceil(window.start + window.seconds - now))
        lines.append(
            b"x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %d\r\nx-ratelimit-reset: %d\r\n"
            % (window.limit, remaining, math.ceil(window.start + window.seconds))
        )
        lines.append(
            _OPENAI % (b"requests", window.limit, b"requests", remaining, b"requests", reset)
        )
    if meter.day is not None:
        used = math.ceil(meter.day.used(now))
        lines.append(b"x-quota-limit: %d\r\nx-quota-used: %d\r\n" % (meter.day.limit, used))
    if meter.limits.concurrent_requests is not None:
        free = max(0, meter.limits.concurrent_requests - meter.running)
        states.append(b'"concurrent";r=%d' % free)
    lines.append(b"ratelimit: %b\r\nratelimit-policy: %b\r\n" % (b", ".join(states), meter.policy))
    return b"".join(lines)


_OPENAI = (
    b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %d\r\nx-ratelimit-reset-%b: %ds\r\n"
)


@dataclass(slots=True)
class Ticket:
    """What admission holds for one call, until ``release``."""

    meter: Meter
    tokens: int
    money: int
    at: float
    released: bool = False

    def release(self, tokens: int) -> None:
        """Give back the slot and the reservations; ``tokens`` were really used. Once only."""
        if self.released:
            return
        self.released = True
        meter = self.meter
        meter.running -= 1
        meter.money_reserved -= self.money
        meter.tokens_reserved -= self.tokens
        if meter.tokens is not None and tokens:
            meter.tokens.used(time.time())
            meter.tokens.current += tokens


class Admission:
    """The limits of every key that called this process."""

    def __init__(self, max_meters: int = 100_000) -> None:
        self._meters: dict[str, Meter] = {}
        self._max = max_meters

    def meter(self, key: Key) -> Meter:
        """The key's meter. Changed limits begin to count at once; what was used stays used."""
        meter = self._meters.get(key.id)
        if meter is None:
            if len(self._meters) >= self._max:
                self._forget()
            meter = self._meters[key.id] = Meter(key.limits)
        elif meter.limits is not key.limits and meter.limits != key.limits:
            meter.apply(key.limits)
        return meter

    def admit(self, call: Call, reserve_tokens: int, reserve_money: int) -> Ticket:
        """Check every limit, then take from each. Raises RATE_LIMITED or QUOTA_EXCEEDED."""
        meter = self.meter(call.key)
        now = call.at
        concurrent = meter.limits.concurrent_requests
        if concurrent is not None and meter.running >= concurrent:
            raise Failure(
                "RATE_LIMITED",
                f"This key may run {concurrent} requests at once, and so many are running.",
                details={"limit": "concurrent_requests", "size": concurrent},
                retry_after=1.0,
            )
        for window in meter.requests:
            if window.used(now) + 1 > window.limit:
                raise _exceeded(window, now, 1)
        tokens = meter.tokens
        if tokens is not None:
            wanted = meter.tokens_reserved + reserve_tokens
            if tokens.used(now) + wanted > tokens.limit:
                raise _exceeded(tokens, now, wanted)
        for window in meter.requests:
            window.current += 1
        meter.running += 1
        meter.tokens_reserved += reserve_tokens
        meter.money_reserved += reserve_money
        return Ticket(meter, reserve_tokens, reserve_money, now)

    def running(self) -> int:
        """Calls between admission and settlement, all keys together."""
        return sum(meter.running for meter in self._meters.values())

    def _forget(self) -> None:
        """Bound the memory: idle meters of the longest known keys go first."""
        for key_id in [k for k, m in self._meters.items() if not m.running][: self._max // 10]:
            del self._meters[key_id]


_FIELDS = {
    "second": "requests_per_second",
    "minute": "requests_per_minute",
    "day": "requests_per_day",
    "tokens": "tokens_per_minute",
}


def _exceeded(window: Window, now: float, amount: float) -> Failure:
    field = _FIELDS[window.name]
    wait = max(0.001, window.wait(now, amount))
    code = "QUOTA_EXCEEDED" if window.name == "day" else "RATE_LIMITED"
    details = {
        "limit": field,
        "size": window.limit,
        "used": math.ceil(window.used(now)),
        "resets_in_seconds": round(wait, 3),
    }
    if amount > window.limit:
        message = (
            f"This request needs {math.ceil(amount)} {window.unit}, more than the key's whole "
            f"{field} of {window.limit}. Ask for fewer tokens, or raise the key's limit."
        )
    else:
        message = f"The key's {field} of {window.limit} is used up; try again in {wait:.3g} s."
    return Failure(code, message, details=details, retry_after=round(wait, 3))
