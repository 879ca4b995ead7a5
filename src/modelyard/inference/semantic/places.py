"""Where the semantic cache's files are in MODELYARD_HOME."""

from pathlib import Path

FOLDER = "semantic"


def address_of(home: Path) -> Path:
    """The process's socket."""
    return home / FOLDER / "process.sock"


def file_of(home: Path) -> Path:
    """The entries."""
    return home / FOLDER / "entries.db"
