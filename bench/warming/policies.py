"""Who decides what is warmed: the planner of the product, a simple rule, and one that knows."""

from collections import Counter
from heapq import heappop, heappush

from bench.warming.simulation import SPACE, TICK, TTL
from bench.warming.workload import DAY, HOUR, START, Prompt, Request
from modelyard.inference.cache.warming.budget import Budget
from modelyard.inference.cache.warming.learner import Learner
from modelyard.inference.cache.warming.planner import Planner, Terms
from modelyard.inference.cache.warming.prompts import Asked

SECOND = 2_777_778  # nano-dollars that a second of waiting is worth: 10 USD an hour
LEAST = 0.2
AHEAD = 60.0
HOURLY = 4  # the budget of an hour is a quarter of the day's


def budget(daily: int) -> Budget:
    """The budget of a day, and of an hour of it."""
    return Budget(daily // HOURLY, daily, daily)


class Planned:
    """The learner and the planner as the server runs them."""

    def __init__(self, daily: int, prompts: int = 10_000) -> None:
        self.learner = Learner(prompts, 1 << 24)
        terms = Terms(
            hourly=0, daily=0, workspace_daily=0, second=SECOND, least_chance=LEAST, ahead=AHEAD
        )
        self.planner = Planner(self.learner, terms)  # which may spend nothing in the first half
        self._daily = daily
        self._measured = False
        self._known: dict[bytes, Prompt] = {}

    def observe(self, request: Request, hit: bool) -> None:
        """See ``Policy``."""
        one = request.prompt
        self._known[one.digest] = one
        self.planner.observe(
            Asked(
                digest=one.digest,
                at=request.at,
                workspace=SPACE,
                model="model",
                session=request.user,
                hit=hit,
                lives=TTL,
                cost=one.cost,
                seconds=None if hit else one.seconds,
                ask=one.text.encode(),
            )
        )

    def warm(self, now: float, measured: bool) -> list[Prompt]:
        """See ``Policy``."""
        if measured and not self._measured:
            self._measured = True
            self.planner.budget = budget(self._daily)
        made = []
        for wish in self.planner.plan(now, limit=1_000, wishes=100):
            prompt = self._known[wish.digest]
            self.planner.fetched(wish, prompt.cost, now)
            made.append(prompt)
        return made


class RefreshAhead:
    """Asks again what was used during its life, when it is about to expire; as caches often do."""

    def __init__(self, daily: int) -> None:
        self._until: dict[Prompt, float] = {}
        self._used: set[Prompt] = set()
        self._ends: list[tuple[float, int, Prompt]] = []
        self._count = 0
        self._budget = budget(daily)

    def observe(self, request: Request, hit: bool) -> None:
        """See ``Policy``."""
        if hit:
            self._used.add(request.prompt)
        else:
            self._fresh(request.prompt, request.at)

    def _fresh(self, prompt: Prompt, at: float) -> None:
        self._count += 1
        self._used.discard(prompt)
        self._until[prompt] = at + TTL
        heappush(self._ends, (at + TTL, self._count, prompt))

    def warm(self, now: float, measured: bool) -> list[Prompt]:
        """See ``Policy``."""
        made = []
        while self._ends and self._ends[0][0] - now <= TICK:
            end, _, prompt = heappop(self._ends)
            if self._until[prompt] != end or prompt not in self._used or not measured:
                continue
            if self._budget.reserve(SPACE, prompt.cost, now):
                self._budget.settle(SPACE, prompt.cost, prompt.cost, now)
                self._fresh(prompt, now)
                made.append(prompt)
        return made


class TopN:
    """Keeps what was asked most in the cache, at all times; within the same budget."""

    def __init__(self, daily: int, most: int = 20) -> None:
        self._counts: Counter[Prompt] = Counter()
        self._until: dict[Prompt, float] = {}
        self._top: list[Prompt] = []
        self._ranked = 0.0
        self._budget = budget(daily)
        self._most = most

    def observe(self, request: Request, hit: bool) -> None:
        """See ``Policy``."""
        self._counts[request.prompt] += 1
        if not hit:
            self._until[request.prompt] = request.at + TTL

    def warm(self, now: float, measured: bool) -> list[Prompt]:
        """See ``Policy``."""
        if not measured:
            return []
        if now >= self._ranked + HOUR:
            self._ranked = now
            self._top = [prompt for prompt, _ in self._counts.most_common(self._most)]
        made = []
        for prompt in self._top:
            if self._until[prompt] - now > TICK:
                continue
            if self._budget.reserve(SPACE, prompt.cost, now):
                self._budget.settle(SPACE, prompt.cost, prompt.cost, now)
                self._until[prompt] = now + TTL
                made.append(prompt)
        return made


def oracle(requests: list[Request], days: int, daily: int) -> int:
    """How many more hits there could be: each miss is known and asked a moment before it comes.

    The cheapest of each hour, then of each day, as far as the budget goes. A bound: no policy
    that pays for every answer it fetches can turn more misses into hits.
    """
    half, until = START + days * DAY / 2, dict[bytes, float]()
    missed: dict[int, dict[int, list[int]]] = {}
    for request in requests:
        if request.at >= until.get(request.prompt.digest, 0.0):
            until[request.prompt.digest] = request.at + TTL
            if request.at >= half:
                hours = missed.setdefault(int(request.at // DAY), {})
                hours.setdefault(int(request.at // HOUR), []).append(request.prompt.cost)
    turned = 0
    for hours in missed.values():
        affordable = [cost for costs in hours.values() for cost in within(costs, daily // HOURLY)]
        turned += len(within(affordable, daily))
    return turned


def within(costs: list[int], money: int) -> list[int]:
    """The cheapest, as many as the money pays for."""
    taken = []
    for cost in sorted(costs):
        if cost > money:
            break
        money -= cost
        taken.append(cost)
    return taken
