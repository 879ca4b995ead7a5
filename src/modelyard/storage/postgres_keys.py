"""Resources that many ask for at a time, each by its key: one statement reads those of several.

A statement of its own costs the server several times what its row does. Who asks alone gets one;
who comes while others are answered waits for the next, which is for all who came meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from modelyard.storage.driver import Rows, Values
from modelyard.storage.newest import BY_KEY

_RUNNING = 2  # statements at a time: one is read by the server while the other is answered
_MOST = 32  # rows of one, so that nobody waits for many documents
_KEY = ("kind", "workspace", "parent", "id")

Fetch = Callable[[str, Values], Awaitable[Rows]]


@lru_cache(maxsize=1024)
def several(sql: str) -> str | None:
    """The statement that finds the rows of several keys, given as four arrays.

    Each row begins with the number of its key. None for what does not find a resource by its key.
    """
    if not sql.endswith(BY_KEY):
        return None
    columns, _, source = sql.removesuffix(BY_KEY).removeprefix("SELECT ").partition(" FROM ")
    table, _, joined = source.partition(" AS resource")
    same = " AND ".join(f"resource.{name} = asked.{name}" for name in _KEY)
    asked = f"unnest({', '.join(['?::text[]'] * len(_KEY))}) WITH ORDINALITY"
    return (
        f"SELECT asked.number, {columns} FROM {asked} AS asked ({', '.join(_KEY)}, number) "
        f"JOIN {table} AS resource ON {same}{joined}"
    )


class Keys:
    """Asks for rows by their keys; ``fetch`` asks the database. For use within one event loop."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._running = 0
        self._waiting: dict[str, list[tuple[Values, asyncio.Future[Rows]]]] = {}
        self._tasks: set[asyncio.Task[Rows]] = set()

    async def find(self, sql: str, some: str, key: Values) -> Rows:
        """The row of a key, if there is one: by ``sql``, or with others by ``some``.

        Raises what ``fetch`` raises.
        """
        if self._running >= _RUNNING:
            answer: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(some, []).append((key, answer))
            return await answer
        self._running += 1
        try:
            return await self._fetch(sql, key)
        finally:
            self._ended()

    def _ended(self) -> None:
        """One statement less runs: those who wait are next, of the kind that waits longest."""
        self._running -= 1
        if not self._waiting:
            return
        some = next(iter(self._waiting))
        waiting = self._waiting.pop(some)
        asked, rest = waiting[:_MOST], waiting[_MOST:]
        if rest:
            self._waiting[some] = rest
        self._running += 1
        keys = [list(values) for values in zip(*[key for key, _ in asked], strict=True)]
        task = asyncio.ensure_future(self._fetch(some, keys))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._answer(done, [one for _, one in asked]))

    def _answer(self, done: asyncio.Future[Rows], answers: list[asyncio.Future[Rows]]) -> None:
        self._tasks.discard(done)
        self._ended()
        if done.cancelled():
            for one in answers:
                one.cancel()
            return
        error = done.exception()
        found: dict[int, Any] = {} if error else {row[0]: row[1:] for row in done.result()}
        for number, one in enumerate(answers, 1):
            if one.done():  # whoever asked has left
                continue
            if error is not None:
                one.set_exception(error)
            else:
                one.set_result([found[number]] if number in found else [])
