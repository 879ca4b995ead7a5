"""Decides which prompts are warmed now: what is expected of it must be worth what it costs."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from msgspec import Struct

from modelyard.inference.cache.warming.budget import Budget
from modelyard.inference.cache.warming.learner import Learner
from modelyard.inference.cache.warming.prompts import Asked, Prompt

_MOST_FAILURES = 3  # in a row, then it waits until it is asked again
_UNLIKELY = 0.02  # such a prompt is looked at less often
_RARELY = 21_600.0  # seconds between those
_LONGEST = 900.0  # seconds between looks at a prompt that might come
_RAISE, _HIGHEST = 0.4, 10.0  # of the bar, each time that the budget has no room
_LOWER = 7_200.0  # seconds after which it is half as high
_LOOKS = 4  # within a life of the cache


class Terms(Struct, frozen=True, kw_only=True):
    """What warming may cost and when it pays. Money in nano-dollars."""

    hourly: int
    daily: int
    workspace_daily: int
    second: int  # what a second that nobody has to wait is worth
    least_chance: float  # 0 to 1: nothing less likely is warmed
    ahead: float  # seconds before its end in which an answer is refreshed


class Wish(Struct, frozen=True):
    """One prompt to warm, and what is held for it."""

    digest: bytes
    workspace: str
    refresh: bool  # the cache still has an answer: it is to be replaced
    value: float  # expected gain less the cost, nano-dollars
    chance: float
    reserved: int  # nano-dollars it may cost


class Planner:
    """Looks at each prompt when something may have to be done, and spends within the budget.

    Every ``Wish`` has to be settled: by ``fetched``, ``found``, ``failed`` or ``dropped``.
    """

    def __init__(self, learner: Learner, terms: Terms) -> None:
        self.learner = learner
        self.terms = terms
        self.budget = Budget(terms.hourly, terms.daily, terms.workspace_daily)
        self.unaffordable = 0  # times that the budget had no room
        self._bar = 0.0  # gain per cost that is asked for, while there is more than is affordable
        self._lowered = 0.0
        self._looks: dict[bytes, float] = {}  # when each prompt is looked at next
        self._queue: list[tuple[float, bytes]] = []
        self._wished: set[bytes] = set()

    def observe(self, asked: Asked) -> None:
        """A client asked for something."""
        for prompt in self.learner.observe(asked):
            later = prompt.digest == asked.digest
            at = self._edge(prompt) if later else asked.at
            self._look(prompt.digest, max(asked.at, at))

    def resume(self, now: float) -> None:
        """Look at all that the learner knows, after a restart."""
        self._looks = dict.fromkeys(self.learner.prompts, now)
        self._queue = [(now, digest) for digest in self._looks]
        heapify(self._queue)

    def plan(self, now: float, limit: int, wishes: int) -> list[Wish]:
        """Look at what is due, ``limit`` prompts at most; up to ``wishes``, the best first."""
        self.learner.pass_time(now)
        self._bar *= 0.5 ** (max(0.0, now - self._lowered) / _LOWER)
        self._lowered = now
        found: list[tuple[float, float, Prompt]] = []
        for _ in range(limit):
            digest = self._next(now)
            if digest is None:
                break
            prompt = self.learner.prompts.get(digest)
            if prompt is not None and digest not in self._wished:
                self._consider(prompt, now, found)
        found.sort(key=lambda one: -one[0] / max(1.0, one[2].cost or 0.0))
        made: list[Wish] = []
        for value, chance, prompt in found:
            if len(made) >= wishes:  # these are looked at again next time
                self._look(prompt.digest, now)
            elif (wish := self._reserve(prompt, value, chance, now)) is not None:
                made.append(wish)
        return made

    # what became of a wish

    def fetched(self, wish: Wish, cost: int, now: float) -> None:
        """It was asked, cost that much, and is in the cache from now on."""
        self._settle(wish, cost, now)
        self.recall(wish.workspace, wish.digest, cost, True, now)
        prompt = self.learner.prompts.get(wish.digest)
        if prompt is not None:
            prompt.failures = 0
            self._look(wish.digest, self._edge(prompt))

    def recall(self, workspace: str, digest: bytes, cost: int, kept: bool, at: float) -> None:
        """A call was made, now or before a restart; its money is counted elsewhere."""
        prompt = self.learner.prompts.get(digest)
        account = self.learner.account(workspace)
        if not kept:
            account.failure(cost)
        elif prompt is None:
            account.unknown(cost)
        else:
            account.fetched(prompt, cost)
            prompt.covered = at + prompt.lives

    def found(self, wish: Wish, until: float, now: float) -> None:
        """The cache had it already, until then."""
        self._settle(wish, 0, now)
        prompt = self.learner.prompts.get(wish.digest)
        if prompt is not None:
            prompt.covered = until
            self._look(wish.digest, max(now + 1.0, self._edge(prompt)))

    def failed(self, wish: Wish, cost: int, now: float) -> None:
        """No answer came that may be kept; trying cost that much."""
        self._settle(wish, cost, now)
        self.recall(wish.workspace, wish.digest, cost, False, now)
        prompt = self.learner.prompts.get(wish.digest)
        if prompt is None:
            return
        prompt.failures += 1
        if prompt.failures >= _MOST_FAILURES:
            prompt.barred = True
        self._look(wish.digest, now + prompt.lives * 2.0 ** (prompt.failures - 3))

    def dropped(self, wish: Wish, now: float, forget: bool = False) -> None:
        """It was not asked: there is no room, or (``forget``) it cannot be asked any more."""
        self._settle(wish, 0, now)
        prompt = self.learner.prompts.get(wish.digest)
        if prompt is not None and forget:
            self.learner.forget(prompt)
        elif prompt is not None:
            self._look(wish.digest, now + self.terms.ahead / 2)

    def _settle(self, wish: Wish, cost: int, now: float) -> None:
        self._wished.discard(wish.digest)
        self.budget.settle(wish.workspace, wish.reserved, cost, now)

    # the decision

    def _consider(
        self, prompt: Prompt, now: float, found: list[tuple[float, float, Prompt]]
    ) -> None:
        if prompt.warmed >= 0 and now >= prompt.covered:
            self.learner.account(prompt.workspace).gone(prompt)
        if prompt.barred or not prompt.ask or prompt.cost is None:
            return  # until it is asked again
        if now < self._edge(prompt):
            self._look(prompt.digest, self._edge(prompt))
            return
        step = min(_LONGEST, prompt.lives / _LOOKS)
        start = max(now, prompt.covered)
        chance = self.learner.forecast(prompt, start, now + prompt.lives, now)
        value = self._value(prompt, chance)
        least = self._bar * prompt.cost
        if value > least and chance >= self.terms.least_chance:
            if start > now or not self._better_later(prompt, value, now, step):
                found.append((value, chance, prompt))
                return
        elif start > now:
            step = start - now  # it may be pre-asked, once it is gone
        else:
            step = self._patience(prompt, chance, now, step)
        self._look(prompt.digest, now + max(1.0, step))

    def _patience(self, prompt: Prompt, chance: float, now: float, step: float) -> float:
        """How long an unlikely prompt is left alone: until about when it came before."""
        if chance >= self.terms.least_chance / 2:
            return step
        longest = prompt.lives if chance >= _UNLIKELY else max(_RARELY, prompt.lives)
        return max(step, prompt.again(now + 2 * step, now + longest) - now - step)

    def _value(self, prompt: Prompt, chance: float) -> float:
        cost = prompt.cost or 0.0
        return chance * (cost + self.terms.second * prompt.seconds) - cost

    def _better_later(self, prompt: Prompt, value: float, now: float, step: float) -> bool:
        """Whether waiting for the next look is worth more: it covers what comes after.

        What is asked meanwhile is lost, and fetched by that.
        """
        meanwhile = self.learner.chance(prompt, now, now + step, now)
        then = self.learner.chance(prompt, now + step, now + step + prompt.lives, now)
        return (1.0 - meanwhile) * self._value(prompt, then) > value

    def _reserve(self, prompt: Prompt, value: float, chance: float, now: float) -> Wish | None:
        money = bound(prompt)
        if not self.budget.reserve(prompt.workspace, money, now):
            self.unaffordable += 1
            self._bar = min(_HIGHEST, self._bar + _RAISE)
            self._look(prompt.digest, now + min(_LONGEST, prompt.lives / _LOOKS))
            return None
        self._wished.add(prompt.digest)
        refresh = prompt.covered > now
        return Wish(prompt.digest, prompt.workspace, refresh, value, chance, money)

    # when to look

    def _edge(self, prompt: Prompt) -> float:
        """From when on it may be refreshed."""
        return prompt.covered - min(self.terms.ahead, prompt.lives / _LOOKS)

    def _look(self, digest: bytes, at: float) -> None:
        """Look at a prompt then, and not before."""
        self._looks[digest] = at
        heappush(self._queue, (at, digest))
        if len(self._queue) > 4 * len(self.learner.prompts) + 1_000:  # of looks that were moved
            known = self.learner.prompts
            self._looks = {one: at for one, at in self._looks.items() if one in known}
            self._queue = [(at, one) for one, at in self._looks.items()]
            heapify(self._queue)

    def _next(self, now: float) -> bytes | None:
        while self._queue and self._queue[0][0] <= now:
            at, digest = heappop(self._queue)
            if self._looks.get(digest) == at:
                del self._looks[digest]
                return digest
        return None


def bound(prompt: Prompt) -> int:
    """What asking it again may cost at most: the call is held to it. Nano-dollars."""
    return 2 * prompt.dearest
