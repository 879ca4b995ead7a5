"""What the levels below the memory have in common: what they are asked, and what they answer."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from modelyard.inference.call import Terms


class Lookup:
    """One request's question to the levels, and what has to be known when its answer is kept."""

    __slots__ = ("at", "began", "key", "marks", "terms", "workspace")

    def __init__(self, workspace: str, key: bytes, terms: Terms, began: float, at: float) -> None:
        self.workspace = workspace
        self.key = key
        self.terms = terms
        self.began = began  # loop time of the request's arrival
        self.at = at  # Unix time of it
        self.marks: dict[str, bytes] = {}  # by level: the workspace's state when it was asked


class Found(NamedTuple):
    """A kept answer, sealed (``sealing``), and when it expires in Unix time."""

    sealed: bytes
    expires: float


class Level(Protocol):
    """A level below the memory. Nothing of it ever raises: what fails is counted and skipped."""

    name: str
    ttl: float  # seconds an answer is kept

    async def get(self, lookup: Lookup) -> Found | None:
        """The kept answer; None, within the level's own time, where there is none."""

    async def mark(self, lookup: Lookup) -> None:
        """Note what ``put`` has to know, for a request that wants no kept answer."""

    def put(self, lookup: Lookup, sealed: bytes, expires: float) -> None:
        """Keep an answer until ``expires`` (Unix time), unless its workspace was cleared since."""
