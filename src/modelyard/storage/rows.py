"""Resources as rows of the ``resource`` table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from modelyard.kernel.ports import Address, Row
from modelyard.protocol.errors import Failure

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # PostgreSQL reads no document that has it
_decode = msgspec.json.decode


def read(kind: str, values: Sequence[Any]) -> Row:
    """The resource of a row, whose columns are ``paging.COLUMNS``."""
    return placed(Address(kind, values[0], values[1], values[2]), values[3:])


def placed(address: Address, values: Sequence[Any], newest: Row | None = None) -> Row:
    """The resource at an address, by its ``paging.FACTS``, with the newest below it."""
    uid, revision, created_at, updated_at, created_by, updated_by, *others = values
    deleted_at, purge_at, labels, spec = others
    return Row(
        address=address,
        uid=uid,
        revision=revision,
        created_at=created_at,
        updated_at=updated_at,
        created_by=created_by,
        updated_by=updated_by,
        deleted_at=deleted_at,
        purge_at=purge_at,
        labels=_decode(labels),
        spec=_decode(spec),
        newest=newest,
    )


def inserted(row: Row) -> tuple[Any, ...]:
    """The values of a new row, in the order of the columns with the kind before them."""
    address = row.address
    return (address.kind, address.workspace, address.parent, address.id, row.uid, *changed(row))


def changed(row: Row) -> tuple[Any, ...]:
    """The values that an update may change."""
    return (
        row.revision,
        row.created_at,
        row.updated_at,
        row.created_by,
        row.updated_by,
        row.deleted_at,
        row.purge_at,
        text(row.labels),
        text(row.spec),
    )


def edited(row: Row) -> tuple[Any, ...]:
    """Those of them that every update changes."""
    return row.revision, row.updated_at, row.updated_by, text(row.labels), text(row.spec)


def text(document: Any) -> str:
    """A document as it is stored. Raises ``INVALID_REQUEST`` for U+0000 within a string."""
    found = msgspec.json.encode(document).decode()
    if "\\u0000" in found and _NUL.search(found):
        message = "A text holds the character U+0000, which cannot be stored. Leave it out."
        raise Failure("INVALID_REQUEST", message)
    return found
