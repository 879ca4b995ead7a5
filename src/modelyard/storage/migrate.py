"""Upgrading a database, in a process of its own: the serving one never loads Alembic."""

import subprocess
import sys
from pathlib import Path

CONTROL_VERSIONS = Path(__file__).parent / "migrations" / "versions"


class UpgradeFailed(Exception):
    """The upgrade was rolled back; the message ends with what the migration said."""


def upgrade(path: Path, versions: Path = CONTROL_VERSIONS) -> None:
    """Bring the database at ``path`` to the newest revision in ``versions``.

    All of it is one transaction: it succeeds whole or changes nothing. Does nothing where
    nothing is to do. Raises ``UpgradeFailed``.
    """
    module = "modelyard.storage.migrations.apply"
    command = [sys.executable, "-m", module, str(path), str(versions)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UpgradeFailed(f"{path} could not be upgraded, and is as it was: {reason}")
