"""What an installation's databases hold, as one stream of lines per table.

A line is a JSON array of a row's values, bytes as base64. Both databases give the same lines in
the same order, so a count and a SHA-256 tell whether a copy is whole.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from modelyard.storage.ledger.tables import LEDGER
from modelyard.storage.schema import CONTROL, Schema


class Table(Struct, frozen=True):
    """A table: its columns, those of its key first; those that hold bytes; and its database."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    binary: frozenset[str] = frozenset()
    schema: Schema = CONTROL

    @property
    def all(self) -> tuple[str, ...]:
        """Every column, the key's first."""
        return self.key + self.columns

    @property
    def path(self) -> str:
        """Its name among the tables of both databases."""
        return f"{self.schema.name}/{self.name}"

    def line(self, row: Sequence[Any]) -> bytes:
        """A row as a line."""
        return msgspec.json.encode(tuple(row)) + b"\n"

    def row(self, line: bytes) -> tuple[Any, ...]:
        """The row of a line."""
        values = msgspec.json.decode(line, type=list[Any])
        for number, column in enumerate(self.all):
            if column in self.binary and values[number] is not None:
                values[number] = base64.b64decode(values[number])
        return tuple(values)


class Sum:
    """How many lines there were, and their digest."""

    def __init__(self) -> None:
        self.rows = 0
        self._digest = hashlib.sha256()

    def add(self, line: bytes) -> None:
        """Count a line."""
        self.rows += 1
        self._digest.update(line)

    @property
    def digest(self) -> str:
        """SHA-256 of all lines, in hexadecimal."""
        return self._digest.hexdigest()

    def told(self) -> tuple[int, str]:
        """Both, to compare."""
        return self.rows, self.digest


def _columns(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_RESOURCE = (
    "uid revision created_at updated_at created_by updated_by deleted_at purge_at labels spec"
)
_EVENT = "at workspace actor verb resource request_id before after kind sequence digest"
_REQUEST = (
    "id request_id at workspace key_id surface model provider target status error cache shared "
    "stream seconds first_token input_tokens output_tokens cached_tokens cost estimated_cost saved "
    "user_id attempts upstream record"
)
_USAGE = (
    "requests seconds upstream input_tokens output_tokens cached_tokens cost unpriced_requests "
    "unpriced_tokens saved"
)

TABLES = (
    Table("resource", _columns("workspace parent id kind"), _columns(_RESOURCE)),
    Table("term", _columns("kind workspace parent field key value created_at id"), ()),
    Table("search", _columns("kind workspace parent id"), _columns("words")),
    Table("words_due", _columns("kind workspace parent id"), ()),
    Table("event", _columns("id"), _columns(_EVENT), frozenset(("digest",))),
    Table(
        "edge",
        _columns("workspace source relation target_workspace target detail event"),
        _columns("at"),
    ),
    Table(
        "idempotency",
        _columns("key"),
        _columns("workspace fingerprint expires_at status body"),
        frozenset(("key", "fingerprint", "body")),
    ),
    Table("request", _columns("number"), _columns(_REQUEST), schema=LEDGER),
    Table(
        "usage",
        _columns("workspace hour model target cache shared ok"),
        _columns(_USAGE),
        schema=LEDGER,
    ),
    Table("failure", _columns("workspace hour target reason"), _columns("attempts"), schema=LEDGER),
    Table("ledger_file", _columns("name"), _columns("position damaged"), schema=LEDGER),
)
