"""What travels through the data plane: a call."""

from __future__ import annotations

from math import ceil
from typing import Any

from msgspec import Struct

from modelyard.auth.keys import Key
from modelyard.storage.ledger.record import Attempt

CHAT = "chat"
COMPLETION = "completion"
EMBEDDING = "embedding"
COUNT = "count"  # tokens of a chat request

OPENAI = "openai"  # the dialect of the canonical call


class Usage(Struct):
    """Tokens as the provider counted them (or, with ``estimated``, as counted here).

    ``cached_tokens`` and ``cache_write_tokens`` are parts of ``input_tokens``;
    ``reasoning_tokens`` are part of ``output_tokens``.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False


class Price(Struct, frozen=True):
    """Nano-dollars per token: 1 USD per million tokens is 1,000.

    ``None`` for a part means that it costs what ``input`` costs. Kept as a float because prices
    such as 0.075 USD per million are 75 nano-dollars and some are below one.
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    source: str = "configuration"
    checked: str | None = None  # date the price was last seen at its source
    tiers: tuple[tuple[int, Price], ...] = ()  # of calls with a longer prompt, ascending

    def at(self, input_tokens: int) -> Price:
        """The price of all tokens of a call whose prompt is so long."""
        price = self
        for above, dearer in self.tiers:
            if input_tokens > above:
                price = dearer
        return price

    def most(self, input_tokens: int, output_tokens: int) -> int:
        """The most that so many tokens may cost, in nano-dollars, rounded up."""
        price = self.at(input_tokens)
        dearest = max(price.input, price.cache_write or 0.0, price.cached_input or 0.0)
        return ceil(input_tokens * dearest + output_tokens * price.output)

    def cost(self, usage: Usage) -> int:
        """Cost of a call in nano-dollars, rounded to the nearest."""
        if self.tiers and (tier := self.at(usage.input_tokens)) is not self:
            return tier.cost(usage)
        cached = self.input if self.cached_input is None else self.cached_input
        write = self.input if self.cache_write is None else self.cache_write
        plain = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
        return round(
            plain * self.input
            + usage.cached_tokens * cached
            + usage.cache_write_tokens * write
            + usage.output_tokens * self.output
        )


class Terms(Struct, frozen=True):
    """How kept answers may serve a request, and how its own answer is kept.

    ``fresh``: none of them may, but its own is kept. ``max_age``: none that is older, in seconds.
    ``ttl``: seconds that its answer is kept; None: as the levels are set. Answers are shared
    within a ``namespace`` only.
    """

    fresh: bool = False
    max_age: float | None = None
    ttl: float | None = None
    namespace: str = ""


class Call(Struct, kw_only=True):
    """One request of a client, in the form every provider understands.

    ``body`` is the canonical request: OpenAI's shape for its ``kind``, with what
    docs/adr/0007 adds to it. ``raw`` holds the client's own bytes, in ``dialect``, when they may
    be passed on untouched to a provider that speaks it; ``native`` is what they say and
    ``forward`` the header lines that belong to them (both only where the dialect is not OpenAI's).
    """

    id: str  # X-Request-ID, as the client knows it
    record_id: str  # our own, unique
    key: Key
    surface: str
    kind: str  # CHAT, COMPLETION or EMBEDDING
    model: str  # as asked for; "" for the default model
    body: dict[str, Any]
    raw: bytes = b""
    dialect: str = OPENAI
    native: dict[str, Any] = {}
    forward: bytes = b""
    assumed: tuple[str, ...] = ()  # members of the body that the client did not send
    stream: bool = False
    share: bool = False  # may be answered from the cache or another's flight
    terms: Terms = Terms()
    semantic: bool | None = None  # may be answered by what means the same; None: as is set
    started: float  # loop time of arrival
    at: float  # Unix time of arrival
    timeout: float = 300.0  # seconds
    counted: bool = False  # the prompt's tokens are to be counted before the call
    budget: int | None = None  # nano-dollars this request may cost at most
    input_tokens: int = 0  # counted before the call
    estimated_cost: int | None = None  # nano-dollars, before the call
    max_tokens: int | None = None
    version: str | None = None  # X-Model-Version
    traceparent: str = ""
    correlation_id: str = ""
    user_id: str | None = None
    metadata: dict[str, Any] = {}
    priority: int | None = None
    strategy: str | None = None
    cost_optimize: bool | None = None
    attempts: list[Attempt] = []
