"""The control plane of one process: its store, who may call, and what methods ask for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from modelyard.artifacts import INTERNAL
from modelyard.artifacts.collecting import Collector
from modelyard.artifacts.depot import Depot
from modelyard.artifacts.shelf import Shelf
from modelyard.auth.keys import KeyRing, Pepper
from modelyard.auth.oidc import Issuer
from modelyard.auth.passwords import Passwords
from modelyard.auth.permissions import Permissions
from modelyard.auth.sealed import Box
from modelyard.identity.demand import Demand
from modelyard.identity.directory import Directory
from modelyard.identity.keys.bootstrap import ADMIN_FILE, Secrets, bootstrap, read_secrets
from modelyard.identity.keys.kept import KeptSecret
from modelyard.identity.policies import policies
from modelyard.identity.policies.rulebook import Rulebook
from modelyard.identity.sessions.methods import Attempts, Lifetime
from modelyard.identity.sessions.signing import rotate_signing
from modelyard.identity.standing import today
from modelyard.jobs.compute import Capacity, this_machine
from modelyard.jobs.operations import operations
from modelyard.jobs.routes import Waits
from modelyard.kernel.context import Ports
from modelyard.kernel.idempotency import Sealing
from modelyard.kernel.ports import Commit, Sealed
from modelyard.kernel.principal import Principal
from modelyard.kernel.purge import purge
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import Fields
from modelyard.resources import BY_KIND, RESOURCES
from modelyard.settings import Settings
from modelyard.storage.artifacts.opening import open_objects
from modelyard.storage.artifacts.places import Places
from modelyard.storage.opening import driver
from modelyard.storage.store import Store
from modelyard.webhooks.courier import Courier
from modelyard.webhooks.kept import PURPOSE
from modelyard.webhooks.kept import Secrets as HookSecrets
from modelyard.webhooks.limits import Limits, limits
from modelyard.webhooks.sender import Send

log = logging.getLogger(__name__)

ISSUER = "urn:modelyard"  # of tokens, where no public_url is set
REPLAYED = "idempotency"  # what kept answers are sealed for
PURGE_SECONDS = 60.0  # between looks for what is deleted for good
_FOLLOWED = 64  # events read at once: requests wait for as long
_TOLD = (operations.kind, "")  # kinds of which followers ask what was changed; "": of no resource
_SHARED = frozenset(one.kind for one in RESOURCES if one.installation)
Follower = Callable[[list[Sealed]], None]


def open_store(settings: Settings, home: Path) -> Store:
    """The store that the settings name. Raises ``UnusableDatabase``."""
    return Store(driver(settings.database_url, home, settings.database_sync))


class Book(Protocol):
    """What a process keeps of the store to work with, read anew after each change of its kinds."""

    FOLLOWED: frozenset[str]

    async def load(self, store: Store) -> None:
        """Take in what is stored now."""


class Installation:
    """What the control plane stands on. ``published`` is called with each new key ring.

    ``books`` are kept up to date here, beside the directory, and are there for methods.
    """

    def __init__(
        self,
        settings: Settings,
        home: Path,
        store: Store,
        secrets: Secrets,
        permissions: tuple[str, ...] = (),
        published: Callable[[KeyRing], None] = lambda _: None,
        outside: Issuer | None = None,
        books: tuple[Book, ...] = (),
        send: Send | None = None,
    ) -> None:
        self.home, self.store, self.secrets = home, store, secrets
        auth = settings.auth
        issuer = auth.public_url or ISSUER
        self.directory = Directory(secrets, issuer, fields_of, published, outside)
        self.demand: Demand | None = None
        if auth.signed_permissions:
            self.demand = Demand(auth.signed_permissions, auth.public_url, self.directory, store)
        self.passwords = Passwords()
        box = self.directory.box
        depot = open_depot(settings, home, lambda: box)
        self.collector = Collector(store, depot)
        self._books: tuple[Book, ...] = (self.directory, *books)
        self.followers: list[Follower] = []
        hooks = self._webhooks(settings, send)
        self._followed = 0
        self._behind = False
        self._purge_at = 0.0  # by the monotonic clock
        self.ports = Ports(
            store,
            self.directory,
            BY_KIND,
            _by_type(
                Pepper(secrets.pepper),
                KeptSecret(home / ADMIN_FILE, secrets.pepper),
                self.directory,
                self.passwords,
                Attempts(),
                Lifetime(auth.token_seconds),
                Permissions(permissions),
                Sealing(partial(box.seal, REPLAYED), partial(box.open, REPLAYED)),
                *hooks,
                Capacity(this_machine() if _here(settings) else None),
                Waits(),
                depot,
                *books,
            ),
            lambda context: Shelf(context, depot),
        )

    def _webhooks(self, settings: Settings, send: Send | None) -> tuple[Limits, HookSecrets]:
        """What webhooks' methods ask for; with ``send`` this process brings them their events."""
        box, own = self.directory.box, limits(settings.webhooks)
        sealing = HookSecrets(partial(box.seal, PURPOSE), partial(box.open, PURPOSE))
        self.courier = None if send is None else Courier(send, sealing.open, own, _SHARED)
        if self.courier is not None:
            self._books = (*self._books, self.courier)
            self.followers.append(self.courier.follow)
        return own, sealing

    async def open(self) -> str | None:
        """Make ready; the secret of the first key, if it was made now."""
        await self.store.open()
        await self.store.declare(one.indexed for one in (*RESOURCES, *INTERNAL))
        made = await bootstrap(self.home, self.store, self.secrets)
        await self.store.seal()
        self._followed = await self.store.sealed()
        for book in self._books:
            await book.load(self.store)
        await self.directory.refresh(self.store)
        return made

    async def committed(self, commit: Commit) -> None:
        """What this process changed is obeyed here before it is answered."""
        await self._reload({write.row.address.kind for write in commit.writes})

    async def _reload(self, kinds: set[str]) -> None:
        """Read anew what depends on resources of these kinds."""
        for book in self._books:
            if not book.FOLLOWED.isdisjoint(kinds):
                await book.load(self.store)

    async def follow(self) -> None:
        """Seal what was committed, and obey what any process changed; a failure is tried again."""
        try:
            self._behind = self.store.changed() or self._behind
            if self._behind:
                await self._catch_up()
                self._behind = False
            await self.directory.refresh(self.store)
            if time.monotonic() >= self._purge_at:
                self._purge_at = time.monotonic() + PURGE_SECONDS
                await purge(self.ports, time.time())
            self.collector.look()
        except (sqlite3.Error, Failure) as error:
            log.error("the database cannot be read; keys stay as they are", extra={"error": error})

    async def _catch_up(self) -> None:
        await self.store.seal()
        while True:
            found = await self.store.news(self._followed, _FOLLOWED, _TOLD)
            if not found:
                return
            await self._reload({one.event.kind for one in found})
            for follower in self.followers:
                follower(found)
            self._followed = found[-1].sequence
            await asyncio.sleep(0)  # requests come between

    async def deliver(self) -> None:
        """Bring events to webhooks, where this process does so, until cancelled."""
        if self.courier is not None:
            await self.courier.run()

    async def readable(self) -> bool:
        """Whether the database answers."""
        try:
            await self.store.sealed()
        except (sqlite3.Error, Failure):
            return False
        return self.store.driver.there()

    async def close(self) -> None:
        """Finish what is being written."""
        await self.collector.stop()
        self.passwords.close()
        await self.store.close()


