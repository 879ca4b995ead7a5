"""A store with artifacts and a resource that refers to them, without a server."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

from msgspec import Struct

from modelyard.artifacts import INTERNAL, artifacts, uploads
from modelyard.artifacts.collecting import Collector
from modelyard.artifacts.depot import Depot
from modelyard.artifacts.shelf import Shelf
from modelyard.auth.policy import PolicySet
from modelyard.auth.sealed import Box
from modelyard.identity.workspaces import Workspace, workspaces
from modelyard.kernel.context import Context, Ports
from modelyard.kernel.fields import refers
from modelyard.kernel.ports import Refused, Row
from modelyard.kernel.principal import Principal
from modelyard.kernel.resource import Resource
from modelyard.settings.artifacts import ArtifactSettings
from modelyard.storage.artifacts.objects import Objects, open_folder
from modelyard.storage.artifacts.places import Places
from modelyard.storage.driver import Driver
from modelyard.storage.store import Store

GRACE = 1000.0


class Dataset(Struct, frozen=True, kw_only=True):
    head: Annotated[str, refers("artifacts")]


datasets = Resource("/datasets", Dataset, tag="Tests")
RESOURCES: tuple[Resource[Any], ...] = (artifacts, uploads, datasets, workspaces, *INTERNAL)


class Shop:
    """What a server's process has of artifacts. ``objects`` stand for those of a folder."""

    def __init__(
        self, driver: Driver, objects: Objects | None = None, *, grace: float = GRACE
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="modelyard-artifacts-"))
        self.objects = objects or open_folder(self.folder)
        self.store = Store(driver)
        settings = ArtifactSettings(grace_seconds=grace)
        self.depot = Depot(lambda: Places(self.objects, Box(b"p" * 32)), settings)
        self.collector = Collector(self.store, self.depot)
        self.ports = Ports(
            self.store,
            PolicySet(),
            {one.kind: one for one in RESOURCES},
            {Depot: self.depot},
            lambda context: Shelf(context, self.depot),
        )

    async def open(self) -> None:
        await self.store.open()
        await self.store.declare(one.indexed for one in RESOURCES)
        for name in ("default", "elsewhere"):

            async def make(context: Context, name: str = name) -> Any:
                return await context.create(workspaces, Workspace(), own_id=name, unchecked=True)

            await self.decide(make)

    def context(self, workspace: str = "default") -> Context:
        caller = Principal(id="root", workspace=workspace, scopes=("*:*",))
        return Context(caller, "req_test", self.ports)

    async def decide(
        self,
        method: Callable[[Context], Coroutine[Any, Any, Any]],
        workspace: str = "default",
    ) -> Any:
        """A request: a method, and the commit of what it staged; anew where others came between."""
        context = self.context(workspace)
        for _ in range(20):
            value = await method(context)
            try:
                await self.store.commit(context.commit)
            except Refused as refused:
                if refused.reason not in ("stale", "exists"):
                    raise
                context.forget()
                continue
            for work in context.afterwards:
                await work()
            return value
        raise AssertionError("it was never decided")

    async def make(self, data: bytes, workspace: str = "default") -> Row:
        """A dataset with an artifact, in one commit."""

        async def method(context: Context) -> Any:
            head = await context.artifacts.put(once(data), name="rows")
            return await context.create(datasets, Dataset(head=head))

        return (await self.decide(method, workspace)).row

    async def drop(self, row: Row) -> None:
        async def method(context: Context) -> None:
            context.delete(await context.get(datasets, row.address.id))

        await self.decide(method, row.address.workspace)

    async def read(self, digest: str, workspace: str = "default") -> bytes:
        context = self.context(workspace)
        return b"".join([part async for part in context.artifacts.open(digest)])

    async def places(self) -> list[str]:
        return await self.objects.folders()


async def once(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 50_000):
        yield data[at : at + 50_000]
        await asyncio.sleep(0)
