"""Upgrading a database, in a process of its own: the serving one never loads Alembic."""

import re
import subprocess
import sys
from pathlib import Path

CONTROL_VERSIONS = Path(__file__).parent / "migrations" / "versions"

_RAISED = re.compile(r"[\w.]+: .+")  # the line of a traceback that tells what was raised


class UnusableDatabase(Exception):
    """The file cannot be used by this version; the message tells the operator why."""


def upgrade(database: Path | str, versions: Path = CONTROL_VERSIONS) -> None:
    """Bring a database, at a path or a PostgreSQL URL, to the newest revision in ``versions``.

    All of it is one transaction: it succeeds whole or changes nothing. Does nothing where
    nothing is to do. Raises ``UnusableDatabase``.
    """
    module = "modelyard.storage.migrations.apply"
    command = [sys.executable, "-P", "-m", module, str(versions)]
    place = f"{database}\n"
    done = subprocess.run(  # noqa: S603
        command, input=place, capture_output=True, text=True, check=False
    )
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if _RAISED.fullmatch(line)]
        reason = told[-1] if told else f"exit status {done.returncode}"
        shown = database if isinstance(database, Path) else "the database"
        raise UnusableDatabase(f"{shown} could not be upgraded, and is as it was: {reason}")
