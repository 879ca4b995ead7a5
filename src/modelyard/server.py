"""The composition root: the only file that knows concrete classes."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from msgspec.structs import replace

from modelyard import logs
from modelyard.auth.credentials import presented
from modelyard.auth.keys import KeyRing
from modelyard.auth.oidc import Issuer
from modelyard.board import Board
from modelyard.fetching import Fetcher
from modelyard.gateway.jobs.inside import Inside
from modelyard.gateway.jobs.runner import Runner
from modelyard.gateway.once import Once
from modelyard.governance.audit.verification import VERIFY
from modelyard.identity.keys.bootstrap import ADMIN_FILE, Secrets, UnusableHome, read_secrets
from modelyard.identity.standing import today
from modelyard.inference import tokens, vocabularies
from modelyard.inference.app import App
from modelyard.inference.cache.opening import open_levels
from modelyard.inference.ledger import Ledger
from modelyard.inference.local import models as local
from modelyard.inference.metrics import Metrics
from modelyard.inference.plane import Plane
from modelyard.inference.providers.local import Local
from modelyard.inference.providers.make import make_provider
from modelyard.inference.providers.provider import Provider
from modelyard.inference.providers.sandbox import Sandbox
from modelyard.inference.semantic.opening import make_semantic
from modelyard.inference.snapshot import ON_SITE, build, unknown_default
from modelyard.inference.surfaces.all import surfaces
from modelyard.inference.transport.client import Client
from modelyard.inference.warmer.runner import Warmer
from modelyard.installation import Installation, open_store, prepare_home
from modelyard.jobs.embedded import Embedded
from modelyard.jobs.routes import Waits
from modelyard.jobs.schedules import Timetable, declare
from modelyard.jobs.waiting import open_operations
from modelyard.kernel.http import Application
from modelyard.kernel.ports import Commit
from modelyard.kernel.principal import Principal
from modelyard.kernel.route import Route
from modelyard.listening import listen, url
from modelyard.live import Clearings, Running, Seat, forget_prompts, forget_questions
from modelyard.protocol.errors import Failure
from modelyard.routes import control_routes, permissions
from modelyard.settings import Loaded, ProviderSettings, Settings
from modelyard.spending.prices.book import PriceBook
from modelyard.storage.ledger.keeper import open_ledger
from modelyard.storage.ledger.tables import LEDGER
from modelyard.storage.opening import LEDGER_FILE, ledger_of, remote
from modelyard.storage.schema import UnusableDatabase, prepare
from modelyard.webhooks.limits import limits
from modelyard.webhooks.sender import Sender
from modelyard.workers import CANNOT_START, apart, supervise

log = logging.getLogger("modelyard.server")
_POLL = 0.25  # seconds between looks for what another process changed
_TICK = 0.5
_CANNOT_START = (OSError, sqlite3.Error, UnusableHome, UnusableDatabase, Failure)


class Server:
    """One process that serves both planes."""

    def __init__(self, settings: Settings, home: Path, seat: Seat) -> None:
        self.settings = settings
        self.home = home
        self.seat = seat
        self.ready = False
        secrets = read_secrets(home, settings.admin_key)
        self.file, self.keeper = open_ledger(
            home / "ledger", ledger_of(settings.database_url, home)
        )
        self.metrics = Metrics(seat.board.counts(seat.number) if seat.board else None)
        self.ledger = Ledger(self.file, self.metrics)
        self.transport = Client()
        self.plane = Plane(
            settings,
            build(settings, self._providers(), KeyRing(secrets.pepper, secrets.fixed)),
            self.ledger,
        )
        open_levels(self.plane.cache, settings, home, secrets.pepper, self.metrics.levels)
        self.plane.semantic = make_semantic(
            self.plane, home, secrets.pepper, seat.number, self.metrics.levels
        )
        self.clearings = Clearings(self.plane.cache)
        self.live = Running(self.plane, self.metrics, lambda: len(self.app.connections), seat)
        self.jobs = Runner(
            Inside(lambda: self.app.connect(), self._lend, self._take_back),
            today,
            settings.jobs.inferences,
            settings.jobs.prediction_days * 86_400.0,
            settings.gateway.max_payload_bytes,
        )
        self.timetable = Timetable()
        self.installation = self._install(secrets)
        self.jobs.stand_on(self.installation.ports)
        self.installation.followers += (self.clearings.follow, self.jobs.follow)
        self.installation.followers.append(partial(forget_questions, self.plane))
        self.warmer = self.live.warmer = self._warmer(secrets.pepper)
        self.workers: Embedded | None = None
        if seat.number == 0 and settings.jobs.workers:
            self.workers = Embedded(settings, home)
            self.installation.followers.append(self.workers.follow)
        self.listening: asyncio.Server
        self.stop_telemetry: Callable[[], None] | None = None
        self.control = Application(
            control_routes(self),
            authenticate=self._authenticate,
            ports=self.installation.ports,
            committed=self._committed,
            demand=self.installation.demand,
        )
        self.app = App(self.plane, surfaces(settings.gateway.timeout), self.control)

    def _install(self, secrets: Secrets) -> Installation:
        first = self.seat.number == 0
        return Installation(
            self.settings,
            self.home,
            open_store(self.settings, self.home),
            secrets,
            permissions(routes()),
            self.plane.publish,
            _issuer(self.settings, self.transport),
            (PriceBook(lambda: self.plane.snapshot, self.plane.reprice), self.jobs, self.timetable),
            Sender(self.transport, limits(self.settings.webhooks)) if first else None,
        )

    async def checks(self) -> dict[str, str]:
        """What readiness depends on: "ok", or what is wrong."""
        readable = await self.installation.readable()
        return {
            "server": "ok" if self.ready else "starting or stopping",
            "database": "ok" if readable else "cannot be read",
            "ledger": "ok" if self.file.probe() else "cannot be written",
        }

    async def open(self, listener: socket.socket) -> None:
        """Begin to serve. Raises what ``_CANNOT_START`` names."""
        loop = asyncio.get_running_loop()
        await self.installation.open()
        self.app.once = Once(self.app.connect_claimed, self.installation.ports)
        verified = self.settings.jobs.verify_audit
        await declare(self.installation.store, "verify-audit", VERIFY, verified)
        self.keeper.start()  # what a killed process left is loaded before we are ready
        tokens.load()
        for declared in self.settings.models:  # of others with the first count
            first = self.plane.snapshot.models[declared.name].first
            tokens.load(vocabularies.find(first.model).name)
        self.stop_telemetry = self._telemetry()
        if self.plane.semantic is not None:
            self.plane.semantic.line.open()
        self.live.tell()
        with contextlib.suppress(OSError, AttributeError):  # where the C library has it
            ctypes.CDLL(None).malloc_trim(0)  # what starting took and is free again: 1.4 MB
        gc.freeze()  # what exists now stays: a full collection took 3.7 ms of it, now none
        gc.set_threshold(50_000, 20, 50)  # requests leave no cycles: looking for them took 5 %
        self.listening = await loop.create_server(self.app.connect, sock=listener, backlog=2048)
        if self.workers is not None and await open_operations(self.installation.store, most=1):
            self.workers.start()
        if self.warmer is not None:
            self.warmer.start()
        self.ready = True
        log.info("ready", extra={"url": url(self.settings, listener), "worker": self.seat.number})

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve until ``stopping``; then finish what runs and lose no record."""
        clock = asyncio.get_running_loop().create_task(self._clock(stopping))
        courier = asyncio.create_task(self.installation.deliver())
        jobs = asyncio.create_task(self.jobs.run() if self.seat.number == 0 else asyncio.sleep(0))
        clock.add_done_callback(lambda _: stopping.set())  # without it revoked keys would go on
        await stopping.wait()
        self.ready = False
        log.info("stopping: running requests are finished")
        self.listening.close()
        self.control.stop()
        if self.warmer is not None:
            await self.warmer.stop()
        self.installation.ports.services[Waits].over = True
        jobs.cancel()
        await self.jobs.stop()
        await self.app.drain(self.settings.shutdown_seconds)
        clock.cancel()
        courier.cancel()
        await asyncio.wait([courier, jobs])
        await self.plane.cache.close()
        if self.plane.semantic is not None:
            await self.plane.semantic.close()
        await self.transport.close()
        for provider, _ in self.plane.snapshot.providers.values():
            if isinstance(provider, Local):
                await provider.close()
        if self.workers is not None:
            await self.workers.stop()
        if self.stop_telemetry is not None:
            await asyncio.to_thread(self.stop_telemetry)
        self.live.tell()
        await asyncio.to_thread(self.keeper.stop)
        await self.installation.close()
        log.info("stopped")
        with contextlib.suppress(asyncio.CancelledError):
            await clock  # raises what broke it

    async def _clock(self, stopping: asyncio.Event) -> None:
        """Follow what other processes changed, end what takes too long, end with the parent."""
        loop = asyncio.get_running_loop()
        ticked = loop.time()
        while True:
            await asyncio.sleep(_POLL)
            await self.installation.follow()
            await self.timetable.tick(self.installation.ports, time.time())
            now = loop.time()
            if now - ticked >= _TICK:
                ticked = now
                self.app.tick(now)
                self.live.tell()
                if self.seat.board is not None and os.getppid() != self.seat.parent:
                    stopping.set()

    async def _authenticate(self, headers: list[tuple[bytes, bytes]]) -> Principal:
        key = await self.installation.directory.authenticate(presented(dict(headers)))
        if key.serving_only:
            raise Failure(
                "PERMISSION_DENIED",
                "This is a model key: it only calls models. Use a key without 'serving_only'.",
                details={"permission": "inference:create"},
            )
        return key

    async def _lend(self, caller: Principal) -> str:
        """A secret of this process alone, with which a job's caller may call models."""
        self.installation.directory.check(caller, "inference:create", None)
        secret = token_urlsafe(32)
        self.app.lent[f"Bearer {secret}".encode()] = self.plane.snapshot.keys.of(caller)
        return secret

    def _take_back(self, secret: str) -> None:
        self.app.lent.pop(f"Bearer {secret}".encode(), None)

    async def _committed(self, commit: Commit) -> None:
        self.clearings.made(commit)
        await self.installation.committed(commit)

    def _providers(self) -> dict[str, tuple[Provider, ProviderSettings]]:
        limit = self.settings.gateway.max_response_bytes
        made: dict[str, tuple[Provider, ProviderSettings]] = {}
        for name, one in self.settings.providers.items():
            if one.dialect == ON_SITE:  # what is installed is listed
                one = replace(one, models=[*one.models, *local.names(self.home)])
            made[name] = (make_provider(name, one, self.transport, limit, self.home), one)
        made.setdefault("sandbox", (Sandbox(), ProviderSettings(dialect="sandbox")))
        return made

    def _warmer(self, pepper: bytes) -> Warmer | None:
        asked = self.settings.cache.warming
        if not asked.enabled:
            return None
        warmer = Warmer(self.plane, asked, self.home, pepper)
        self.installation.followers.append(partial(forget_prompts, warmer))
        return warmer

    def _telemetry(self) -> Callable[[], None] | None:
        if not self.settings.otlp_endpoint:
            return None
        from modelyard.inference.telemetry import Exporter

        exporter = Exporter(self.settings.otlp_endpoint)
        self.ledger.observers.append(exporter.observe)
        return exporter.close


