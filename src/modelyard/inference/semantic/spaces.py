"""The scopes' indexes: loaded when they are asked, built beside the work where they are large.

While a large one is loaded its scope has no candidates; while one is built anew the old one serves.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial

from modelyard.inference.semantic.index import FLAT, Index, Vectors
from modelyard.inference.semantic.store import Store

log = logging.getLogger("modelyard.semantic")
_MOST_SPACES = 20_000  # in memory
_MORE = 8  # ids asked for beyond those wanted: some may be gone
_DEAD, _DEAD_SHARE = 50, 0.1  # ids that are gone, after which an index is built anew


class Space:
    """One scope's index, None while it is loaded."""

    __slots__ = ("building", "dead", "index", "workspace")

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace
        self.index: Index | None = None
        self.building: Future[None] | None = None
        self.dead = 0


class Spaces:
    """The scopes' indexes. ``back`` runs a function in the thread that calls all methods."""

    def __init__(
        self,
        store: Store,
        building: ThreadPoolExecutor,
        back: Callable[[Callable[[], None]], object],
    ) -> None:
        self._store = store
        self._building = building
        self._back = back
        self._spaces: OrderedDict[bytes, Space] = OrderedDict()

    def nearest(
        self,
        workspace: str,
        scope: bytes,
        vector: Vectors,
        count: int,
        now: float,
        least: float = -1.0,
    ) -> list[int]:
        """The entries that are probably the nearest ones; some may be gone.

        Those whose cosine is clearly below ``least`` are left out: each has to be read.
        """
        space = self._spaces.get(scope)
        if space is None:
            space = self._loaded(workspace, scope, now)
        self._spaces.move_to_end(scope)
        return [] if space.index is None else space.index.nearest(vector, count + _MORE, least)

    def add(self, workspace: str, scope: bytes, number: int, vector: Vectors) -> None:
        """A new entry."""
        space = self._spaces.get(scope)
        if space is None or space.index is None:  # it is read from the store
            return
        space.index.add(number, vector)
        if space.index.outgrown():
            self._build(scope, space)

    def dead(self, scope: bytes) -> None:
        """An id was found whose entry is gone."""
        space = self._spaces.get(scope)
        if space is not None and space.index is not None:
            space.dead += 1
            if space.dead > _DEAD + _DEAD_SHARE * len(space.index):
                self._build(scope, space)

    def forget(self, workspace: str) -> None:
        """Drop a workspace's indexes."""
        for scope in [one for one, space in self._spaces.items() if space.workspace == workspace]:
            del self._spaces[scope]

    def building(self) -> list[Future[None]]:
        """The indexes that are being built."""
        return [one.building for one in self._spaces.values() if one.building is not None]

    def _loaded(self, workspace: str, scope: bytes, now: float) -> Space:
        space = self._spaces[scope] = Space(workspace)
        while len(self._spaces) > _MOST_SPACES:
            self._spaces.popitem(last=False)
        if self._store.size(scope, FLAT + 1) > FLAT:
            self._build(scope, space)
        else:
            space.index = Index(*self._store.scope(scope, now))
        return space

    def _build(self, scope: bytes, space: Space) -> None:
        if space.building is None:
            self._store.commit()  # the builder reads what is written down
            space.building = self._building.submit(self._built, scope, space)

    def _built(self, scope: bytes, space: Space) -> None:
        """In the other thread."""
        try:
            with closing(self._store.reader()) as reader:
                ids, vectors = reader.scope(scope, 0.0)
        except sqlite3.Error as error:
            log.warning("an index cannot be built", extra={"error": str(error)})
            self._back(partial(self._give_up, space))
            return
        made = Index(ids, vectors)
        last = int(ids[-1]) if len(ids) else 0
        self._back(partial(self._take, scope, space, made, last))

    def _give_up(self, space: Space) -> None:
        space.building = None

    def _take(self, scope: bytes, space: Space, made: Index, last: int) -> None:
        """Serve with a new index, and what came while it was built."""
        space.building = None
        if self._spaces.get(scope) is not space:
            return
        ids, vectors = self._store.scope(scope, 0.0, after=last)
        for number, vector in zip(ids.tolist(), vectors, strict=True):
            made.add(number, vector)
        space.index, space.dead = made, 0
