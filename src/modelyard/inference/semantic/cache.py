"""The semantic cache as a worker sees it: answers to questions that mean the same.

Its process (``process``) tells which kept question fits; the answer itself is in the exact cache,
under that question's key. Whatever goes wrong here, the request is answered as without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from time import monotonic, time
from typing import Protocol

from modelyard.inference.answer import Answer
from modelyard.inference.cache.level import Lookup
from modelyard.inference.cache.levels import Levels
from modelyard.inference.call import Call
from modelyard.inference.semantic.client import Line
from modelyard.inference.semantic.frames import (
    Check,
    Checked,
    Clear,
    Drop,
    Find,
    Found,
    Gone,
    Keep,
    Learn,
    Missed,
    State,
    Stated,
)
from modelyard.inference.semantic.recheck import said
from modelyard.inference.snapshot import Model
from modelyard.settings import SemanticSettings
from modelyard.storage.ledger.record import Match

SEMANTIC = "semantic"  # the level's name
_MOST_CHECKS = 2  # questions of one worker that are asked again at the same time
_ON_ITS_WAY = 1.0  # seconds in which another worker's answer gets into a level that is shared
_LOOK = 0.02  # seconds between looks for it
_CHECK_SECONDS = 10.0  # for the process to compare two answers


class Asks(Protocol):
    """Who asks a question again, outside of any client's request."""

    async def again(self, model: Model, call: Call) -> Answer | None:
        """Its answer, complete, paid and on the books; None where there was none."""


class Asking:
    """One request's question, from ``find`` to ``keep`` or ``drop``."""

    __slots__ = ("call", "lookup", "model", "number", "over", "scope", "text", "watch")

    def __init__(self, model: Model, call: Call, lookup: Lookup, scope: bytes, text: str) -> None:
        self.model = model
        self.call = call
        self.lookup = lookup
        self.scope = scope
        self.text = text
        self.number = 0  # 0: the process was not asked
        self.over = False
        self.watch: Missed | None = None  # what to compare the fresh answer with


