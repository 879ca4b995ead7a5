"""Learns which prompts return and when, from the stream of what is asked. Bounded memory."""

from __future__ import annotations

import random
from bisect import insort
from collections import OrderedDict
from heapq import heappop, heappush
from math import log

from msgspec import Struct

from modelyard.inference.cache.warming.accounts import Account
from modelyard.inference.cache.warming.chance import logit
from modelyard.inference.cache.warming.prompts import (
    TIMES,
    Asked,
    Expected,
    Prompt,
    Scope,
    by_rate,
)
from modelyard.inference.cache.warming.rhythm import DAY, HALF_LIFE, HOUR, faded
from modelyard.inference.cache.warming.sketch import Sketch

WEEK = 7 * DAY
SOON = 600.0  # seconds within which one prompt follows another
_FOLLOWERS = 8  # kept of a prompt
_RECENT = 3  # last prompts of a session that another may follow
_SESSIONS = 2_000
_LIKELY = 0.15  # chance from which on a follower is expected
_AVERAGE = 0.3  # weight of the newest in moving averages
_FORECASTS = 20_000  # whose outcome is waited for
_ABOUT = 1_200.0  # seconds that what is regular may be early or late
_RIVALS = 16  # of which the least asked leaves

Features = tuple[float, ...]


class State(Struct):
    """All that has to be kept to go on after a restart."""

    prompts: list[Prompt] = []
    scopes: dict[str, Scope] = {}
    accounts: dict[str, Account] = {}


class Forecast(Struct, frozen=True):
    """What was expected of a prompt; its outcome teaches."""

    digest: bytes
    start: float
    end: float
    features: Features


