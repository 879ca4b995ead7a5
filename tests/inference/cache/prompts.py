"""Requests, and planners to tell them to."""

from hashlib import blake2b

from modelyard.inference.cache.warming.learner import Learner
from modelyard.inference.cache.warming.planner import Planner, Terms
from modelyard.inference.cache.warming.prompts import Asked
from modelyard.inference.cache.warming.rhythm import HOUR

START = 1_704_067_200.0  # Monday, 2024-01-01, 00:00 UTC
COST, LIVES = 1_000, HOUR
EAGER = Terms(
    hourly=10**9,
    daily=10**9,
    workspace_daily=10**9,
    second=10**9,
    least_chance=0.0,
    ahead=60.0,
)


def digest(name: str) -> bytes:
    """A cache key."""
    return blake2b(name.encode(), digest_size=32).digest()


def asked(
    name: str, at: float, *, hit: bool = False, workspace: str = "a", **more: object
) -> Asked:
    """A request."""
    fields = {"session": "s", "lives": LIVES, "cost": COST, "seconds": 2.0, "ask": name.encode()}
    return Asked(
        digest=digest(workspace + name),
        at=at,
        workspace=workspace,
        model="m",
        hit=hit,
        **(fields | more),  # type: ignore[arg-type]
    )


def planner(terms: Terms = EAGER, most: int = 1_000) -> Planner:
    """One that knows nothing yet."""
    return Planner(Learner(most, 1 << 20), terms)


def known(one: Planner, name: str = "x", at: float = START, **more: object) -> None:
    """Asked twice: it is known, and in the cache until an hour after."""
    one.observe(asked(name, at, **more))  # type: ignore[arg-type]
    one.observe(asked(name, at + 1, **more))  # type: ignore[arg-type]
