"""The process of the semantic cache: ``python -m modelyard.inference.semantic.process``.

One for a server, as for local models (docs/adr/0011): it listens on a Unix socket, ends with the
last worker's connection, and a lock beside the socket sees to it that there is one; a second one
ends at once, with status 0. It embeds, searches and verifies in one thread, what came meanwhile
together; large indexes are built in another. It runs at a lower priority than the workers.

Only this process loads numpy, faiss, onnxruntime and the verifier.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import sqlite3
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import faiss
import msgspec
import numpy as np

from modelyard.inference.local.batching import Job, Queue
from modelyard.inference.local.engine import Embedder
from modelyard.inference.local.models import MINILM, folder_of
from modelyard.inference.semantic import judge
from modelyard.inference.semantic.frames import (
    Ask,
    Check,
    Clear,
    Drop,
    Find,
    Gone,
    Greeting,
    Keep,
    Learn,
    Setup,
    State,
    Told,
    decode_ask,
    frame,
)
from modelyard.inference.semantic.places import address_of, file_of
from modelyard.inference.semantic.service import Service, Vector
from modelyard.inference.semantic.store import Store
from modelyard.inference.semantic.verifiers.loading import load
from modelyard.inference.semantic.verifiers.model import NoVerifier

_ALONE = 30.0  # seconds without a first connection, after which the server is taken for gone
_NICE = 5
_AT_ONCE = 16  # questions that are embedded together
_BEGINNING = 600  # characters of an answer whose meaning is compared
_MOST_CHECKS = 256  # that wait
_MOST_LESSONS = 1024  # that wait: what is not learned now is when its answer is found again
_COMMIT = 0.25  # seconds
_TIDY = 30.0
_MOST_BYTES = 64 * 1024 * 1024  # of a frame


class Connection(asyncio.Protocol):
    """One worker. Frames are read in order."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._process.came(self)

    def data_received(self, data: bytes) -> None:
        """Take complete frames."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) >= start + 4:
            size = int.from_bytes(buffer[start : start + 4], "big")
            if size > _MOST_BYTES:
                self.close()
                return
            if len(buffer) < start + 4 + size:
                break
            self._process.take(self, decode_ask(bytes(buffer[start + 4 : start + 4 + size])))
            start += 4 + size
        del buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker is gone."""
        self._process.went(self)

    def tell(self, message: Told) -> None:
        """See ``Client``."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(message))

    def close(self) -> None:
        """Let go."""
        if self._transport is not None:
            self._transport.close()


class Comparison:
    """Two answers that are being compared; equal ones need no vectors."""

    def __init__(self, client: Connection, check: Check) -> None:
        self.client = client
        self.check = check
        equal = judge.equal(check.kept, check.fresh)
        self.left = [] if equal else [check.kept[:_BEGINNING], check.fresh[:_BEGINNING]]
        self.vectors: list[Vector] = []


class Process:
    """Serves the workers of one server."""

    def __init__(self, service: Service, embedder: Embedder, verifier: str) -> None:
        self._service = service
        self._embedder = embedder
        self._verifier = verifier
        self._clients: set[Connection] = set()
        self._waiting: deque[tuple[Connection, Ask]] = deque()
        self._checks: deque[Comparison] = deque()
        self._lessons: deque[Learn] = deque()
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._scheduled = False

    async def serve(self, listener: socket.socket) -> None:
        """Serve until nobody is connected any more."""
        server = await self._loop.create_unix_server(lambda: Connection(self), sock=listener)
        self._loop.call_later(_ALONE, self._end_if_alone)
        self._every(_COMMIT, self._service.commit)
        self._every(_TIDY, self._service.tidy)
        await self._ended.wait()
        server.close()
        self._service.tidy()

    def came(self, client: Connection) -> None:
        """A worker connected."""
        self._clients.add(client)
        client.tell(Greeting(self._verifier))

    def went(self, client: Connection) -> None:
        """A worker left."""
        self._clients.discard(client)
        self._service.left(client)
        self._end_if_alone()

    def take(self, client: Connection, ask: Ask) -> None:
        """Take a question. They are answered in order; checks, then lessons, when all are."""
        if isinstance(ask, Check):
            if len(self._checks) < _MOST_CHECKS:
                self._checks.append(Comparison(client, ask))
        elif isinstance(ask, Learn):
            if len(self._lessons) < _MOST_LESSONS:
                self._lessons.append(ask)
        else:
            self._waiting.append((client, ask))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._work)

    def _work(self) -> None:
        """Answer what has come; what comes meanwhile is next."""
        taken = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
        texts = [ask.text for _, ask in taken if isinstance(ask, Find)]
        vectors = self._embed(texts) if texts else []
        for client, ask in taken:
            vector = vectors.pop(0) if isinstance(ask, Find) else None
            if client in self._clients:
                self._answer(client, ask, vector)
        if not taken and self._checks:
            self._compare(self._checks[0])
        elif not taken and self._lessons:
            self._learn(self._lessons.popleft())
        self._scheduled = bool(self._waiting or self._checks or self._lessons)
        if self._scheduled:  # after what has come meanwhile was read
            self._loop.call_later(0, self._work)

    def _compare(self, one: Comparison) -> None:
        """One text at a time: what is asked meanwhile does not wait for long."""
        if one.left and one.client in self._clients:
            one.vectors += self._embed([one.left.pop(0)])
            return
        self._checks.popleft()
        if one.client in self._clients:
            self._service.check(one.client, one.check, one.vectors)

    def _learn(self, one: Learn) -> None:
        """Take a question back, unless it is there: most are."""
        if self._service.lacks(one):
            self._service.learn(one, self._embed([one.text])[0])

    def _answer(self, client: Connection, ask: Ask, vector: Vector | None) -> None:
        service = self._service
        match ask:
            case Find():
                assert vector is not None
                service.find(client, ask, vector)
            case Keep():
                service.keep(client, ask)
            case Drop():
                service.drop(client, ask.id)
            case Gone():
                service.gone(ask.scope, ask.key)
            case Clear():
                service.clear(ask.workspace)
                left = [one for one in self._lessons if one.workspace != ask.workspace]
                self._lessons = deque(left)
            case State():
                service.state(client, ask.id, ask.workspace)

    def _embed(self, texts: list[str]) -> list[Vector]:
        """Texts of like length together: padding costs what it holds."""
        split = self._embedder.split(texts)
        queue, jobs = Queue(), [Job([ids], _nothing) for ids, _ in split]
        for job in jobs:
            queue.add(job)
        while batch := queue.next():
            made = self._embedder.embed([job.rows[number] for job, number in batch])
            for (job, number), vector in zip(batch, made, strict=True):
                job.vectors[number] = vector
        return [
            Vector(np.frombuffer(job.vectors[0], "<f4"), cut)
            for job, (_, cut) in zip(jobs, split, strict=True)
        ]

    def _every(self, seconds: float, do: Callable[[], None]) -> None:
        def again() -> None:
            do()
            self._loop.call_later(seconds, again)

        self._loop.call_later(seconds, again)

    def _end_if_alone(self) -> None:
        if not self._clients:
            self._ended.set()


def _nothing(_: Job) -> None:
    """A batch's vectors are taken when all are there."""


