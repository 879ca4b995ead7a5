"""What the process does with what it is asked, apart from sockets: find, keep, check, bound."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import time
from typing import NamedTuple, Protocol

import numpy as np

from modelyard.inference.semantic import judge
from modelyard.inference.semantic.bound import Bound, Curve
from modelyard.inference.semantic.frames import (
    Check,
    Checked,
    Find,
    Found,
    Keep,
    Learn,
    Missed,
    Setup,
    Stated,
    Told,
)
from modelyard.inference.semantic.index import Vectors
from modelyard.inference.semantic.plain import SURE, same_question
from modelyard.inference.semantic.spaces import Spaces
from modelyard.inference.semantic.store import Store
from modelyard.inference.semantic.verdict import Pair, Verifier

DAY = 86_400
_MOST_SURE = 0.9999  # that a verifier may be
_MOST_PENDING = 64  # prompts of a scope that are being asked, with which others are compared
_GRACE = 5.0  # seconds in which an answer may still be on its way into a shared level


class Client(Protocol):
    """A worker's connection."""

    def tell(self, message: Told) -> None:
        """Send a message."""


class Vector(NamedTuple):
    """A text's vector, of length 1, and whether the text was too long for it."""

    values: Vectors
    cut: bool


class Asking:
    """A prompt that a worker has asked for, until its answer is kept, or is not."""

    __slots__ = ("client", "find", "values", "waiting")

    def __init__(self, client: Client, find: Find, values: Vectors) -> None:
        self.client = client
        self.find = find
        self.values = values
        self.waiting: list[Waiter] = []


class Waiter(NamedTuple):
    """Who waits for another's answer, and how alike their prompts are."""

    asking: Asking
    similarity: float
    confidence: float


class Candidate(NamedTuple):
    """What may answer a prompt: an entry, or another that is being asked."""

    similarity: float
    prompt: str
    values: Vectors
    key: bytes
    kept_at: float = 0.0
    asked_at: float = 0.0
    entry: int = 0  # its number
    asked: Asking | None = None


