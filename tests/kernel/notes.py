"""A small application of notes for the tests of the kernel."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, ClassVar, Literal

import pytest
from msgspec import Meta, Struct, field

from kernel.client import Client, by_name
from modelyard.auth.policy import PolicySet
from modelyard.kernel.context import Context, Ports
from modelyard.kernel.events import Event
from modelyard.kernel.http import Application
from modelyard.kernel.ports import Commit
from modelyard.kernel.route import Raw, Route
from modelyard.protocol.errors import Failure
from modelyard.protocol.paging import Paging
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store


class Part(Struct, forbid_unknown_fields=True):
    size_limit: Annotated[int, Meta(ge=1)] = 1
    kind: Literal["text", "image"] = "text"


class Note(Struct, forbid_unknown_fields=True):
    title: Annotated[str, Meta(min_length=1, max_length=10)]
    parts: list[Part] = []
    labels: dict[str, str] = {}
    score: float | None = None


class Seen(Struct):
    id: str
    caller: str


class Search(Paging):
    tags: list[str] = field(default_factory=list)
    kind: Literal["text", "image"] | None = None


class Notes:
    """What the routes were given."""

    opened: ClassVar[list["Notes"]] = []

    def __init__(self, **settings: Any) -> None:
        self.opened.append(self)
        self.calls: list[Any] = []
        self.events: list[Event] = []
        self.folder = TemporaryDirectory()
        self.database = Database(Path(self.folder.name) / "control.db")
        self.store = Store(self.database)
        self.ports = Ports(self.store, PolicySet(), {}, {})
        self.app = Application(
            self.routes(),
            authenticate=by_name,
            ports=self.ports,
            committed=self.committed,
            **settings,
        )

    def close(self) -> None:
        self.database.close()
        self.folder.cleanup()

    def client(self, key: str | None = "root") -> Client:
        return Client(self.app, key)

    async def committed(self, commit: Commit) -> None:
        self.events += commit.events

    async def create(self, context: Context, ask: Note) -> Note:
        self.calls.append(ask)
        return ask

    async def search(self, context: Context, query: Search) -> list[str]:
        self.calls.append(query)
        return query.tags

    async def show(self, context: Context, note_id: str) -> Seen:
        return Seen(note_id, context.principal.id)

    async def version(self, context: Context, name: str, version: str) -> list[str]:
        return [name, version]

    async def remove(self, context: Context, note_id: str) -> None:
        if note_id == "missing":
            raise Failure("NOT_FOUND", "There is no such note.", retry_after=0.2)

    async def fail(self, context: Context) -> None:
        raise RuntimeError("the secret is hunter2")

    async def page(self, context: Context) -> Raw:
        return Raw(b"<p>hello", "text/html; charset=utf-8")

    def routes(self) -> list[Route]:
        common: dict[str, Any] = {"permission": "note:read", "summary": "", "tag": "Notes"}
        write = common | {"permission": "note:write"}
        return [
            Route(method="GET", path="/page", serve=self.page, **(common | {"permission": None})),
            Route(
                method="GET",
                path="/v1/notes",
                serve=self.search,
                query=Search,
                response=list[str],
                **common,
            ),
            Route(
                method="POST",
                path="/v1/notes",
                serve=self.create,
                request=Note,
                response=Note,
                status=201,
                audit="note.create",
                **write,
            ),
            Route(
                method="GET", path="/v1/notes/{note_id}", serve=self.show, response=Seen, **common
            ),
            Route(
                method="DELETE",
                path="/v1/notes/{note_id}",
                serve=self.remove,
                status=204,
                audit="note.delete",
                **write,
            ),
            Route(
                method="GET",
                path="/v1/books/{name*}/versions/{version}",
                serve=self.version,
                response=list[str],
                **common,
            ),
            Route(method="GET", path="/v1/broken", serve=self.fail, **common),
            Route(method="POST", path="/v1/elsewhere", **common),
        ]


@pytest.fixture(autouse=True)
def notes_closed() -> Iterator[None]:
    """Each has files and a thread, of which a process may have only so many."""
    yield
    while Notes.opened:
        Notes.opened.pop().close()
