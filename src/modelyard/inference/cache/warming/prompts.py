"""What is known of one prompt, and of all prompts of a workspace's model."""

from __future__ import annotations

from bisect import bisect_right
from math import exp

from msgspec import Struct, field

from modelyard.inference.cache.warming.chance import Chance
from modelyard.inference.cache.warming.rhythm import (
    DAY,
    HOUR,
    Rhythm,
    exposure,
    hours,
    shape,
    shape_of_all,
)

TIMES = 24  # last moments that are kept of a prompt
_FIRST_DAY = DAY  # a prompt is not taken for more frequent than its first day tells


class Asked(Struct, frozen=True, array_like=True):
    """That a client asked something which the cache may answer.

    ``digest`` is the cache key: the prompt with its workspace, model and parameters. ``cost`` in
    nano-dollars and ``seconds`` are of the upstream call that was made or would have been (None:
    not known). ``ask`` is what is needed to ask it again, opaque here; b"" where it was told
    before, or is not to be kept.
    """

    digest: bytes
    at: float  # Unix seconds
    workspace: str
    model: str
    session: str  # whose prompts may follow each other
    hit: bool  # answered without an upstream call
    lives: float  # seconds a fresh answer stays in the cache
    cost: int | None = None
    seconds: float | None = None
    ask: bytes = b""


class Expected(Struct, array_like=True):
    """That a prompt may come soon because another one came."""

    chance: float
    start: float
    end: float


class Prompt(Struct):
    """One prompt that may be warmed. Times are Unix seconds, money nano-dollars."""

    digest: bytes
    workspace: str
    model: str
    first: float
    lives: float
    rhythm: Rhythm = field(default_factory=Rhythm)
    times: list[float] = []  # the last TIMES moments it was asked, ascending
    followers: dict[bytes, float] = {}  # decayed counts
    expected: Expected | None = None
    cost: float | None = None  # moving average
    dearest: int = 0
    seconds: float = 1.0  # moving average of what the upstream call takes
    ask: bytes = b""
    covered: float = 0.0  # until when the cache has it, as far as is known
    alone: float = 0.0  # until when it would have it without any warming
    warmed: int = -1  # cost of the warm answer that was not used yet; -1: there is none
    barred: bool = False  # not to be warmed until it is asked again
    failures: int = 0
    seen: int = 0  # how often it was asked since it is known
    regular: float = 0.0  # moving average: it came a day or a week after it had come, 0 to 1

    def rate(self, now: float) -> float:
        """How often it is asked on the average, per second."""
        self.rhythm.decay(now)
        return self.rhythm.total / (exposure(now - self.first) + _FIRST_DAY)

    def follows(self, start: float, end: float) -> float:
        """The chance that it is asked in this time because of what came before."""
        one = self.expected
        if one is None or one.end <= start or end <= one.start:
            return 0.0
        part = (min(end, one.end) - max(start, one.start)) / (one.end - one.start)
        return one.chance * part

    def within(self, start: float, end: float) -> bool:
        """Whether it was asked between two moments, among the last that are known."""
        times = self.times
        return bisect_right(times, end) > bisect_right(times, start)

    def again(self, now: float, until: float) -> float:
        """The next moment, ``until`` at the latest, a day or a week after it was asked."""
        for at in self.times:
            for later in (at + DAY, at + 7 * DAY):
                if now < later < until:
                    until = later
        return until


class Scope(Struct):
    """What the prompts of one workspace and model have in common."""

    rhythm: Rhythm = field(default_factory=Rhythm)
    chance: Chance = field(default_factory=Chance)
    prompts: int = 0
    last: float = 0.0
    shapes: dict[int, float] = {}  # of all events, by the hour of the week
    shaped_at: float = 0.0

    def shape(self, hour: int, now: float) -> float:
        """How busy an hour of the week is, 1 on the average; computed once an hour."""
        if now - self.shaped_at >= HOUR:
            self.shapes, self.shaped_at = {}, now
        found = self.shapes.get(hour)
        if found is None:
            found = self.shapes[hour] = shape_of_all(self.rhythm, hour)
        return found


def by_rate(prompt: Prompt, scope: Scope, start: float, end: float, now: float) -> float:
    """The chance by rate and rhythm alone, as if it came at random (Poisson)."""
    events = 0.0
    for hour, seconds in hours(start, end):
        events += seconds * shape(prompt.rhythm, scope.shape(hour, now), hour)
    return 1.0 - exp(-events * prompt.rate(now))
