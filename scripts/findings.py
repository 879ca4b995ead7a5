"""What the checks have in common: the files of the tree, and how a finding is told."""

import argparse
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

CODE = ("src", "tests", "bench", "scripts")


class Finding(NamedTuple):
    """Something wrong: where it is, what it is, and how to mend it."""

    where: str  # "path" or "path:line", relative to the root
    what: str
    mend: str


def root() -> Path:
    """The tree to check: ``--root``, else the one this script lies in."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    found: Path = parser.parse_args().root
    return found.resolve()


def tracked(tree: Path) -> list[Path]:
    """The files git knows or would add, relative to ``tree``; deleted ones are left out."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=tree, capture_output=True, check=True)
    names = sorted(set(done.stdout.decode().split("\0")) - {""})
    return [Path(name) for name in names if (tree / name).is_file()]


def code(tree: Path, *suffixes: str) -> Iterator[tuple[Path, str]]:
    """The source files with one of ``suffixes``: relative path and text."""
    for path in tracked(tree):
        if path.parts[0] in CODE and path.suffix in suffixes:
            yield path, (tree / path).read_text(encoding="utf-8")


def report(findings: Iterable[Finding]) -> int:
    """Print the findings; returns the exit status."""
    found = list(findings)
    for finding in found:
        print(f"{finding.where}: {finding.what}\n    {finding.mend}")
    if found:
        print(f"{len(found)} to mend")
    return 1 if found else 0
