"""The semantic cache's entries on disk: prompts, their vectors, and where their answers are.

Bounded, in all and for each workspace; what was not used for longest leaves first, a twentieth at
a time. A damaged file is set aside, and what can still be read of it is taken over.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from modelyard.auth.sealed import Box, Unsealable
from modelyard.inference.semantic.bound import Evidence
from modelyard.inference.semantic.index import WIDTH, Ids, Vectors

log = logging.getLogger("modelyard.semantic")
_Row = tuple[int, str, bytes, bytes, bytes, float, float, float]  # of _COLUMNS
_PURPOSE = "semantic cache"
_BYTES = 2 * WIDTH  # of a vector, in 16 bits a dimension
_ROW_BYTES = 160  # that an entry takes beside its prompt and vector, keys in the indexes included
_LEAVING = 0.05
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
  id INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, scope BLOB NOT NULL,
  key BLOB NOT NULL, content BLOB NOT NULL, asked_at REAL NOT NULL, kept_at REAL NOT NULL,
  expires REAL NOT NULL, used_at REAL NOT NULL, UNIQUE (scope, key)) STRICT;
CREATE INDEX IF NOT EXISTS entry_used ON entry (workspace, used_at);
CREATE INDEX IF NOT EXISTS entry_expires ON entry (expires);
CREATE TABLE IF NOT EXISTS evidence (
  workspace TEXT NOT NULL, verifier TEXT NOT NULL, weights TEXT NOT NULL,
  PRIMARY KEY (workspace, verifier)) STRICT;
CREATE TABLE IF NOT EXISTS spending (day INTEGER PRIMARY KEY, nano_usd INTEGER NOT NULL) STRICT;
"""
_COLUMNS = "id, workspace, scope, key, content, asked_at, kept_at, expires"
_ALL = f"{_COLUMNS}, used_at"


class Entry(NamedTuple):
    """One prompt that was answered. Times are Unix seconds."""

    id: int
    workspace: str
    scope: bytes
    key: bytes
    prompt: str
    vector: Vectors
    asked_at: float  # when the prompt was asked first
    kept_at: float  # when the answer that is kept now was new
    expires: float


