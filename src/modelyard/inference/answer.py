"""The answer to a call."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from modelyard.inference.call import Price, Usage
from modelyard.inference.eventlog import EventLog
from modelyard.storage.ledger.record import Match

NO_HIT = ("miss", "off")  # what ``Answer.cache`` is where no level answered


@dataclass(slots=True, kw_only=True)
class Answer:
    """What a target answered: a complete body, or the log of a stream.

    ``cost`` is what the upstream call costs in nano-dollars (None: unknown price); a replay from
    the cache and a follower of a shared flight pay nothing.

    ``body`` and the events of ``log`` are in OpenAI's shape. ``native`` are the provider's own
    bytes where client and provider speak another dialect: of a stream b"", its events carry them
    (``native.detach``); None where there are none. ``warnings`` tell what the provider was not
    asked for, because its dialect does not have it.
    """

    body: bytes = b""
    log: EventLog | None = None
    target: str
    provider: str
    price: Price | None
    usage: Usage | None = None
    model: str | None = None  # as the provider named itself
    finish_reason: str | None = None
    cache: str = "off"  # what answered: "l1", "l2", "l3", "semantic"; "miss", or "off": not asked
    shared: bool = False
    paid: int | None = None  # nano-dollars this request pays, once it is settled
    native: bytes | None = None
    warnings: tuple[str, ...] = ()
    stored: float | None = None  # loop time when the kept answer was new; None: it is new

    match: Match | None = None  # of a semantic hit

    @property
    def age(self) -> float | None:
        """Seconds since a kept answer was new; None for a new one."""
        return None if self.stored is None else max(0.0, monotonic() - self.stored)

    @property
    def hit(self) -> bool:
        """Whether a level of the cache answered: nothing is paid for it."""
        return self.cache not in NO_HIT

    def cost(self) -> int | None:
        """Cost of the upstream call in nano-dollars."""
        if self.price is None or self.usage is None:
            return None
        return self.price.cost(self.usage)
