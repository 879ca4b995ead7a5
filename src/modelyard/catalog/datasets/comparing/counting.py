"""What differs between two tables. For the processes of jobs alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from modelyard.catalog.datasets.comparing.schema import DiffRequest
from modelyard.ml.changes import Diff, Shift
from modelyard.ml.diff import Incomparable, diff, shifts
from modelyard.ml.profile import profile
from modelyard.protocol.errors import Failure


def compare(
    old: Path, new: Path, ask: DiffRequest, told: Callable[[float, str], None]
) -> tuple[Diff, list[Shift] | None]:
    """The differences of the rows, and of the figures if they are asked for.

    Raises ``DATA_VALIDATION_FAILED`` for a key that some rows share.
    """
    told(0.2, "comparing the rows")
    try:
        found = diff(old, new, ask.key)
    except Incomparable as error:
        raise Failure(
            "DATA_VALIDATION_FAILED",
            f"The versions cannot be compared so: {error}. Choose another 'key', or none.",
            details={"field": "key", "reason": str(error)},
        ) from error
    if not ask.statistics:
        return found, None
    told(0.6, "comparing the figures")
    before = profile(old)
    told(0.8, "comparing the figures")
    return found, shifts(before, profile(new))