class Store:
    """Entries, evidence and spending in one file of SQLite."""

    def __init__(
        self, path: Path, most: int, most_of_workspace: int, secret: bytes | None = None
    ) -> None:
        self._path = path
        self._most = most
        self._most_of_workspace = most_of_workspace
        self._box = Box(secret) if secret else None
        self._used: dict[int, float] = {}
        try:
            self._db = self._opened()
        except sqlite3.DatabaseError as error:
            self._db = self._rescued(error)
        sql = "SELECT workspace, count(*), total(length(content)) FROM entry GROUP BY workspace"
        self._counts: dict[str, list[int]] = {  # entries, and bytes of their contents
            name: [count, int(size)] for name, count, size in self._db.execute(sql).fetchall()
        }

    def get(self, number: int, now: float) -> Entry | None:
        """An entry that has not expired."""
        sql = f"SELECT {_COLUMNS} FROM entry WHERE id = ? AND expires > ?"  # noqa: S608
        row = self._db.execute(sql, (number, now)).fetchone()
        return None if row is None else self._entry(row)

    def has(self, scope: bytes, key: bytes) -> bool:
        """Whether there is an entry for an answer."""
        sql = "SELECT 1 FROM entry WHERE scope = ? AND key = ?"
        return self._db.execute(sql, (scope, key)).fetchone() is not None

    def use(self, number: int, now: float) -> None:
        """Note that an entry was of use."""
        self._used[number] = now

    def keep(
        self,
        workspace: str,
        scope: bytes,
        key: bytes,
        prompt: str,
        vector: Vectors,
        now: float,
        expires: float,
    ) -> int | None:
        """Keep an entry; its id. None: its prompt was there, and has its new answer now."""
        self._begin()
        changed = self._db.execute(
            "UPDATE entry SET kept_at = ?, expires = ?, used_at = ? WHERE scope = ? AND key = ?",
            (now, expires, now, scope, key),
        )
        if changed.rowcount:
            return None
        self._make_room(workspace)
        content = self._sealed(vector.astype("<f2").tobytes() + prompt.encode())
        made = self._db.execute(
            "INSERT INTO entry (workspace, scope, key, content, asked_at, kept_at, expires, "
            "used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (workspace, scope, key, content, now, now, expires, now),
        )
        count = self._counts.setdefault(workspace, [0, 0])
        count[0] += 1
        count[1] += len(content)
        number: int | None = made.lastrowid
        return number

    def scope(self, scope: bytes, now: float, after: int = 0) -> tuple[Ids, Vectors]:
        """The ids and vectors of a scope, those with greater ids than ``after``."""
        sql = "SELECT id, content FROM entry WHERE scope = ? AND id > ? AND expires > ? ORDER BY id"
        ids: list[int] = []
        parts: list[bytes] = []
        for number, content in self._db.execute(sql, (scope, after, now)):
            with suppress(Unsealable):
                parts.append(self._open(content)[:_BYTES])
                ids.append(number)
        vectors = np.frombuffer(b"".join(parts), "<f2").astype(np.float32)
        return np.array(ids, np.int64), vectors.reshape(len(ids), WIDTH)

    def size(self, scope: bytes, most: int) -> int:
        """The entries of a scope, counted up to ``most``."""
        sql = "SELECT count(*) FROM (SELECT 1 FROM entry WHERE scope = ? LIMIT ?)"
        found: int = self._db.execute(sql, (scope, most)).fetchone()[0]
        return found

    def reader(self) -> Store:
        """The same entries for another thread: read only."""
        other = Store.__new__(Store)
        other._box = self._box
        other._db = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=5.0)
        return other

    def forget(self, scope: bytes, key: bytes, before: float) -> None:
        """Drop an entry whose answer was kept before that time."""
        where = "scope = ? AND key = ? AND kept_at < ?"
        self._delete(where, (scope, key, before))

    def clear(self, workspace: str) -> int:
        """Drop a workspace's entries; how many there were."""
        count = self._counts.get(workspace, [0, 0])[0]
        self._delete("workspace = ?", (workspace,))
        self.commit()
        return count

    def expire(self, now: float) -> None:
        """Drop what has expired, and write down what was used."""
        self._delete("expires <= ?", (now,))
        used, self._used = self._used, {}
        if used:
            self._begin()
            sql = "UPDATE entry SET used_at = ? WHERE id = ?"
            self._db.executemany(sql, [(at, number) for number, at in used.items()])
        self.commit()

    def count(self, workspace: str) -> tuple[int, int]:
        """The entries of a workspace, and about the bytes they take on the disk."""
        count, size = self._counts.get(workspace, (0, 0))
        return count, size + count * _ROW_BYTES

    def evidence(self, verifier: str, strata: int) -> dict[str, Evidence]:
        """What is known of a verifier, by workspace; "" is all of them."""
        sql = "SELECT workspace, weights FROM evidence WHERE verifier = ?"
        found: dict[str, Evidence] = {}
        for workspace, weights in self._db.execute(sql, (verifier,)):
            with suppress(msgspec.DecodeError):
                one = msgspec.json.decode(weights, type=Evidence)
                if len(one.seen) == len(one.checks) == len(one.wrong) == strata:
                    found[workspace] = one
        return found

    def learn(self, verifier: str, known: dict[str, Evidence]) -> None:
        """Write down what is known of a verifier."""
        self._begin()
        rows = [
            (workspace, verifier, msgspec.json.encode(one).decode())
            for workspace, one in known.items()
        ]
        self._db.executemany("INSERT OR REPLACE INTO evidence VALUES (?, ?, ?)", rows)
        self.commit()

    def spent(self, day: int) -> int:
        """The nano-dollars that checks have cost on a day (days since 1970, UTC)."""
        sql = "SELECT nano_usd FROM spending WHERE day = ?"
        row: tuple[int] | None = self._db.execute(sql, (day,)).fetchone()
        return row[0] if row else 0

    def spend(self, day: int, nano_usd: int) -> None:
        """Add to a day's cost."""
        self._begin()
        self._db.execute(
            "INSERT INTO spending VALUES (?, ?) "
            "ON CONFLICT DO UPDATE SET nano_usd = nano_usd + excluded.nano_usd",
            (day, nano_usd),
        )

    def commit(self) -> None:
        """Make what was changed outlast this process."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Commit and close."""
        self.commit()
        self._db.close()

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def _delete(self, where: str, values: tuple[object, ...]) -> None:
        self._begin()
        sql = f"DELETE FROM entry WHERE {where} RETURNING workspace, length(content)"  # noqa: S608
        for workspace, size in self._db.execute(sql, values).fetchall():
            count = self._counts[workspace]
            count[0] -= 1
            count[1] -= size
            if not count[0]:
                del self._counts[workspace]

    def _make_room(self, workspace: str) -> None:
        """Let entries leave: of the workspace that is full, or of the one that has most."""
        counts = self._counts
        if (own := counts.get(workspace)) is not None and own[0] >= self._most_of_workspace:
            self._let_leave(workspace, own[0])
        elif sum(count for count, _ in counts.values()) >= self._most:
            largest = max(counts, key=lambda name: counts[name][0])
            self._let_leave(largest, counts[largest][0])

    def _let_leave(self, workspace: str, count: int) -> None:
        self._delete(
            "id IN (SELECT id FROM entry WHERE workspace = ? ORDER BY used_at LIMIT ?)",
            (workspace, max(1, int(count * _LEAVING))),
        )

    def _sealed(self, content: bytes) -> bytes:
        return content if self._box is None else self._box.seal(_PURPOSE, content)

    def _open(self, content: bytes) -> bytes:
        """An entry's content. Raises Unsealable, also for what was not sealed."""
        plain = content if self._box is None else self._box.open(_PURPOSE, content)
        if len(plain) < _BYTES:
            raise Unsealable("it is too short")
        return plain

    def _entry(
        self, row: tuple[int, str, bytes, bytes, bytes, float, float, float]
    ) -> Entry | None:
        number, workspace, scope, key, content, asked_at, kept_at, expires = row
        try:
            plain = self._open(content)
            prompt = plain[_BYTES:].decode()
        except (Unsealable, UnicodeDecodeError):
            return None
        vector = np.frombuffer(plain[:_BYTES], "<f2").astype(np.float32)
        return Entry(number, workspace, scope, key, prompt, vector, asked_at, kept_at, expires)

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode = wal")
            db.execute("PRAGMA synchronous = normal")
            if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("its check failed")
            db.executescript(_SCHEMA)
        except BaseException:
            db.close()
            raise
        self._path.chmod(0o600)
        return db

    def _rescued(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        """A new file with what can be read of the damaged one."""
        broken = self._path.with_suffix(".damaged")
        for ending in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self._path}{ending}").replace(f"{broken}{ending}")
        db = self._opened()
        db.execute("BEGIN")
        taken = 0
        for row in _legible(broken):
            with suppress(sqlite3.Error):
                sql = f"INSERT INTO entry ({_ALL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
                db.execute(sql, row)
                taken += 1
        db.execute("COMMIT")
        told = {"file": str(broken), "error": str(error), "entries": taken}
        log.error("the semantic cache's file was damaged; what was legible is kept", extra=told)
        return db


def _legible(path: Path) -> Iterator[tuple[object, ...]]:
    """The entries of a damaged file, as far as they can be read, from both ends."""
    seen: set[object] = set()
    for order in ("ASC", "DESC"):
        with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as db:
            for row in db.execute(f"SELECT {_ALL} FROM entry ORDER BY id {order}"):  # noqa: S608
                if row[0] not in seen:
                    seen.add(row[0])
                    yield row