class SemanticCache:
    """Finds, keeps and checks. ``prefix`` goes before scopes: workers that share no level of the
    exact cache have each their own.
    """

    def __init__(
        self, settings: SemanticSettings, cache: Levels, line: Line, asks: Asks, prefix: bytes = b""
    ) -> None:
        self.line = line
        self.counts = line.counts
        self.checks = 0  # answers compared, those of hits and those that were no hits yet
        self.wrong = 0
        self._settings = settings
        self._cache = cache
        self._asks = asks
        self._prefix = prefix
        self._always = settings.mode == "on"
        self._working: set[asyncio.Task[None]] = set()
        self._checking = 0

    def wanted(self, call: Call) -> bool:
        """Whether a request's question may be compared with others."""
        wanted = call.semantic
        return (self._always if wanted is None else wanted) and not call.terms.fresh

    def asking(self, model: Model, call: Call, lookup: Lookup, scope: bytes, text: str) -> Asking:
        """A request's question. ``scope``: the key of all but its text."""
        return Asking(model, call, lookup, self._prefix + scope, text)

    async def find(self, asking: Asking) -> Answer | None:
        """A kept answer that fits. ``keep`` or ``drop`` has to follow where there is none."""
        line = self.line
        if not line.ready():
            return None
        number = asking.number = line.number()
        find = Find(number, asking.lookup.workspace, asking.scope, asking.lookup.key, asking.text)
        told = await line.ask(number, find, self._settings.wait)
        waited = isinstance(told, Found) and told.awaited
        if waited:
            deadline = asking.call.started + asking.call.timeout
            told = await line.more(number, deadline - monotonic())
        if isinstance(told, Found):
            kept = await self._kept(asking, told.key, _ON_ITS_WAY if waited else 0.0)
            if kept is not None:
                return self._hit(asking, told, kept)
            line.post(Gone(asking.scope, told.key))
        elif isinstance(told, Missed) and told.watch:
            asking.watch = told
        self.counts.misses += told is not None
        return None

    def answered(self, asking: Asking, answer: Answer) -> None:
        """A provider answers; a stream may still break off."""
        if answer.log is not None and not answer.log.done:
            answer.log.endings.append(partial(self._ended, asking))

    def keep(self, asking: Asking, answer: Answer) -> None:
        """The answer is complete, and in the exact cache."""
        if answer.hit or asking.over or not asking.number:
            return
        asking.over = True
        ttl = asking.lookup.terms.ttl or self._ttl()
        self.line.post(Keep(asking.number, time() + ttl))
        if asking.watch is not None:
            self._begin(self._compare(asking, asking.watch, answer))

    def learn(self, asking: Asking, answer: Answer) -> None:
        """A level below had the question's own answer: the process may have lost the question."""
        age = 0.0 if answer.stored is None else max(0.0, monotonic() - answer.stored)
        ttl, kept_at = asking.lookup.terms.ttl or self._ttl(), time() - age
        own = asking.lookup
        self.line.post(
            Learn(own.workspace, asking.scope, own.key, asking.text, kept_at, kept_at + ttl)
        )

    def drop(self, asking: Asking) -> None:
        """There is no answer to keep. Does nothing after ``keep``."""
        if asking.number and not asking.over:
            asking.over = True
            self.line.forget(asking.number)
            self.line.post(Drop(asking.number))

    def clear(self, workspace: str) -> None:
        """Forget a workspace's questions."""
        self.line.post(Clear(workspace))

    async def state(self, workspace: str) -> Stated | None:
        """How it is doing for a workspace; None where the process does not tell."""
        if not self.line.up:
            return None
        number = self.line.number()
        told = await self.line.ask(number, State(number, workspace), 1.0)
        return told if isinstance(told, Stated) else None

    async def close(self) -> None:
        """End what runs, and let go of the process."""
        for task in list(self._working):
            task.cancel()
        if self._working:
            await asyncio.wait(self._working, timeout=2.0)
        await self.line.close()

    # Within

    def _ended(self, asking: Asking) -> None:
        """Its stream is over: who keeps it does so at once, or not at all."""
        asyncio.get_running_loop().call_soon(self.drop, asking)

    def _hit(self, asking: Asking, found: Found, kept: Answer) -> Answer:
        self.counts.hits += 1
        if found.check and self._checking < _MOST_CHECKS:
            self._begin(self._check(asking, found, kept))
        else:
            self.drop(asking)
        age = 0.0 if kept.stored is None else monotonic() - kept.stored
        return replace(
            kept,
            cache="semantic",
            match=Match(
                round(found.similarity, 4),
                round(found.confidence, 4),
                self.line.verifier,
                round(max(0.0, age), 3),
                round(max(0.0, time() - found.asked_at), 3),
            ),
        )

    async def _kept(self, asking: Asking, key: bytes, patience: float = 0.0) -> Answer | None:
        """The answer to another question, as the exact cache has it.

        ``patience``: seconds in which it may still be on its way from another worker.
        """
        own = asking.lookup
        lookup = Lookup(own.workspace, key, own.terms, own.began, own.at)
        until = monotonic() + patience
        while True:
            kept = self._cache.get(lookup)
            if kept is None and self._cache.lower:
                kept = await self._cache.seek(lookup)
            if kept is not None or not self._cache.lower or monotonic() >= until:
                return kept
            await asyncio.sleep(_LOOK)

    def _ttl(self) -> float:
        """Seconds for which the exact cache may have an answer."""
        levels = self._cache.lower
        return max([self._cache.memory.ttl, *(level.ttl for level in levels)])

    async def _check(self, asking: Asking, found: Found, kept: Answer) -> None:
        """Ask again what was a hit: compare, and keep the answer as the question's own."""
        self._checking += 1
        try:
            fresh = await self._asks.again(asking.model, asking.call)
            if fresh is not None:
                await self._judge(asking, found.confidence, kept, fresh, fresh.paid or 0)
                self._cache.keep(asking.lookup, fresh)
                self.keep(asking, fresh)
        finally:
            self._checking -= 1
            self.drop(asking)

    async def _compare(self, asking: Asking, watch: Missed, fresh: Answer) -> None:
        """Compare a fresh answer with one that was not thought good enough."""
        kept = await self._kept(asking, watch.watch)
        if kept is not None:
            await self._judge(asking, watch.confidence, kept, fresh, 0)

    async def _judge(
        self, asking: Asking, confidence: float, kept: Answer, fresh: Answer, paid: int
    ) -> None:
        old, new = said(kept), said(fresh)
        if old is None or new is None or not self.line.up:
            return
        number = self.line.number()
        check = Check(number, asking.lookup.workspace, confidence, old, new, paid)
        told = await self.line.ask(number, check, _CHECK_SECONDS)
        if isinstance(told, Checked):
            self.checks += 1
            self.wrong += not told.right

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