async def prepare_home(settings: Settings, home: Path) -> str | None:
    """Make the database and the first keys, once, before any worker starts; the admin's secret."""
    secrets = read_secrets(home, settings.admin_key)
    one = Installation(settings, home, open_store(settings, home), secrets)
    try:
        made = await one.open()
        # Every worker knows the first signing key from its start: the first token is good in all.
        await rotate_signing(one.store, one.directory.box)
        return made
    finally:
        await one.close()


def open_depot(settings: Settings, home: Path, box: Callable[[], Box]) -> Depot:
    """The bytes of artifacts, as the settings say; nothing is opened before it is needed."""

    def opened() -> Places:
        return Places(open_objects(settings, home), box(), seals=settings.artifacts.encrypt)

    return Depot(opened, settings.artifacts)


def _here(settings: Settings) -> bool:
    """Whether operations run on this machine."""
    return settings.jobs.workers > 0 and settings.jobs.ray_address is None


def fields_of(kind: str) -> Fields:
    """What a policy may ask of a resource of a kind."""
    one = BY_KIND.get(kind)
    return {} if one is None else one.filterable


def _by_type(*services: Any) -> dict[type, Any]:
    return {type(service): service for service in services}


@contextlib.asynccontextmanager
async def world(
    settings: Settings, home: Path
) -> AsyncIterator[tuple[Ports, Callable[[Principal], Awaitable[Principal]]]]:
    """What a job stands on, in its own process: the store, and the policies of now."""
    store = open_store(settings, home)
    await store.open()
    try:
        store.know(one.indexed for one in (*RESOURCES, *INTERNAL))
        rules = Rulebook(await store.everywhere(policies.kind), fields_of)
        pepper = read_secrets(home).pepper
        depot = open_depot(settings, home, lambda: Box(pepper))
        services: dict[type, Any] = {Capacity: Capacity(None), Depot: depot, Pepper: Pepper(pepper)}
        ports = Ports(store, rules, BY_KIND, services, lambda context: Shelf(context, depot))
        yield ports, partial(today, store)
    finally:
        await store.close()