class Learner:
    """The heavy hitters among the prompts, and what is known of each.

    At most ``most`` prompts and ``most_bytes`` of what they ask. A prompt gets in when it is seen
    for the second time and more often than one that leaves, of the workspace that has most: so
    one workspace cannot push the others out. Times are given, so that any clock will do.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.most = most
        self.most_bytes = most_bytes
        self.bytes = 0
        self.prompts: dict[bytes, Prompt] = {}
        self.scopes: dict[str, Scope] = {}
        self.accounts: dict[str, Account] = {}
        self._spaces: dict[str, dict[bytes, Prompt]] = {}
        self._sketch = Sketch()
        self._sessions: OrderedDict[str, list[tuple[bytes, float]]] = OrderedDict()
        self._forecasts: dict[bytes, list[Forecast]] = {}
        self._ends: list[tuple[float, bytes]] = []
        self._random = random.Random(7)  # noqa: S311 (which prompts are compared, no secret)

    # what is asked

    def observe(self, asked: Asked) -> list[Prompt]:
        """Learn from one request; returns the prompts to look at now: it, and what may follow."""
        scope = self._scope(asked)
        prompt = self.prompts.get(asked.digest)
        if prompt is None:
            if self._sketch.add(asked.digest) < 2 or not asked.ask:
                return []
            prompt = self._enter(asked, scope)
            if prompt is None:
                return []
        self._outcome(prompt, asked.at)
        self.account(asked.workspace).asked(prompt, asked)
        _update(prompt, asked)
        if asked.ask and not prompt.ask:
            self._keep(prompt, asked.ask)
        prompt.expected = None
        return [prompt, *self._followers(prompt, asked)]

    def _scope(self, asked: Asked) -> Scope:
        name = f"{len(asked.workspace)}:{asked.workspace}{asked.model}"
        scope = self.scopes.get(name)
        if scope is None:
            if len(self.scopes) >= self.most:
                self._drop_scope()
            scope = self.scopes[name] = Scope()
        scope.rhythm.add(asked.at)
        scope.last = asked.at
        return scope

    def scope(self, prompt: Prompt) -> Scope:
        """What a prompt shares with the others of its workspace and model."""
        return self.scopes[f"{len(prompt.workspace)}:{prompt.workspace}{prompt.model}"]

    def account(self, workspace: str) -> Account:
        """What warming did for a workspace."""
        account = self.accounts.get(workspace)
        if account is None:
            if len(self.accounts) >= self.most:
                self.accounts = {n: one for n, one in self.accounts.items() if n in self._spaces}
            account = self.accounts[workspace] = Account()
        return account

    def _enter(self, asked: Asked, scope: Scope) -> Prompt | None:
        if len(asked.ask) > self.most_bytes // 10:
            return None
        while len(self.prompts) >= self.most or self.bytes + len(asked.ask) > self.most_bytes:
            victim = self._least(asked.workspace)
            if victim.rhythm.total > 2.0 and asked.at - victim.times[-1] < HALF_LIFE:
                return None  # all are asked more often; the sketch goes on counting this one
            self.forget(victim)
        prompt = Prompt(asked.digest, asked.workspace, asked.model, asked.at, asked.lives)
        self._put(prompt)
        self._keep(prompt, asked.ask)
        scope.prompts += 1
        return prompt

    def _keep(self, prompt: Prompt, ask: bytes) -> None:
        self.bytes += len(ask) - len(prompt.ask)
        prompt.ask = ask

    def _put(self, prompt: Prompt) -> None:
        self.prompts[prompt.digest] = prompt
        self._spaces.setdefault(prompt.workspace, {})[prompt.digest] = prompt

    def _least(self, workspace: str) -> Prompt:
        """One of those that are asked least, of the workspace that has most (or its own)."""
        spaces = self._spaces
        if len(spaces.get(workspace, ())) < len(self.prompts) / len(spaces):
            workspace = max(spaces, key=lambda name: len(spaces[name]))
        names = list(spaces[workspace])
        if len(names) > _RIVALS:
            names = self._random.sample(names, _RIVALS)
        return min((spaces[workspace][name] for name in names), key=lambda one: one.rhythm.total)

    def forget(self, prompt: Prompt) -> None:
        """Know nothing more of a prompt."""
        if self.prompts.pop(prompt.digest, None) is None:
            return
        self.account(prompt.workspace).gone(prompt)
        self.bytes -= len(prompt.ask)
        space = self._spaces[prompt.workspace]
        del space[prompt.digest]
        if not space:
            del self._spaces[prompt.workspace]
        self.scope(prompt).prompts -= 1
        self._forecasts.pop(prompt.digest, None)

    def _drop_scope(self) -> None:
        """Make room: the empty one that was asked longest ago, else it and its prompts."""
        name = min(self.scopes, key=lambda one: (self.scopes[one].prompts, self.scopes[one].last))
        if self.scopes[name].prompts:
            for prompt in [p for p in self.prompts.values() if self.scope(p) is self.scopes[name]]:
                self.forget(prompt)
        del self.scopes[name]

    # what follows what

    def _followers(self, prompt: Prompt, asked: Asked) -> list[Prompt]:
        recent = self._session(asked)
        for digest, at in recent:
            before = self.prompts.get(digest)
            if before is not None and before is not prompt and asked.at - at <= SOON:
                _follow(before.followers, prompt.digest)
        recent[:] = [(d, at) for d, at in recent if d != prompt.digest][1 - _RECENT :]
        recent.append((prompt.digest, asked.at))
        found = []
        times = prompt.rhythm.total + 1.0
        for digest, count in prompt.followers.items():
            after = self.prompts.get(digest)
            chance = min(0.98, count / times)
            if after is not None and after.workspace == prompt.workspace and chance >= _LIKELY:
                if after.follows(asked.at, asked.at + SOON) < chance:
                    after.expected = Expected(chance, asked.at, asked.at + SOON)
                found.append(after)
        return found

    def _session(self, asked: Asked) -> list[tuple[bytes, float]]:
        name = f"{len(asked.workspace)}:{asked.workspace}{asked.session}"
        recent = self._sessions.get(name)
        if recent is None:
            if len(self._sessions) >= _SESSIONS:
                self._sessions.popitem(last=False)
            recent = self._sessions[name] = []
        self._sessions.move_to_end(name)
        return recent

    # what is to be expected

    def features(self, prompt: Prompt, start: float, end: float, now: float) -> Features:
        """What the chance that ``prompt`` is asked between two moments is told by."""
        follows = prompt.follows(start, end)
        alone = by_rate(prompt, self.scope(prompt), start, end, now)
        overdue = (now - prompt.times[-1]) * prompt.rate(now)
        yesterday = float(prompt.within(start - DAY, end - DAY))
        last_week = float(prompt.within(start - WEEK, end - WEEK))
        return (
            1.0,
            logit(1.0 - (1.0 - alone) * (1.0 - follows)),
            2.0 * follows,
            max(-3.0, min(3.0, log(overdue + 0.05))),
            min(3.0, log(1.0 + prompt.seen) / 2.0),
            float(now - prompt.times[-1] < HOUR),
            yesterday,
            last_week,
            yesterday * prompt.regular,
            last_week * prompt.regular,
        )

    def chance(self, prompt: Prompt, start: float, end: float, now: float) -> float:
        """The chance that a prompt is asked between two moments."""
        return self.scope(prompt).chance.of(self.features(prompt, start, end, now))

    def forecast(self, prompt: Prompt, start: float, end: float, now: float) -> float:
        """``chance``, whose outcome will be learned from."""
        features = self.features(prompt, start, end, now)
        if len(self._ends) < _FORECASTS:
            made = Forecast(prompt.digest, start, end, features)
            self._forecasts.setdefault(prompt.digest, []).append(made)
            heappush(self._ends, (end, prompt.digest))
        return self.scope(prompt).chance.of(features)

    def _outcome(self, prompt: Prompt, at: float) -> None:
        """What was expected of a prompt has happened."""
        waiting = self._forecasts.get(prompt.digest)
        if not waiting:
            return
        chance, left = self.scope(prompt).chance, []
        for one in waiting:
            if at <= one.start:
                left.append(one)
            elif at <= one.end:
                chance.teach(one.features, True)
            else:
                chance.teach(one.features, False)
        if left:
            self._forecasts[prompt.digest] = left
        else:
            del self._forecasts[prompt.digest]

    def pass_time(self, now: float) -> None:
        """Learn from what was expected until now and did not happen."""
        while self._ends and self._ends[0][0] < now:
            digest = heappop(self._ends)[1]
            waiting = self._forecasts.get(digest)
            if not waiting:
                continue
            chance = self.scope(self.prompts[digest]).chance
            for one in [one for one in waiting if one.end < now]:
                chance.teach(one.features, False)
            left = [one for one in waiting if one.end >= now]
            if left:
                self._forecasts[digest] = left
            else:
                del self._forecasts[digest]

    # what the operator does

    def clear(self, workspace: str) -> None:
        """The workspace's cache was emptied: nothing comes back before it is asked for again."""
        for prompt in self._spaces.get(workspace, {}).values():
            self.account(workspace).gone(prompt)
            prompt.barred = True
            prompt.covered = prompt.alone = 0.0

    # what is kept

    def counts(self) -> dict[str, int]:
        """How many prompts are known of each workspace."""
        return {name: len(prompts) for name, prompts in self._spaces.items()}

    def dump(self) -> State:
        """Everything, as it is; not a copy."""
        return State(list(self.prompts.values()), self.scopes, self.accounts)

    def load(self, state: State) -> None:
        """Go on from there, within this learner's bounds."""
        self.scopes, self.accounts = state.scopes, state.accounts
        for scope in self.scopes.values():
            scope.prompts = 0
        kept = sorted(state.prompts, key=lambda one: -one.rhythm.total)
        for prompt in kept[: self.most]:
            if self.bytes + len(prompt.ask) <= self.most_bytes and prompt.times:
                self._put(prompt)
                self.bytes += len(prompt.ask)
                self.scope(prompt).prompts += 1


