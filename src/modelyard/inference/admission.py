"""Admission: may this key call now, and what must be reserved for the call?"""

from __future__ import annotations

import time
from math import ceil

from modelyard.auth.keys import Key, Limits
from modelyard.inference.call import Call
from modelyard.protocol.errors import Failure

_DAY = 86_400.0
_SET_BACK = 900.0  # seconds: so late no body comes; the clock was set back


class Window:
    """A sliding-window counter: the last whole window weighs what still overlaps.

    Two counters instead of a log of times; the estimate is exact when the last window's use was
    even. A burst at the end of one window cannot be repeated at the start of the next.
    """

    __slots__ = ("current", "end", "limit", "name", "previous", "seconds", "unit")

    def __init__(self, name: str, limit: int, seconds: float, unit: str = "requests") -> None:
        self.name = name
        self.limit = limit
        self.seconds = seconds
        self.unit = unit
        self.end = 0.0  # Unix time
        self.current = 0
        self.previous = 0

    def used(self, now: float) -> float:
        """How much of the limit is used at ``now`` (Unix seconds)."""
        if now >= self.end or now < self.end - self.seconds - _SET_BACK:
            self._roll(now)
        if not self.previous:
            return self.current
        # ``now`` is a call's arrival: before this window began, if its body took long to come.
        return self.current + self.previous * min(1.0, (self.end - now) / self.seconds)

    def _roll(self, now: float) -> None:
        self.previous = self.current if now < self.end + self.seconds else 0
        self.current = 0
        self.end = now - now % self.seconds + self.seconds

    def wait(self, now: float, amount: float) -> float:
        """Seconds until ``amount`` more would fit; the window's length when it never will."""
        room = self.limit - amount
        if room < 0:
            return self.seconds
        left = self.end - now
        if self.current <= room and self.previous:
            share = (room - self.current) / self.previous
            return max(0.0, left - self.seconds * share)
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
        for window in self.windows:
            if (old := before.get(window.name)) is not None:
                window.end, window.current = old.end, old.current
                window.previous = old.previous
        self._template = _template(self)

    def headers(self, now: float) -> bytes:
        """The rate-limit fields as header lines, for any answer to this key."""
        if not self._template:
            return b""
        states: list[int] = []
        nearest: Window | None = None
        least, share = 0, 2.0
        for window in self.requests:
            used = window.current if window.end > now and not window.previous else window.used(now)
            limit = window.limit
            left = int(limit - used) if used < limit else 0
            states.append(left)
            states.append(int(window.end - now) + 1)
            if left / limit < share:
                share, least, nearest = left / limit, left, window
        tokens = self.tokens
        left = reset = 0
        if tokens is not None:
            left = max(0, int(tokens.limit - tokens.used(now) - self.tokens_reserved))
            reset = int(tokens.end - now) + 1
            states += (left, reset)
        if self.limits.concurrent_requests is not None:
            states.append(max(0, self.limits.concurrent_requests - self.running))
        if tokens is not None:
            states += (tokens.limit, left, reset)
        if nearest is not None:
            limit, end = nearest.limit, nearest.end
            states += (limit, least, int(end) + 1, limit, least, int(end - now) + 1)
        if self.day is not None:
            states += (self.day.limit, ceil(self.day.used(now)))
        return self._template % tuple(states)


def _window(name: str, limit: int | None, seconds: float, unit: str = "requests") -> Window | None:
    return None if limit is None else Window(name, limit, seconds, unit)


def _template(meter: Meter) -> bytes:
    """The limit fields of a key, with a place for each figure that changes.

    ``RateLimit`` and ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers-10) tell every
    limit; ``X-RateLimit-*`` the request limit nearest to exhaustion; ``X-RateLimit-*-Requests``
    and ``-Tokens`` are what OpenAI's clients read; ``X-Quota-*`` is the daily quota.
    """
    policy = [f'"{w.name}";q={w.limit};w={int(w.seconds)}' for w in meter.windows]
    state = [f'"{w.name}";r=%d;t=%d' for w in meter.windows]
    if (concurrent := meter.limits.concurrent_requests) is not None:
        policy.append(f'"concurrent";q={concurrent};qu="concurrent-requests"')
        state.append('"concurrent";r=%d')
    if not state:
        return b""
    lines = ["ratelimit: " + ", ".join(state)]
    if meter.tokens is not None:
        lines += [f"x-ratelimit-{part}-tokens: %d" for part in ("limit", "remaining")]
        lines.append("x-ratelimit-reset-tokens: %ds")
    if meter.requests:
        lines += [f"x-ratelimit-{part}: %d" for part in ("limit", "remaining", "reset")]
        lines += [f"x-ratelimit-{part}-requests: %d" for part in ("limit", "remaining")]
        lines.append("x-ratelimit-reset-requests: %ds")
    if meter.day is not None:
        lines += ["x-quota-limit: %d", "x-quota-used: %d"]
    lines.append("ratelimit-policy: " + ", ".join(policy))
    return "".join(line + "\r\n" for line in lines).encode()


class Ticket:
    """What admission holds for one call, until ``release``."""

    __slots__ = ("charged", "meter", "money", "released", "tokens")

    def __init__(self, meter: Meter, tokens: int, money: int) -> None:
        self.meter = meter
        self.tokens = tokens
        self.money = money
        self.charged = False
        self.released = False

    def charge(self, tokens: int) -> None:
        """Replace the tokens that were reserved by those that were really used. Once only."""
        if self.charged:
            return
        self.charged = True
        meter = self.meter
        meter.tokens_reserved -= self.tokens
        if meter.tokens is not None and tokens:
            meter.tokens.used(time.time())  # which begins a new window when the last is over
            meter.tokens.current += tokens

    def release(self) -> None:
        """Give back the slot and what is still reserved. Once only."""
        if self.released:
            return
        self.released = True
        self.charge(0)
        self.meter.running -= 1
        self.meter.money_reserved -= self.money


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
            if reserve_tokens > tokens.limit:
                raise _never(tokens, reserve_tokens)
            wanted = meter.tokens_reserved + reserve_tokens
            if tokens.used(now) + wanted > tokens.limit:
                raise _exceeded(tokens, now, wanted)
        for window in meter.requests:
            window.current += 1
        meter.running += 1
        meter.tokens_reserved += reserve_tokens
        meter.money_reserved += reserve_money
        return Ticket(meter, reserve_tokens, reserve_money)

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
    # Up to the next millisecond, so that who waits as told is admitted.
    wait = ceil(window.wait(now, amount) * 1000 + 0.01) / 1000
    code = "QUOTA_EXCEEDED" if window.name == "day" else "RATE_LIMITED"
    details = {
        "limit": field,
        "size": window.limit,
        "used": ceil(window.used(now)),
        "resets_in_seconds": wait,
    }
    message = f"The key's {field} of {window.limit} is used up; try again in {wait:.3g} s."
    return Failure(code, message, details=details, retry_after=wait)


def _never(window: Window, amount: int) -> Failure:
    """More than the whole limit: no waiting helps, so no client shall be told to wait."""
    field = _FIELDS[window.name]
    return Failure(
        "QUOTA_EXCEEDED",
        f"This request needs {amount} {window.unit}, more than the key's whole {field} of "
        f"{window.limit}. Ask for fewer tokens, or raise the key's limit.",
        details={"limit": field, "size": window.limit, "needed": amount},
    )