class Service:
    """The semantic cache of one server."""

    def __init__(
        self,
        setup: Setup,
        store: Store,
        verifier: Verifier,
        building: ThreadPoolExecutor,
        back: Callable[[Callable[[], None]], object],
        *,
        clock: Callable[[], float] = time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._setup = setup
        self._store = store
        self._verifier = verifier
        self._spaces = Spaces(store, building, back)
        self._asked: dict[tuple[Client, int], Asking] = {}
        self._pending: dict[bytes, OrderedDict[Asking, None]] = {}
        self._clock = clock
        self._draw = draw
        curve = Curve(verifier.curve, setup.error, getattr(verifier, "duplicates", None))
        self.bound = Bound(curve, setup.error, setup.sample)
        known = store.evidence(verifier.name, len(curve.thresholds))
        if (all_ := known.pop("", None)) is not None:
            self.bound.restore(all_, known)
        self._saw: set[str] = set()

    # What is asked

    def find(self, client: Client, find: Find, vector: Vector) -> None:
        """Look for an answer, and tell."""
        if vector.cut:
            client.tell(Missed(find.id))
            return
        asking = Asking(client, find, vector.values)
        self._asked[client, find.id] = asking
        best, confidence = self._best(asking)
        if best is None:
            self._missed(asking, Missed(find.id))
            return
        workspace = find.workspace
        self.bound.saw(workspace, confidence)
        self._saw.add(workspace)
        threshold = self.bound.threshold(workspace)
        if threshold is None or confidence < threshold:
            watched = not best.asked and self._draw() < self.bound.chance(confidence, hit=False)
            watch = best.key if watched else b""
            self._missed(asking, Missed(find.id, watch, confidence))
        elif best.asked is not None:
            best.asked.waiting.append(Waiter(asking, best.similarity, confidence))
            client.tell(self._found(asking, best, confidence, awaited=True))
        else:
            self._store.use(best.entry, self._clock())
            client.tell(self._found(asking, best, confidence))

    def keep(self, client: Client, keep: Keep) -> None:
        """What was asked is answered: it may answer others now."""
        asking = self._over(client, keep.id)
        if asking is None:
            return
        find, now = asking.find, self._clock()
        number = self._store.keep(
            find.workspace, find.scope, find.key, find.text, asking.values, now, keep.expires
        )
        if number is not None:
            self._spaces.add(find.workspace, find.scope, number, asking.values)
        for waiter in asking.waiting:
            best = Candidate(
                waiter.similarity, find.text, asking.values, find.key, now, now, number or 0
            )
            found = self._found(waiter.asking, best, waiter.confidence)
            waiter.asking.client.tell(found)

    def lacks(self, learn: Learn) -> bool:
        """Whether there is no entry for an answer that is kept."""
        return learn.expires > self._clock() and not self._store.has(learn.scope, learn.key)

    def learn(self, learn: Learn, vector: Vector) -> None:
        """Take an entry back, or a prompt that was never compared."""
        if vector.cut or not self.lacks(learn):
            return
        workspace, scope = learn.workspace, learn.scope
        number = self._store.keep(
            workspace, scope, learn.key, learn.text, vector.values, learn.kept_at, learn.expires
        )
        if number is not None:
            self._spaces.add(workspace, scope, number, vector.values)

    def drop(self, client: Client, number: int) -> None:
        """What was asked is not answered, or not by this: who waited asks for himself."""
        asking = self._over(client, number)
        if asking is None:
            return
        for waiter in asking.waiting:
            one = waiter.asking
            if (one.client, one.find.id) in self._asked:
                self._missed(one, Missed(one.find.id))

    def gone(self, scope: bytes, key: bytes) -> None:
        """An entry's answer is no longer kept."""
        self._store.forget(scope, key, self._clock() - _GRACE)

    def clear(self, workspace: str) -> int:
        """Forget a workspace's entries; how many there were."""
        self._spaces.forget(workspace)
        return self._store.clear(workspace)

    def check(self, client: Client, check: Check, vectors: Sequence[Vector]) -> None:
        """Judge a kept answer by a fresh one, and learn from it. No vectors: they are equal."""
        if vectors:
            both = np.stack([one.values for one in vectors])
            right, similarity = judge.same(check.kept, check.fresh, both)
        else:
            right, similarity = True, 1.0
        now = self._clock()
        self.bound.check(check.workspace, check.confidence, right, now)
        self._saw.add(check.workspace)
        if check.paid:
            self._store.spend(int(now // DAY), check.paid)
        self.remember()
        client.tell(Checked(check.id, right, similarity))

    def state(self, client: Client, number: int, workspace: str) -> None:
        """Tell how the cache is doing for a workspace."""
        bound, now = self.bound, self._clock()
        threshold = bound.threshold(workspace)
        thresholds = bound.curve.thresholds
        level = thresholds.index(threshold) if threshold is not None else len(thresholds) - 1
        checks, wrong = bound.known(workspace)
        entries, size = self._store.count(workspace)
        client.tell(
            Stated(
                number,
                entries,
                size,
                threshold,
                round(checks),
                round(wrong),
                bound.upper(level) if thresholds else None,
                self._store.spent(int(now // DAY)),
            )
        )

    def left(self, client: Client) -> None:
        """A worker is gone, and with it all that it asked."""
        for one, number in [key for key in self._asked if key[0] is client]:
            self.drop(one, number)

    # From time to time

    def remember(self) -> None:
        """Write down what was learned."""
        if self._saw:
            own = {name: self.bound.own[name] for name in self._saw if name in self.bound.own}
            self._store.learn(self._verifier.name, {"": self.bound.all, **own})
            self._saw.clear()

    def tidy(self) -> None:
        """Drop what has expired."""
        self.remember()
        self._store.expire(self._clock())

    def commit(self) -> None:
        """Make what was kept outlast this process."""
        self._store.commit()

    def building(self) -> list[Future[None]]:
        """The indexes that are being built."""
        return self._spaces.building()

    # Within

    def _best(self, asking: Asking) -> tuple[Candidate | None, float]:
        """The candidate of which the verifier is surest."""
        found = [*self._entries(asking), *self._others(asking)]
        if not found:
            return None, 0.0
        text = asking.find.text
        pairs = [Pair(text, one.prompt, asking.values, one.values, one.similarity) for one in found]
        told = self._verifier.confidence(pairs)
        confidences = [
            SURE if same_question(text, one.prompt) else min(confidence, _MOST_SURE)
            for one, confidence in zip(found, told, strict=True)
        ]
        place = max(range(len(found)), key=lambda number: confidences[number])
        return found[place], confidences[place]

    def _entries(self, asking: Asking) -> list[Candidate]:
        """The nearest entries. Its own prompt is none: the exact cache had no answer to it."""
        find, now, setup = asking.find, self._clock(), self._setup
        found: list[Candidate] = []
        for number in self._spaces.nearest(
            find.workspace,
            find.scope,
            asking.values,
            setup.candidates,
            now,
            setup.least_similarity,
        ):
            entry = self._store.get(number, now)
            if entry is None:
                self._spaces.dead(find.scope)
                continue
            similarity = float(np.dot(entry.vector, asking.values))
            if entry.key != find.key and similarity >= setup.least_similarity:
                found.append(
                    Candidate(
                        similarity,
                        entry.prompt,
                        entry.vector,
                        entry.key,
                        entry.kept_at,
                        entry.asked_at,
                        number,
                    )
                )
        return found[: setup.candidates]

    def _others(self, asking: Asking) -> list[Candidate]:
        """What is being asked and is alike."""
        found = [
            Candidate(
                float(np.dot(one.values, asking.values)),
                one.find.text,
                one.values,
                one.find.key,
                asked=one,
            )
            for one in self._pending.get(asking.find.scope, ())
        ]
        alike = [one for one in found if one.similarity >= self._setup.least_similarity]
        alike.sort(key=lambda one: -one.similarity)
        return alike[: self._setup.candidates]

    def _missed(self, asking: Asking, told: Missed) -> None:
        """Its worker asks a provider now; others may wait for that."""
        pending = self._pending.setdefault(asking.find.scope, OrderedDict())
        pending[asking] = None
        if len(pending) > _MOST_PENDING:
            pending.popitem(last=False)
        asking.client.tell(told)

    def _over(self, client: Client, number: int) -> Asking | None:
        asking = self._asked.pop((client, number), None)
        if asking is not None:
            scope = asking.find.scope
            pending = self._pending.get(scope)
            if pending is not None:
                pending.pop(asking, None)
                if not pending:
                    del self._pending[scope]
        return asking

    def _found(
        self, asking: Asking, best: Candidate, confidence: float, awaited: bool = False
    ) -> Found:
        check = not awaited and self._draw() < self.bound.chance(confidence, hit=True)
        if check and self._setup.budget <= self._store.spent(int(self._clock() // DAY)):
            check = False
        return Found(
            asking.find.id,
            best.key,
            best.similarity,
            confidence,
            best.kept_at,
            best.asked_at,
            awaited,
            check,
        )