def _update(prompt: Prompt, asked: Asked) -> None:
    at = asked.at
    faded_by = at - prompt.rhythm.decayed_at
    if faded_by >= HOUR and prompt.followers:
        prompt.followers = faded(prompt.followers, 0.5 ** (faded_by / HALF_LIFE))
    prompt.rhythm.add(at)
    if at - prompt.first > DAY - _ABOUT:
        kept = any(prompt.within(at - ago - _ABOUT, at - ago + _ABOUT) for ago in (DAY, WEEK))
        prompt.regular += _AVERAGE * (kept - prompt.regular)
    insort(prompt.times, at)  # what several processes tell may come in another order
    del prompt.times[:-TIMES]
    prompt.seen += 1
    prompt.lives = asked.lives
    prompt.barred, prompt.failures = False, 0
    if not asked.hit:
        prompt.covered = at + asked.lives
    if asked.cost is not None:
        before = prompt.cost
        prompt.cost = asked.cost if before is None else before + _AVERAGE * (asked.cost - before)
        prompt.dearest = max(prompt.dearest, asked.cost)
    if asked.seconds is not None:
        prompt.seconds += (_AVERAGE if prompt.seen > 1 else 1.0) * (asked.seconds - prompt.seconds)


def _follow(followers: dict[bytes, float], digest: bytes) -> None:
    """Count one more; the least counted leaves, and hands its count on (space-saving)."""
    count = followers.get(digest, 0.0)
    if not count and len(followers) >= _FOLLOWERS:
        least = min(followers, key=followers.__getitem__)
        count = followers.pop(least)
        if count >= 1.0:  # its place is not given away for a single time
            followers[least] = count - 0.5
            return
    followers[digest] = count + 1.0
