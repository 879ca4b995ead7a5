"""What the read endpoints ask of the running data plane, in this process."""

from typing import Protocol

from msgspec import Struct

from modelyard.inference.call import Price


class CacheState(Struct, frozen=True, kw_only=True):
    """The exact cache in memory. Entries and bytes are one workspace's, the rest is all of it."""

    entries: int
    bytes: int
    utilization: float  # fraction of its entries or its bytes that is used, the fuller of the two
    hits: int
    misses: int
    strategy: str = "lru"


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

    def l1(self, workspace: str) -> CacheState | None:
        """The cache in memory; None when it is turned off."""

    def clear_l1(self, workspace: str) -> int:
        """Forget the workspace's entries; returns how many there were."""

    def targets(self) -> list[TargetState]:
        """Every target that can be called, each once."""
