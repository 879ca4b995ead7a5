"""A generated page: written, or with ``--check`` compared with what is committed."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_or_check(name: str, text: str) -> int:
    """Write ``name`` (relative to the root), or say that it is not up to date.

    Returns the exit status.
    """
    path = ROOT / name
    if "--check" not in sys.argv[1:]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return 0
    print(f"{name} is not what its source says. Run 'make docs' and commit it.")
    return 1


def row(*cells: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