def _issuer(settings: Settings, client: Client) -> Issuer | None:
    oidc = settings.auth.oidc
    return Issuer(oidc, Fetcher(client)) if oidc.issuer else None


def serve(loaded: Loaded) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit status of the process."""
    settings = loaded.settings
    logs.configure(settings.log_level, settings.log_format)
    if wrong := unknown_default(settings):
        source = loaded.sources.get("default_model", "default")
        shown = f"default_model = {settings.default_model!r} ({source})"
        print(f"modelyard: 1 error in the settings:\n  {shown}: {wrong}", file=sys.stderr)
        return 2
    home = settings.home.expanduser()
    try:
        listener = listen(settings)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not remote(settings.database_url):
            prepare(home / LEDGER_FILE, LEDGER)
    except _CANNOT_START as error:
        return cannot_start(error, home)
    if status := apart(partial(first_steps, settings, home, listener)):
        return status
    if settings.port == 0:
        print(f"Modelyard listens at {url(settings, listener)}", file=sys.stderr)
    if settings.workers == 1:
        return work(settings, home, listener, Seat())
    board, parent = Board(settings.workers), os.getpid()
    return supervise(
        settings.workers,
        lambda number: work(settings, home, listener, Seat(number, parent, board)),
    )


def first_steps(settings: Settings, home: Path, listener: socket.socket) -> int:
    """Make what a home lacks, and show its first key; in a process that does not serve."""
    listener.close()
    try:
        if generated := asyncio.run(prepare_home(settings, home)):
            shown = f"The first admin key, shown once (kept in {home / ADMIN_FILE}):\n  {generated}"
            print(shown, file=sys.stderr, flush=True)
    except _CANNOT_START as error:
        return cannot_start(error, home)
    return 0


def work(settings: Settings, home: Path, listener: socket.socket, seat: Seat) -> int:
    """Serve on ``listener`` in this process; its exit status."""
    status = 0

    async def main() -> None:
        nonlocal status
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stopping.set)
        try:
            server = Server(settings, home, seat)
            await server.open(listener)
        except _CANNOT_START as error:
            status = cannot_start(error, home)
        else:
            await server.run(stopping)

    run(main)
    return status


def cannot_start(error: Exception, home: Path) -> int:
    """Tell why, in one line."""
    reason = str(error)
    if isinstance(error, sqlite3.Error):
        reason = f"a database in {home} cannot be used: {error}. Restore it from a backup."
    print(f"modelyard: cannot start: {reason}", file=sys.stderr)
    return CANNOT_START


def run(main: Callable[[], Any]) -> None:
    """Run on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())


def routes() -> list[Route]:
    """Every route, for the OpenAPI document; none is ever called."""
    return control_routes(None)
