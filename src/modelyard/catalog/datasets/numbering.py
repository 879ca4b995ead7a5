"""Which number a version gets."""

from __future__ import annotations

from modelyard.catalog.datasets.schema import TableSchema
from modelyard.protocol.errors import Failure

FIRST = "1.0.0"


def following(newest: str | None, before: TableSchema | None, after: TableSchema) -> str:
    """The number behind ``newest``, by what changed in the columns.

    The major one where columns are gone or of another type, the minor one where some are new,
    else the last one.
    """
    if newest is None or before is None:
        return FIRST
    major, minor, patch = parts(newest)
    old = {one.name: one.type for one in before.fields}
    new = {one.name: one.type for one in after.fields}
    if any(new.get(name) != type_ for name, type_ in old.items()):
        return f"{major + 1}.0.0"
    if len(new) > len(old):
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"


def check(wanted: str, newest: str | None, field: str = "version") -> str:
    """A number that was asked for. Raises ``CONFLICT`` unless it is above the newest one."""
    if newest is not None and parts(wanted) <= parts(newest):
        raise Failure(
            "CONFLICT",
            f"'{field}' is {wanted}, but there is {newest} already. Choose a higher one, or leave "
            "it out.",
            details={"field": field, "newest": newest},
        )
    return wanted


def parts(number: str) -> tuple[int, int, int]:
    """``1.4.0`` as numbers."""
    major, minor, patch = map(int, number.split("."))
    return major, minor, patch