async def run(setup: Setup, listener: socket.socket) -> None:
    """Load everything, then serve."""
    home = Path(setup.home)
    embedder = Embedder(folder_of(home, MINILM), MINILM.longest)
    embedder.embed([[0]])  # the first run is slower
    verifier = load(setup.verifier, home)
    store = Store(file_of(home), setup.entries, setup.workspace_entries, setup.secret)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_fatal)
    building = ThreadPoolExecutor(1)
    service = Service(setup, store, verifier, building, loop.call_soon_threadsafe)
    process = Process(service, embedder, verifier.name)
    listener.bind(str(address_of(home)))
    address_of(home).chmod(0o600)
    await process.serve(listener)
    building.shutdown(cancel_futures=True)
    store.close()


def _fatal(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """A fault of ours, or a disk that fails: the workers start another process after a while."""
    loop.default_exception_handler(context)
    sys.stderr.flush()
    os._exit(1)


def main() -> int:
    """Serve as standard input says; the exit status of the process."""
    setup = msgspec.json.decode(sys.stdin.buffer.read(), type=Setup)
    address = address_of(Path(setup.home))
    with Path(f"{address}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        with suppress(OSError):
            os.nice(_NICE)
        faiss.omp_set_num_threads(1)
        address.unlink(missing_ok=True)
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                asyncio.run(run(setup, listener))
        except NoVerifier as error:
            print(error, file=sys.stderr)
            return 1
        except sqlite3.Error as error:
            print(f"{file_of(Path(setup.home))} cannot be used: {error}", file=sys.stderr)
            return 1
        finally:
            address.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
