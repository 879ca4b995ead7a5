"""Every quick check, two at a time; prints what failed, and how to mend it.

Run by ``make check``. ``make check ARGS="types docs"`` runs the named ones only.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


class Check(NamedTuple):
    """A command that fails when something is wrong, and the way out."""

    name: str
    command: tuple[str, ...]
    mend: str
    told: bool = False  # what it says is printed where it passes, too


def tool(name: str, *args: str) -> tuple[str, ...]:
    """A program that lies beside this Python."""
    return (str(BIN / name), *args)


def script(name: str, *args: str) -> tuple[str, ...]:
    """A script of this folder."""
    return (sys.executable, f"scripts/{name}.py", *args)


# The slow ones first: the quick ones fit beside them.
CHECKS = (
    Check("types", tool("mypy"), "Each line above names a file and line."),
    Check(
        "contracts",
        tool("lint-imports", "--no-logo"),
        "Imports point downwards: see CONTRIBUTING.md.",
    ),
    Check("openapi", script("openapi", "--check"), "Run 'make openapi' and review its diff."),
    Check("docs", script("check_docs"), "Each finding says what to write, and where."),
    Check("links", script("check_links"), "Each finding says how."),
    Check("cli", script("document_cli", "--check"), "Run 'make docs'."),
    Check("settings", script("document_settings", "--check"), "Run 'make docs'."),
    Check("errors", script("document_errors", "--check"), "Run 'make docs'."),
    Check("endpoints", script("document_endpoints", "--check"), "Run 'make docs'."),
    Check("support", script("document_support", "--check"), "Run 'make docs'."),
    Check("permissions", script("document_permissions", "--check"), "Run 'make docs'."),
    Check("events", script("document_events", "--check"), "Run 'make docs'."),
    Check("imports", script("check_imports"), "Each finding says how."),
    Check("limits", script("check_limits"), "Each finding says how."),
    Check("growth", script("check_growth"), "Each finding says how.", told=True),
    Check("compiled", script("check_compiled"), "Each finding says how."),
    Check("additive", script("check_additive"), "Each finding says how."),
    Check("text", script("check_text"), "Each finding says how."),
    Check("lint", tool("ruff", "check", "."), "Run 'make format', then mend what is left."),
    Check("format", tool("ruff", "format", "--check", "."), "Run 'make format'."),
)


class Outcome(NamedTuple):
    """How a check ended, after how many seconds."""

    check: Check
    status: int
    output: str
    seconds: float


def run(check: Check) -> Outcome:
    """Run one check from the root of the tree."""
    begun = time.monotonic()
    done = subprocess.run(
        check.command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Outcome(check, done.returncode, done.stdout, time.monotonic() - begun)


def tell(outcome: Outcome) -> None:
    """One line for a check that passed; for another one, what it said and how to mend it."""
    word = "ok" if outcome.status == 0 else "FAILED"
    print(f"{outcome.check.name:<11}{word:<8}{outcome.seconds:5.1f} s", flush=True)
    if outcome.status or outcome.check.told:
        said = "\n".join(f"  | {line}" for line in outcome.output.rstrip().splitlines())
        print(said, flush=True)
    if outcome.status:
        print(f"  `-> {outcome.check.mend}", flush=True)


def main(names: Sequence[str]) -> int:
    """Run the named checks, or all."""
    known = [check.name for check in CHECKS]
    if unknown := set(names) - set(known):
        print(f"No such check: {', '.join(sorted(unknown))}. There are: {', '.join(known)}.")
        return 2
    chosen = [check for check in CHECKS if not names or check.name in names]
    failed = 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        for outcome in pool.map(run, chosen):
            tell(outcome)
            failed += outcome.status != 0
    print(f"{failed} of {len(chosen)} checks failed" if failed else f"{len(chosen)} checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
