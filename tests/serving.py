"""Start and stop a real server for a test, in a home of its own.

::

    with Server(config='[providers.main]\nbase_url = "…"') as server:
        urllib.request.urlopen(server.url + "/health/live")
"""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import psycopg

from patience import LONG, until

ADMIN_KEY = "my-admin-key-of-the-tests-0123456789abcdef"


_ports = itertools.count(os.getpid() * 997)  # every process looks elsewhere first
_held: list[socket.socket] = []  # until the end of the tests


def free_port() -> int:
    """A port that nobody listens on and nobody else is given, while its server is down, too.

    It stays bound here without listening: who sets SO_REUSEADDR, as servers do, may listen on it,
    and whoever looks for a port by binding to it, or lets the system choose one, is given another.
    """
    for number in _ports:
        port = 12_000 + number % 20_000
        sock = socket.socket()
        try:
            sock.bind(("127.0.0.1", port))  # fails where anybody has it, bound or listening
        except OSError:
            sock.close()
            continue
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _held.append(sock)
        return port
    raise AssertionError


class Server:
    """One ``modelyard serve``, started with ``config`` as its ``modelyard.toml``.

    It may be started again after ``stop`` or ``kill``: same port, same home.
    """

    def __init__(
        self, config: str = "", *, workers: int = 1, env: dict[str, str] | None = None
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="modelyard-test-"))
        self.home = self.directory / "home"
        self.home.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = ADMIN_KEY
        self.workers = workers
        self.process: subprocess.Popen[bytes] | None = None
        self._env = env or {}
        self._log = self.directory / "log"
        (self.directory / "modelyard.toml").write_text(config, encoding="utf-8")

    def __enter__(self) -> "Server":
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self.kill()
            shutil.rmtree(self.directory, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """The environment of the server: ours without any setting, proxy or colour of it."""
        unwanted = ("MODELYARD_", "OTEL_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        env = {k: v for k, v in os.environ.items() if not k.upper().startswith(unwanted)}
        env |= {
            "MODELYARD_HOME": str(self.home),
            "MODELYARD_ADMIN_KEY": self.key,
            "MODELYARD_PORT": str(self.port),
            "MODELYARD_WORKERS": str(self.workers),
            "MODELYARD_JOBS_NICE": "0",  # other tests keep the cores busy
        }
        return env | self._env

    def start(self, *, ready_within: float = LONG) -> None:
        """Start and wait for ``/health/ready``. Raises AssertionError with the log."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "modelyard", "serve"],
                cwd=self.directory,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + ready_within
        while not self.ready():
            assert self.process.poll() is None, f"the server ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"not ready:\n{self.log()}"
            time.sleep(0.02)

    def ready(self) -> bool:
        """Whether ``/health/ready`` says so."""
        try:
            with urllib.request.urlopen(self.url + "/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:  # refused, or HTTPError: a 503 while it is not ready
            return False

    def terminate(self) -> None:
        """Send SIGTERM and return at once."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def stop(self, *, within: float = LONG) -> int | None:
        """SIGTERM, wait for the end, return the exit status. Does nothing once it has ended."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.terminate()
        return self.process.wait(within)

    def kill(self) -> None:
        """SIGKILL to the started process, and wait until its port is free again.

        Workers must end with the process that started them; those that outlive it for
        long are an error, and are ended here by their ids.
        """
        if self.process is None:
            return
        children = worker_pids(self.process.pid) if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LONG)
        self.process = None
        deadline = time.monotonic() + LONG / 2
        while left := [pid for pid in children if alive(pid)]:
            if time.monotonic() > deadline:
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                raise AssertionError(f"workers outlived the killed server: {left}")
            time.sleep(0.01)

    def log(self) -> str:
        """Everything the server wrote to its standard output and error."""
        return self._log.read_text(encoding="utf-8", errors="replace")


def worker_pids(pid: int) -> list[int]:
    """The processes started by ``pid``, and theirs."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *worker_pids(child)]
    return found


def children_of(pid: int) -> list[int]:
    """The processes started by ``pid``, as each says itself.

    Its own list of them is reliable only while none of its threads begins or ends (proc(5)).
    """
    found = []
    for one in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _, parent = one.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid:
                found.append(int(one.parent.name))
    return found


def stopped(pids: list[int], home: Path, url: str = "") -> bool:
    """Stop processes (SIGSTOP); not where one of them would keep a database locked meanwhile.

    ``url`` is their PostgreSQL's, where they have one: what runs goes on there until it waits.
    """
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        while not all(_stands(pid) for pid in pids):
            time.sleep(0.001)
        for file in home.glob("*.db"):
            with contextlib.closing(sqlite3.connect(file, timeout=1, isolation_level=None)) as one:
                one.execute("BEGIN IMMEDIATE")
        if url:
            with psycopg.connect(url, autocommit=True) as other:
                ends = time.monotonic() + 1
                while other.execute(_WITHIN).fetchone() != (0,):
                    if time.monotonic() > ends:
                        raise sqlite3.OperationalError("a transaction stays open")
    except sqlite3.OperationalError:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        return False
    return True


_WITHIN = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND state <> 'idle' AND pid <> pg_backend_pid()"
)


@contextlib.contextmanager
def only(server: Server, pid: int) -> Iterator[None]:
    """This worker of a server on SQLite answers: the others are stopped, and write nothing."""
    assert server.process is not None
    others = [other for other in children_of(server.process.pid) if other != pid]
    until(lambda: stopped(others, server.home))
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def _stands(pid: int) -> bool:
    """Whether no thread of a process runs any more."""
    states = [one.read_text() for one in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(one.rpartition(")")[2].split()[0] in "TtZ" for one in states)


def alive(pid: int) -> bool:
    """Whether the process runs: a zombie does not, and a thread that has its number now is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    told = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return told["State"][0] not in "ZX" and int(told["Tgid"]) == pid
