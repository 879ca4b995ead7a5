"""What the read endpoints ask of the running data plane, in this process."""

from typing import Protocol

from msgspec import Struct

from modelyard.inference.call import Price
from modelyard.inference.semantic.frames import Stated
from modelyard.inference.warmer.keeping import Figures


class CacheState(Struct, frozen=True, kw_only=True):
    """One level of the exact cache. Entries and bytes are one workspace's, the rest is all of it.

    What was counted is of all processes since the server started.
    """

    entries: int | None = None  # None: the level does not tell
    bytes: int | None = None
    utilization: float | None = None  # of entries or bytes, the fuller of the two
    hits: int = 0
    misses: int = 0
    errors: int = 0
    skipped: int = 0
    state: str = "up"  # "up", "slow", "down" or "full"
    trouble: str = ""  # why it is not up
    strategy: str = "lru"
    ttl: float = 0.0  # seconds
    compression: bool = False
    encryption: bool = False
    path: str | None = None


class SemanticState(Struct, frozen=True, kw_only=True):
    """The semantic cache: what was counted is of all processes since the server started."""

    error: float  # the share of hits that may be wrong
    trouble: str | None  # why it is down
    verifier: str
    hits: int
    misses: int
    errors: int
    skipped: int
    told: Stated | None  # of one workspace, by its process; None: it does not tell


class Workers(Struct, frozen=True, kw_only=True):
    """The server's processes."""

    total: int
    active: int  # those that answer a request now, as far as this process knows


class TargetState(Struct, frozen=True, kw_only=True):
    """A provider's model that can be called, and how it is doing."""

    provider: str
    model: str
    price: Price | None = None
    circuit: str = "closed"  # "closed", "open" or "half_open"
    latency: float | None = None  # seconds, moving average; None: not called yet
    max_output_tokens: int | None = None

    @property
    def name(self) -> str:
        """``provider/model``, as in the ledger."""
        return f"{self.provider}/{self.model}"


class Live(Protocol):
    """The data plane as these endpoints see it. Called on the event loop: it must not block."""

    def pending_requests(self) -> int | None:
        """Requests that wait to be sent; None while there is no queue."""

    def processing_requests(self) -> int:
        """Requests that are being answered."""

    def workers(self) -> Workers:
        """The processes."""

    async def cache(self, workspace: str) -> dict[str, CacheState]:
        """The cache's levels that are turned on, by name. Answers within a second or so."""

    def cache_levels(self) -> list[str]:
        """The names of the levels that are turned on."""

    async def clear_cache(self, level: str, workspace: str) -> int | None:
        """Forget the workspace's entries; how many there were.

        None: the level cannot be reached, and is cleared as soon as it can.
        """

    async def semantic(self, workspace: str) -> SemanticState | None:
        """The semantic cache; None where it is off. Answers within a second or so."""

    async def warming(self) -> Figures | None:
        """What cache warming did; None where it is off."""

    def targets(self) -> list[TargetState]:
        """Every target that can be called, each once."""
