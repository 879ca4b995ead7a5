"""The kernel's store, written once over a driver: SQLite's or PostgreSQL's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import structs

from modelyard.kernel.ports import (
    Address,
    Chain,
    Commit,
    Edge,
    EventPart,
    EventQuery,
    Indexed,
    Query,
    Refused,
    Replay,
    Row,
    Sealed,
)
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import Field
from modelyard.storage import (
    at_once,
    audit,
    commits,
    declared,
    homes,
    idempotency,
    narrowing,
    newest,
    paging,
    sealing,
)
from modelyard.storage.dialect import Dialect, literal, value
from modelyard.storage.driver import Driver, Rows, Unmet
from modelyard.storage.recent import Recent
from modelyard.storage.rows import placed, read

_NOTHING = declared.Ready()
_MANY = 256  # events that wait to be sealed: it cannot keep up if it lets others between
_UNTOLD = 20_000  # events whose words may wait until nobody changes anything
_ALL = f"SELECT {paging.COLUMNS} FROM {{}} AS resource"
_GET = f"SELECT {paging.KNOWN} FROM {{}} AS resource{newest.BY_KEY}"
_EDGE_FIELDS = ("workspace", "source", "relation", "target", "event", "detail", "at")
_EDGES = (
    "SELECT workspace, source, relation, target, event, detail, at FROM edge WHERE {one} = ? "
    "AND {among} ORDER BY at DESC, source, relation, target LIMIT ?"
)
_PURGED = (
    f"SELECT kind, {paging.COLUMNS} FROM {{}} WHERE purge_at IS NOT NULL AND purge_at <= ? "
    "ORDER BY purge_at LIMIT ?"
)


class Store:
    """Implements ``kernel.ports.Store``; begins with ``open`` and ``declare``."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._ready: dict[str, declared.Ready] = {}
        self._kinds: list[str] = []
        self._recent = Recent()
        self._untold = 0  # events sealed here since words were made

    async def open(self) -> None:
        """Connect, and make or upgrade the tables. Raises ``UnusableDatabase``."""
        await self.driver.open()

    async def declare(self, indexed: Iterable[Indexed]) -> None:
        """Say which kinds there are: their indexes, terms and words are made where they lack.

        Those of kinds that are not declared any more are dropped; the resources stay.
        """
        kinds = list(indexed)
        dialect = self.driver.dialect
        await self.driver.transact(lambda: declared.prepare(kinds, dialect), long=True)
        self.know(kinds)
        try:
            await self._make_words()
        except Failure as failure:  # another process makes them; who searches waits for it
            if failure.code.symbol != "SYSTEM_OVERLOADED":
                raise

    def know(self, indexed: Iterable[Indexed]) -> None:
        """As ``declare``, where another process has made what they need."""
        made = list(indexed)
        kinds = [one.kind for one in made]
        self._ready = {one.kind: declared.ready(one, kinds) for one in made}
        self._kinds = kinds

    async def get(self, address: Address) -> Row | None:
        """The resource there, softly deleted or not."""
        kind = address.kind
        made = self._ready_for(kind)
        if not made.newest:
            rows = await self.driver.fetch(made.sql(_GET), commits.place(address))
            return placed(address, rows[0]) if rows else None
        if not made.joined:
            below = self._ready_for(made.newest).table
            made.joined = newest.one(kind, made.table, below, self.driver.dialect.name)
        rows = await self.driver.fetch(made.joined, commits.place(address))
        return newest.both(address, made.newest, rows[0]) if rows else None

    def recall(self, address: Address, *, whole: bool = False) -> Row | None:
        """The resource there, as it was when it was changed or added to here a while ago.

        With ``whole`` only where all that is shown of it is remembered.
        """
        return self._recent.find(address, whole=whole)

    async def page(self, query: Query) -> list[Row]:
        """At most ``query.size`` resources."""
        if paging.asks_for_words(query):
            await self._find_words(told=False)
        query = self._meant(query)
        found: Rows = []
        missing, skip = query.size, query.skip
        if query.after is not None:  # the rows to skip may be in several parts
            missing, skip = query.size + query.skip, 0
        made = self._ready_for(query.kind)
        few = await narrowing.fewest(query, self.driver, made.table)
        for sql, values in paging.parts(query, self.driver.dialect, made.table, few):
            found += await self.driver.fetch(sql, [*values, missing - len(found), skip])
            if len(found) == missing:
                break
        rows = [read(query.kind, row) for row in found[missing - query.size :]]
        if made.newest:
            below = self._ready_for(made.newest).table
            rows = await newest.of(rows, made.newest, below, self.driver)
        return rows

    async def count(self, query: Query) -> int:
        """How many a list holds in all its pages."""
        if paging.asks_for_words(query):
            await self._find_words(told=False)
        query = self._meant(query)
        table = self._ready_for(query.kind).table
        rows = await self.driver.fetch(*paging.counted(query, self.driver.dialect, table))
        return int(rows[0][0])

    async def everywhere(self, kind: str) -> list[Row]:
        """The live resources of a kind in all workspaces, for what this server publishes."""
        table = self._ready_for(kind).table
        sql = f"{_ALL.format(table)} WHERE kind = ? AND deleted_at IS NULL"
        rows = await self.driver.fetch(sql, (kind,))
        return [read(kind, row) for row in rows]

    async def find(self, kind: str, path: tuple[str, ...], value_: str) -> Row | None:
        """The live one of all workspaces with this value at a unique path (a login, a digest)."""
        sql = one_with(self.driver.dialect, kind, path, self._ready_for(kind).table)
        rows = await self.driver.fetch(sql, (value_,))
        return read(kind, rows[0]) if rows else None

    async def commit(self, commit: Commit, *, dry: bool = False) -> None:
        """Make a commit, or with ``dry`` only see whether it could be made. Raises ``Refused``."""
        above = commit.above
        try:
            await self._made(commit, dry)
        except Refused as refused:
            refused.__traceback__ = None  # it holds the commit, whose number nobody else takes
            raise
        if not dry:
            kind = self._ready_for(above.address.kind).newest if above is not None else ""
            self._recent.note(commit, kind)

    async def _made(self, commit: Commit, dry: bool) -> None:
        dialect = self.driver.dialect
        if dialect.at_once and not dry:
            whole = at_once.statement(commit, self._ready_for)
            try:
                if whole is not None and await self.driver.attempt(whole):
                    return
            except Unmet as error:
                if (stale := at_once.stale(commit)) is not None:
                    raise Refused("stale", stale) from error
        await self.driver.transact(lambda: commits.work(commit, self._ready_for, dialect), dry=dry)

    async def claim(self, replay: Replay) -> Replay | None:
        """Claim an idempotency key; the kept answer (or running claim) where it was claimed."""
        dialect = self.driver.dialect
        return await self.driver.transact(lambda: idempotency.claim(replay, dialect))

    async def release(self, replay: Replay) -> None:
        """Give up a claim whose request failed."""
        await self.driver.transact(lambda: idempotency.release(replay))

    async def edges(
        self, workspace: str, names: Sequence[str], *, towards: bool, size: int = 1000
    ) -> list[Edge]:
        """The edges that leave ``names``; with ``towards`` those that point at them."""
        dialect = self.driver.dialect
        among = dialect.among.format("target" if towards else "source")
        sql = _EDGES.format(one="workspace", among=among)
        rows = await self.driver.fetch(sql, (workspace, dialect.texts(names), size))
        return [Edge(**dict(zip(_EDGE_FIELDS, row, strict=True))) for row in rows]

    async def events(self, query: EventQuery) -> list[Sealed]:
        """A part of the audit trail."""
        await self._find_told(query)
        return await audit.events(self.driver, query)

    async def news(self, after: int, size: int, kinds: Sequence[str]) -> list[Sealed]:
        """The sealed events behind a number, in their order; see ``audit.news``."""
        return await audit.news(self.driver, after, size, kinds)

    async def sealed(self) -> int:
        """The sequence number of the newest sealed event; 0 when there is none."""
        return await audit.newest(self.driver)

    async def tally(self, query: EventQuery, by: EventPart) -> list[tuple[str, int]]:
        """How many of the sealed events are of each actor, say; the most first."""
        await self._find_told(query)
        return await audit.tally(self.driver, query, by)

    async def examine(
        self,
        *,
        after: int = 0,
        most: int | None = None,
        anchor: tuple[int, bytes] | None = None,
        tell: Callable[[int], None] | None = None,
    ) -> Chain:
        """Recompute the chain behind an event, up to the first fault; see ``audit.examine``."""
        return await audit.examine(self.driver, after=after, most=most, anchor=anchor, tell=tell)

    async def seal(self) -> int:
        """Chain all events that are committed by now; returns how many. Any process may call it."""
        total, seal = 0, sealing.whole if self.driver.dialect.at_once else sealing.beside
        waiting = await audit.unsealed(self.driver)  # what comes meanwhile is for the next time
        while total < waiting:
            count = await seal(self.driver, many=waiting > _MANY)
            if count is None:  # another process sealed about as many meanwhile
                waiting -= sealing.PIECE
            elif not count:
                break
            else:
                total += count
        self._untold += total
        quiet = not total or self._untold >= _UNTOLD  # or they have waited for long enough
        if quiet:
            await self._find_words()
        return total

    async def verify(self, anchor: tuple[int, bytes] | None = None) -> audit.Break | None:
        """The first place where the chain does not hold; see ``audit.verify``."""
        return await audit.verify(self.driver, anchor)

    async def expired(self, now: float, size: int = 100) -> list[Row]:
        """Softly deleted resources whose time is over: to be removed for good."""
        found: Rows = []
        for table in (homes.SHARED, *(one.table for one in self._ready.values())):
            found += await self.driver.fetch(_PURGED.format(table), (now, size - len(found)))
            if len(found) == size:
                break
        return [read(row[0], row[1:]) for row in found]

    def changed(self) -> bool:
        """Whether anybody, in any process, committed since the last call; may be wrongly true."""
        return self.driver.changed()

    async def close(self) -> None:
        """Finish what is being written, and close."""
        await self.driver.shut()

    async def _find_words(self, *, told: bool = True) -> None:
        """Make the words that are due, before they are searched, or since it is quiet.

        Who searches resources does not wait for those of events (``told``).
        """
        due = declared.some_due(self.driver.dialect, self._kinds, told=told)
        # Who knows no kinds leaves them to others.
        if self._ready and await self.driver.fetch(due.sql, due.values):
            await self._make_words(told=told)

    async def _find_told(self, query: EventQuery) -> None:
        if query.words or paging.asks_for_words(query):
            await self._find_words()

    async def _make_words(self, *, told: bool = True) -> None:
        """Make the words of what was changed: many together cost a part of each by itself."""
        self._untold = 0 if told else self._untold
        ready, dialect, kinds = self._ready_for, self.driver.dialect, self._kinds
        while await self.driver.transact(
            lambda: declared.catch_up(ready, dialect, kinds, told=told), long=True
        ):
            pass

    def _meant(self, query: Query) -> Query:
        """A list across parents of what lies below nothing is the list of what has no parent."""
        if query.parent is not None or self._ready_for(query.kind).nested:
            return query
        after = query.after and query.after[:-1]  # the last is the parent, see ``ports.sorting``
        return structs.replace(query, parent="", after=after)

    def _ready_for(self, kind: str) -> declared.Ready:
        return self._ready.get(kind, _NOTHING)


def one_with(dialect: Dialect, kind: str, path: tuple[str, ...], table: str = "") -> str:
    """The statement that finds a live resource of a declared kind by a unique path."""
    at = value(dialect, Field("", "string", path))
    rows = _ALL.format(table or homes.table(kind))
    return f"{rows} WHERE kind = {literal(kind)} AND deleted_at IS NULL AND {at} = ?"
