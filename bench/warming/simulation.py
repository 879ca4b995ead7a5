"""Plays a workload against the cache in simulated time, with a policy that warms it."""

from dataclasses import dataclass
from typing import Protocol

from bench.warming.workload import DAY, START, Prompt, Request
from modelyard.inference.cache.memory import MemoryCache

SPACE = "bench"
TTL = 3600.0
TICK = 15.0  # seconds between the policy's turns
BODY = 1_000  # bytes of an answer


class Policy(Protocol):
    """What warms."""

    def observe(self, request: Request, hit: bool) -> None:
        """Somebody asked."""

    def warm(self, now: float, measured: bool) -> list[Prompt]:
        """What is asked now; nothing before the half that is ``measured``."""


@dataclass
class Played:
    """What came of the second half. Money in nano-dollars."""

    requests: int = 0
    hits: int = 0
    paid: int = 0  # for misses
    warmed: int = 0
    spent: int = 0  # for warming
    waited: float = 0.0  # seconds for misses
    most_in_a_day: int = 0  # spent on warming

    @property
    def hit_rate(self) -> float:
        return self.hits / self.requests


def play(requests: list[Request], days: int, policy: Policy | None) -> Played:
    """The whole workload; the second half is counted."""
    cache: MemoryCache[Prompt] = MemoryCache(100_000, 1 << 30, TTL)
    half, played, by_day = START + days * DAY / 2, Played(), dict[int, int]()
    tick = START
    for request in requests:
        while policy is not None and tick <= request.at:
            for prompt in policy.warm(tick, tick >= half):
                cache.put(SPACE, prompt.digest, prompt, BODY, tick)
                played.warmed += 1
                played.spent += prompt.cost
                by_day[int(tick // DAY)] = by_day.get(int(tick // DAY), 0) + prompt.cost
            tick += TICK
        hit = cache.get(SPACE, request.prompt.digest, request.at) is not None
        if not hit:
            cache.put(SPACE, request.prompt.digest, request.prompt, BODY, request.at)
        if request.at >= half:
            played.requests += 1
            played.hits += hit
            played.paid += 0 if hit else request.prompt.cost
            played.waited += 0.0 if hit else request.prompt.seconds
        if policy is not None:
            policy.observe(request, hit)
    played.most_in_a_day = max(by_day.values(), default=0)
    return played
