"""What this process was asked, until it is written down."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from time import monotonic
from typing import NamedTuple

from modelyard.inference.answer import Answer
from modelyard.inference.cache.warming.prompts import Asked
from modelyard.inference.cache.warming.sketch import Sketch
from modelyard.inference.call import Call
from modelyard.inference.pipeline import lookup_of
from modelyard.inference.plane import Plane
from modelyard.inference.warmer.asking import LARGEST, SURFACE, remember
from modelyard.protocol.errors import Failure

_MOST = 10_000  # that wait; more are not learned from
_MOST_BYTES = 32 << 20  # of their requests
_TOLD = 20_000  # prompts whose request was written down lately
_AGAIN = 3_600.0  # seconds after which it is written down once more
_SLICE = 20  # in a row, about 0.5 ms, before others have their turn


class _Seen(NamedTuple):
    call: Call
    hit: bool
    cost: int | None
    seconds: float | None
    input_tokens: int


class Notes:
    """Takes notice of answers as they are settled, at the cost of an append.

    The request itself is written down when it is seen for the second time here, and again when it
    was not written for long: what is asked once is not kept.
    """

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._bytes = 0
        self._seen: deque[_Seen] = deque()
        self._sketch = Sketch()
        self._told: OrderedDict[bytes, float] = OrderedDict()  # when, by the monotonic clock
        self.lost = 0

    def take(self, call: Call, answer: Answer) -> None:
        """See ``Plane.watch``."""
        log = answer.log
        if answer.usage is None or answer.cache == "semantic":
            return  # a semantic hit is another prompt's answer
        if log is not None and (log.error is not None or not log.done):
            return
        size = len(call.raw)
        if size > LARGEST:
            return
        if len(self._seen) >= _MOST or self._bytes + size > _MOST_BYTES:
            self.lost += 1
            return
        self._bytes += size
        hit = answer.hit or answer.shared
        seconds = None if hit else monotonic() - call.started
        tokens = answer.usage.input_tokens
        self._seen.append(_Seen(call, hit, answer.cost(), seconds, tokens))

    async def drain(self) -> list[Asked]:
        """All that was noticed, in slices."""
        found: list[Asked] = []
        self._bytes = 0
        for number in range(len(self._seen)):
            asked = self._asked(self._seen.popleft())
            if asked is not None:
                found.append(asked)
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
        return found

    def _asked(self, seen: _Seen) -> Asked | None:
        call = seen.call
        try:
            model = self._plane.snapshot.find(call.model, call.version, call.kind)
        except Failure:
            return None
        if call.surface == SURFACE:
            return None
        digest = lookup_of(model, call).key
        lives = call.terms.ttl
        return Asked(
            digest=digest,
            at=call.at,
            workspace=call.key.workspace,
            model=model.name,
            session=call.user_id or call.key.id,
            hit=seen.hit,
            lives=self._lives() if lives is None else lives,
            cost=seen.cost,
            seconds=seen.seconds,
            ask=self._ask(digest, seen),
        )

    def _ask(self, digest: bytes, seen: _Seen) -> bytes:
        told, now = self._told.get(digest), monotonic()
        if told is None and self._sketch.add(digest) < 2:
            return b""
        if told is not None and now - told < _AGAIN:
            return b""
        self._told[digest] = now
        self._told.move_to_end(digest)
        if len(self._told) > _TOLD:
            self._told.popitem(last=False)
        return remember(seen.call, seen.input_tokens)

    def _lives(self) -> float:
        """Seconds until the last level forgets an answer."""
        cache = self._plane.cache
        return max([cache.settings.l1_ttl, *(level.ttl for level in cache.lower)])
