"""Questions to the ledger. Each is about one workspace, and reads in a connection of its own.

Call them from a thread that may block. They see what is loaded: ``Keeper.catch_up`` first, to see
what was written just before.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from modelyard.protocol.errors import Failure
from modelyard.storage.ledger.record import Record

HOUR = 3600  # seconds
SECONDS = 10.0  # the longest that a question may take
_STEPS = 100_000  # of SQLite's machine between two looks at the clock: about 5 ms

Position = tuple[float, int]  # ``at`` and ``number`` of the last row seen
By = Literal["all", "day", "model", "provider", "target", "cache"]


class Filters(Struct, frozen=True, kw_only=True):
    """Which requests: all that is given must hold. Times are Unix seconds, costs nano-dollars.

    ``since`` is inclusive, ``until`` exclusive; the other bounds are inclusive. A request whose
    price is unknown has no cost, and is in no range of costs.
    """

    since: float | None = None
    until: float | None = None
    key_id: str | None = None
    model: str | None = None
    provider: str | None = None
    status_from: int | None = None
    status_to: int | None = None
    error: str | None = None
    cost_from: int | None = None
    cost_to: int | None = None
    cache: str | None = None
    stream: bool | None = None
    user_id: str | None = None


class Summary(NamedTuple):
    """One request, without its attempts. Money is nano-dollars; ``None``: price unknown."""

    number: int
    id: str
    request_id: str
    at: float
    key_id: str
    surface: str
    model: str
    provider: str | None
    target: str | None
    status: int
    error: str | None
    cache: str
    shared: int
    stream: int
    seconds: float
    first_token: float | None  # milliseconds
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: int | None
    estimated_cost: int | None
    saved: int | None
    user_id: str | None
    attempts: int

    @property
    def position(self) -> Position:
        """Where a page that ends here ends."""
        return self.at, self.number


class Usage(NamedTuple):
    """Sums over requests. Money is nano-dollars, ``upstream`` milliseconds.

    A *lookup* asked a cache; a *hit* was answered by one. A *follower* shared another request's
    call. An *answer* succeeded by a call of its own, which took ``upstream``. Tokens of hits and
    followers are ``saved_tokens``, all others' are ``tokens``.
    """

    requests: int = 0
    succeeded: int = 0
    seconds: float = 0.0
    tokens: int = 0
    cached_tokens: int = 0
    cost: int = 0
    unpriced_requests: int = 0
    unpriced_tokens: int = 0
    lookups: int = 0
    hits: int = 0
    followers: int = 0
    saved_by_hits: int = 0
    saved_by_followers: int = 0
    saved_tokens: int = 0
    answers: int = 0
    upstream: float = 0.0
    answer_input_tokens: int = 0
    answer_output_tokens: int = 0


_WHERE = {
    "since": "at >= ?",
    "until": "at < ?",
    "key_id": "key_id = ?",
    "model": "model = ?",
    "provider": "provider = ?",
    "status_from": "status >= ?",
    "status_to": "status <= ?",
    "error": "error = ?",
    "cost_from": "cost >= ?",
    "cost_to": "cost <= ?",
    "cache": "cache = ?",
    "stream": "stream = ?",
    "user_id": "user_id = ?",
}

_GROUPS: dict[str, str] = {
    "all": "''",
    "day": "strftime('%Y-%m-%d', hour * 3600, 'unixepoch')",
    "model": "model",
    "provider": "substr(target, 1, instr(target, '/') - 1)",
    "target": "target",
    "cache": "cache",
}

_HIT = "cache NOT IN ('off', 'miss')"
_OWN = f"shared = 0 AND NOT {_HIT}"  # made a call of its own, or was refused before


def _sum(what: str, where: str = "TRUE") -> str:
    return f"CAST(sum(CASE WHEN {where} THEN {what} ELSE 0 END) AS BIGINT)"


_SUMS = ", ".join(
    (
        _sum("requests"),
        _sum("requests", "ok = 1"),
        "sum(seconds)",
        _sum("input_tokens + output_tokens", _OWN),
        _sum("cached_tokens", _OWN),
        _sum("cost"),
        _sum("unpriced_requests"),
        _sum("unpriced_tokens"),
        _sum("requests", "cache <> 'off'"),
        _sum("requests", _HIT),
        _sum("requests", "shared = 1"),
        _sum("saved", _HIT),
        _sum("saved", f"shared = 1 AND NOT {_HIT}"),
        _sum("input_tokens + output_tokens", f"ok = 1 AND NOT ({_OWN})"),
        _sum("requests", f"ok = 1 AND {_OWN}"),
        f"sum(CASE WHEN ok = 1 AND {_OWN} THEN upstream ELSE 0.0 END)",
        _sum("input_tokens", f"ok = 1 AND {_OWN}"),
        _sum("output_tokens", f"ok = 1 AND {_OWN}"),
    )
)


class Answers(Protocol):
    """Where questions are asked, with ``?`` for each value. ``groups`` is the SQL of a group."""

    groups: dict[str, str]

    def rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        """The rows of a query. Raises ``SYSTEM_OVERLOADED`` where it takes too long."""


class Reader:
    """Reads the ledger's database, which a Loader has made.

    A question that takes longer than ``seconds`` is given up: ``SYSTEM_OVERLOADED``.
    """

    def __init__(self, database: "Path | Answers", seconds: float = SECONDS) -> None:
        self._answers: Answers = (
            _File(database, seconds) if isinstance(database, Path) else database
        )

    def requests(
        self, workspace: str, filters: Filters, after: Position | None, size: int
    ) -> list[Summary]:
        """At most ``size`` requests, the newest first, those after a position."""
        sql, values = page(workspace, filters, after, size)
        return [Summary._make(row) for row in self._rows(sql, values)]

    def request(self, workspace: str, request_id: str) -> Record | None:
        """One request by its client's id or its record's; the newest if the id was used again."""
        sql = (
            "SELECT at, number, record FROM request WHERE workspace = ? AND id = ? UNION ALL "
            "SELECT at, number, record FROM request WHERE workspace = ? AND request_id = ? "
            "ORDER BY at DESC, number DESC LIMIT 1"
        )
        rows = self._rows(sql, (workspace, request_id) * 2)
        return msgspec.json.decode(rows[0][2], type=Record) if rows else None

    def count(self, workspace: str, since: float) -> int:
        """How many requests arrived since a time (Unix seconds)."""
        sql = "SELECT count(*) FROM request WHERE workspace = ? AND at >= ?"
        found: int = self._rows(sql, (workspace, since))[0][0]
        return found

    def usage(self, workspace: str, since: float = 0.0, by: By = "all") -> dict[str, Usage]:
        """Sums by day (UTC), model, provider, target or cache; "all" is one sum under "".

        ``since`` is Unix seconds and is rounded down to the hour. Only groups that have requests
        are in it. What nobody answered has the provider and target "".
        """
        group = self._answers.groups[by]
        sql = f"""
            SELECT {group}, {_SUMS} FROM usage
            WHERE workspace = ? AND hour >= ? GROUP BY 1 ORDER BY 1
        """
        rows = self._rows(sql, (workspace, int(since // HOUR)))
        return {name: Usage._make(sums) for name, *sums in rows}

    def failures(self, workspace: str, since: float = 0.0) -> dict[str, int]:
        """By target, how many attempts failed by its fault since a time, rounded to the hour."""
        sql = """
            SELECT target, CAST(sum(attempts) AS BIGINT) FROM failure
            WHERE workspace = ? AND hour >= ? GROUP BY 1 ORDER BY 1
        """
        return dict(self._rows(sql, (workspace, int(since // HOUR))))

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        return self._answers.rows(sql, values)


class _File:
    """A connection of its own for each question."""

    groups = _GROUPS

    def __init__(self, database: Path, seconds: float) -> None:
        self._seconds = seconds
        self._uri = f"{database.resolve().as_uri()}?mode=ro"

    def rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        deadline = time.monotonic() + self._seconds
        with closing(sqlite3.connect(self._uri, uri=True)) as db:
            db.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
            try:
                return db.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                    raise too_long(self._seconds) from error
                raise


def too_long(seconds: float) -> Failure:
    """What a question that was given up is answered with."""
    return Failure(
        "SYSTEM_OVERLOADED",
        f"The request log was searched for {seconds:g} s without an end. Narrow the question with "
        "'since' and 'until'.",
        details={"seconds": seconds},
    )


def page(
    workspace: str, filters: Filters, after: Position | None, size: int
) -> tuple[str, tuple[Any, ...]]:
    """The query for one page, and its values."""
    terms, values = ["workspace = ?"], list[Any]([workspace])
    for name, term in _WHERE.items():
        value = getattr(filters, name)
        if value is not None:
            terms.append(term)
            values.append(int(value) if isinstance(value, bool) else value)
    if after is not None:
        terms.append("(at, number) < (?, ?)")
        values.extend(after)
    columns = ", ".join(Summary._fields)
    sql = (
        f"SELECT {columns} FROM request WHERE {' AND '.join(terms)} "
        "ORDER BY at DESC, number DESC LIMIT ?"
    )
    return sql, (*values, size)
