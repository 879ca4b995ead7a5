"""What the levels below the memory have in common: what they are asked, and what they answer."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from modelyard.inference.call import Terms
from modelyard.inference.series import LevelCounts


class Lookup:
    """One request's question to the levels, and what has to be known when its answer is kept."""

    __slots__ = ("at", "began", "key", "mark", "terms", "workspace")

    def __init__(self, workspace: str, key: bytes, terms: Terms, began: float, at: float) -> None:
        self.workspace = workspace
        self.key = key
        self.terms = terms
        self.began = began  # loop time of the request's arrival
        self.at = at  # Unix time of it
        self.mark = b""  # the workspace's generation in L2 when it was asked; b"": not known


class Found(NamedTuple):
    """A kept answer, sealed (``sealing``), and when it expires in Unix time."""

    sealed: bytes
    expires: float


class Held(NamedTuple):
    """What a level holds; None: it does not tell."""

    entries: int | None = None
    bytes: int | None = None


class Level(Protocol):
    """A level below the memory. Nothing of it ever raises: what fails is counted and skipped.

    ``state`` is ``up``, ``slow`` or ``down`` (not asked until it answers again), or ``full``
    (asked, but keeps nothing); ``trouble`` says why. Hits are counted by who opens what is found.
    """

    name: str
    ttl: float  # seconds an answer is kept
    counts: LevelCounts

    @property
    def state(self) -> str:
        """How it is doing."""

    @property
    def trouble(self) -> str:
        """Why it is not up."""

    async def get(self, lookup: Lookup) -> Found | None:
        """The kept answer; None, within the level's own time, where there is none."""

    async def mark(self, lookup: Lookup) -> None:
        """Note what ``put`` has to know, for a request that wants no kept answer."""

    def put(self, lookup: Lookup, sealed: bytes, expires: float) -> None:
        """Keep an answer until ``expires`` (Unix time), unless its workspace was cleared since."""

    async def clear(self, workspace: str) -> int | None:
        """Forget a workspace's answers; how many. None: as soon as the level is back."""

    def remember(self, workspace: str, at: float, told: bool) -> None:
        """Another process cleared the workspace (Unix time): see that this level knows it.

        ``told``: that process could reach what all share.
        """

    async def held(self, workspace: str) -> Held:
        """What it holds of a workspace."""

    async def close(self) -> None:
        """Finish what was begun."""
