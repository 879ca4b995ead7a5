"""L2: answers in a Redis or Valkey that all processes and servers of an installation share.

Each workspace has a *generation*, a random token. An answer is kept with the token that its
request saw, and is found only while that is still the workspace's: clearing is one command, holds
at once for every server, and what began before it is never found. A lost token, by a flush or an
eviction, loses the workspace's answers and nothing else. The index is for counting and deleting; it
is bounded, as Redis never evicts a part of it: what is beyond it expires or is evicted by itself.
"""

from __future__ import annotations

import asyncio
import secrets
from hashlib import blake2b
from struct import Struct as Layout
from time import time
from typing import Final

from modelyard.inference.cache.level import Found, Held, Lookup
from modelyard.inference.series import LevelCounts
from modelyard.storage.redis.link import Link, ReplyError

_VERSION: Final = 1  # of what lies there
_TOKEN: Final = 16  # bytes
_HEAD: Final = Layout(f">{_TOKEN}sd")  # generation, expiry in Unix time
INDEXED: Final = 100_000  # answers of a workspace in its index at most: 14 MB of memory
_BATCH: Final = 500  # answers deleted by one command


class SharedCache:
    """See ``level.Level``."""

    name = "l2"

    def __init__(
        self,
        link: Link,
        pepper: bytes,
        ttl: float,
        counts: LevelCounts,
        indexed: int = INDEXED,
    ) -> None:
        self.ttl = ttl
        self._indexed = indexed
        self.counts = counts
        self._link = link
        link.untold = self._untold
        # Installations that share a server share no answer: a workspace's name is not unique.
        who = blake2b(pepper, digest_size=8, person=b"modelyard cache").hexdigest()
        self._prefix = f"modelyard:{_VERSION}:{who}:".encode()
        self._uncleared: set[str] = set()  # workspaces: to be cleared before they are used again
        self._clearing: set[asyncio.Task[int | None]] = set()

    @property
    def state(self) -> str:
        """See ``Level``."""
        return self._link.state

    @property
    def trouble(self) -> str:
        """See ``Level``."""
        return self._link.trouble or self._link.refusal

    async def get(self, lookup: Lookup) -> Found | None:
        """See ``Level``."""
        found = await self._ask(lookup, self._key(lookup.workspace, lookup.key))
        if found is None or len(found) < _HEAD.size:
            return None
        token, expires = _HEAD.unpack_from(found)
        if token != lookup.mark or expires <= time():
            self.counts.misses += 1
            return None
        return Found(found[_HEAD.size :], expires)

    async def mark(self, lookup: Lookup) -> None:
        """See ``Level``."""
        await self._ask(lookup, None)

    def put(self, lookup: Lookup, sealed: bytes, expires: float) -> None:
        """See ``Level``."""
        now = time()
        left = int((expires - now) * 1000)
        space = lookup.workspace
        if left <= 0 or not lookup.mark or space in self._uncleared:
            return
        key, index = self._key(space, lookup.key), self._index(space)
        value = _HEAD.pack(lookup.mark, expires) + sealed
        kept = self._link.tell(
            ("SET", key, value, "PX", left),
            ("ZADD", index, expires, key),
            ("ZREMRANGEBYSCORE", index, "-inf", now),
            ("ZREMRANGEBYRANK", index, 0, -1 - self._indexed),
            ("PEXPIRE", index, max(left, int(self.ttl * 1000))),
        )
        self.counts.skipped += not kept

    async def clear(self, workspace: str) -> int | None:
        """See ``Level``."""
        self._uncleared.add(workspace)
        token = secrets.token_bytes(_TOKEN)
        index = self._index(workspace)
        replies = await self._link.ask(
            ("SET", self._generation(workspace), token), ("ZCARD", index)
        )
        if replies is None or isinstance(replies[0], ReplyError):
            self.counts.errors += 1
            return None
        self._uncleared.discard(workspace)
        left = replies[1] if isinstance(replies[1], int) else 0
        removed = 0
        while left > 0:  # they cannot be found any more: this frees the memory
            popped = await self._link.ask(("ZPOPMIN", index, min(left, _BATCH)))
            keys = popped[0][::2] if popped and isinstance(popped[0], list) else []
            unlinked = await self._link.ask(("UNLINK", *keys)) if keys else None
            if not unlinked or isinstance(unlinked[0], ReplyError):
                break
            removed += unlinked[0]
            left -= len(keys)
        return removed

    def remember(self, workspace: str, at: float, told: bool) -> None:
        """See ``Level``."""
        if not told or self.state != "up":
            self._uncleared.add(workspace)

    async def held(self, workspace: str) -> Held:
        """See ``Level``."""
        replies = await self._link.ask(("ZCOUNT", self._index(workspace), time(), "+inf"))
        if replies is None or not isinstance(replies[0], int):
            return Held()
        return Held(entries=replies[0])

    async def close(self) -> None:
        """See ``Level``."""
        await self._link.close()

    async def _ask(self, lookup: Lookup, key: bytes | None) -> bytes | None:
        """The value of ``key``; the workspace's generation into ``lookup.mark``."""
        space, counts = lookup.workspace, self.counts
        if not self._link.ready or self._unclear(space):
            counts.skipped += 1
            return None
        names = [self._generation(space)] if key is None else [self._generation(space), key]
        replies = await self._link.ask(("MGET", *names))
        values = None if replies is None else replies[0]
        if not isinstance(values, list):
            counts.errors += 1
            return None
        if values[0] is None:
            await self._begin(lookup)
        else:
            lookup.mark = values[0]
        if key is None:
            return None
        if values[1] is None:
            counts.misses += 1
        found: bytes | None = values[1]
        return found

    async def _begin(self, lookup: Lookup) -> None:
        """Give the workspace a generation, if nobody else just did."""
        name = self._generation(lookup.workspace)
        token = secrets.token_bytes(_TOKEN)
        replies = await self._link.ask(("SET", name, token, "NX"), ("GET", name))
        if replies is not None and isinstance(replies[1], bytes):
            lookup.mark = replies[1]

    def _unclear(self, workspace: str) -> bool:
        """Whether the workspace has to be cleared first; then that is begun."""
        if workspace not in self._uncleared:
            return False
        if not self._clearing:
            task = asyncio.get_running_loop().create_task(self.clear(workspace))
            self._clearing.add(task)
            task.add_done_callback(self._clearing.discard)
        return True

    def _untold(self) -> None:
        self.counts.errors += 1

    # A workspace's names have one hash tag: in a cluster they lie on one node.

    def _key(self, workspace: str, key: bytes) -> bytes:
        return b"%b{%b}:a:%b" % (self._prefix, workspace.encode(), key)

    def _generation(self, workspace: str) -> bytes:
        return b"%b{%b}:g" % (self._prefix, workspace.encode())

    def _index(self, workspace: str) -> bytes:
        return b"%b{%b}:i" % (self._prefix, workspace.encode())
