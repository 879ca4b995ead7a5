"""How each target is doing: latency, success, and a circuit breaker."""

from __future__ import annotations

_WEIGHT = 0.1  # of the newest observation in the moving averages


class Health:
    """The live state of one target, in this process. Times are loop seconds.

    The breaker (Nygard, *Release It!*): closed until ``failures`` in a row reach the threshold,
    then open; after a while one call at a time may probe; a success closes it again.
    """

    running: int = 0
    requests: int = 0
    successes: int = 0
    failures: int = 0  # in a row
    latency: float | None = None  # moving average of successful calls, seconds
    first_byte: float | None = None
    opened: float | None = None
    probing: bool = False
    limited_until: float = 0.0  # the provider takes nothing before (Retry-After, rate headers)
    last_error: str | None = None

    def state(self, now: float, open_seconds: float) -> str:
        """``closed``, ``open`` or ``half_open``."""
        if self.opened is None:
            return "closed"
        return "open" if now - self.opened < open_seconds else "half_open"

    def admits(self, now: float, open_seconds: float) -> bool:
        """Whether a call may go to this target now."""
        state = self.state(now, open_seconds)
        return state == "closed" or (state == "half_open" and not self.probing)

    def begin(self) -> None:
        """A call starts."""
        self.running += 1
        self.requests += 1
        if self.opened is not None:
            self.probing = True

    def recover(self) -> None:
        """It answers again, as the first token of a stream shows."""
        self.failures = 0
        self.opened = None
        self.probing = False

    def succeed(self, seconds: float, first_byte: float) -> None:
        """It was answered."""
        self._end()
        self.successes += 1
        self.failures = 0
        self.opened = None
        self.latency = _average(self.latency, seconds)
        self.first_byte = _average(self.first_byte, first_byte)

    def fail(self, now: float, reason: str, threshold: int) -> None:
        """It failed for a reason that is the target's."""
        self._end()
        self.failures += 1
        self.last_error = reason
        if self.opened is not None or self.failures >= threshold:
            self.opened = now

    def end(self) -> None:
        """It ended without telling anything of the target's health."""
        self._end()

    def _end(self) -> None:
        self.running -= 1
        self.probing = False


def _average(before: float | None, value: float) -> float:
    return value if before is None else before + _WEIGHT * (value - before)
