"""Whether one prompt's answer also answers another: what a verifier is asked, and what it tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray


class Pair(NamedTuple):
    """One candidate: what is asked now, and what was asked when the answer was kept.

    The vectors have the length 1; ``similarity`` is their cosine.
    """

    asked: str
    kept: str
    asked_vector: NDArray[float32]
    kept_vector: NDArray[float32]
    similarity: float


class Verifier(Protocol):
    """Decides beyond similarity.

    ``curve`` holds (threshold, precision, recall), measured on held-out pairs, the thresholds
    ascending.
    """

    name: str
    curve: Sequence[tuple[float, float, float]]

    def confidence(self, pairs: Sequence[Pair]) -> list[float]:
        """The calibrated probability, 0 to 1, that the kept prompt's answer answers the asked."""
