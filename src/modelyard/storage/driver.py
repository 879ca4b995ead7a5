"""The seam between the store and a database: reads, and transactions written as generators."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from modelyard.storage.dialect import Dialect

T = TypeVar("T")
Values = Sequence[Any]
Rows = list[Sequence[Any]]  # of PostgreSQL no tuples


class Statement(NamedTuple):
    """SQL with ``?`` for each value. With ``many``, ``values`` are those of many executions."""

    sql: str
    values: Values = ()
    many: bool = False


# A transaction: it yields statements, is sent their rows, and may raise to undo them all. It can
# be begun anew when the database asks for that, so it changes nothing but the database.
Work = Generator[Statement, Rows, T]


class Duplicate(Exception):
    """A unique index refused a row. ``index`` is its name, "" for the primary key."""

    def __init__(self, index: str) -> None:
        super().__init__(index)
        self.index = index


class Unmet(Exception):
    """A change that is one statement did not find what it expects."""


class Driver(Protocol):
    """An open database, of one process.

    Raises ``SYSTEM_OVERLOADED`` where it is busy or gone for the moment, ``STORAGE_FULL`` where
    there is no room, and ``Duplicate``.
    """

    dialect: Dialect

    async def open(self) -> None:
        """Connect, and make or upgrade the tables. Raises ``UnusableDatabase``."""

    async def fetch(self, sql: str, values: Values = ()) -> Rows:
        """The rows of a query."""

    async def transact(
        self, work: Callable[[], Work[T]], *, dry: bool = False, long: bool = False
    ) -> T:
        """Run a transaction: all of it is committed then, and nothing of it with ``dry``.

        What is committed outlives the process, and a power cut as the settings say. ``long`` is
        for what takes more than a millisecond.
        """

    async def attempt(self, statement: Statement) -> bool:
        """Make a change that is one statement; False where the database refused it, and all is
        as it was. Only for a ``dialect.at_once``. Raises ``Unmet`` where it divided by zero."""

    def changed(self) -> bool:
        """Whether anybody, in any process, committed since the last call; may be wrongly true."""

    def there(self) -> bool:
        """Whether the database is still where it was opened."""

    async def shut(self) -> None:
        """Finish what is being written, and close."""
