"""What the control plane costs: lines per route, the size of the kernel and of plain resources.

A route's lines are those of the slices: what is written for a feature, and not once for all.

A feature enters the kernel when three resources need it; a resource that needs no method of its
own is a declaration.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from findings import Finding, code, report, root

PACKAGE = Path("src/modelyard")
KERNEL = 3000  # lines in all
PLAIN = 40  # lines of a slice without methods.py
INFERENCE = "inference:create"  # the permission of the data plane's routes
NO_SLICES = {
    "auth", "cli", "inference", "kernel", "ml", "protocol", "reference", "settings", "storage",
}  # fmt: skip

MOVE = "What fewer than three resources need belongs to them, not to the kernel."
DECLARE = "Leave to the kernel what it does by itself, or give the slice a methods.py."

Files = dict[Path, str]  # of the package, by the path below it


def files(tree: Path) -> Files:
    """The package's Python files."""
    found = code(tree, ".py")
    return {path.relative_to(PACKAGE): text for path, text in found if PACKAGE in path.parents}


def lines(texts: Iterator[str]) -> int:
    """How many lines they have together."""
    return sum(len(text.splitlines()) for text in texts)


def check(found: Files) -> Iterator[Finding]:
    """The kernel and the plain resources that are over their limits."""
    kernel = lines(text for path, text in found.items() if path.parts[0] == "kernel")
    if kernel > KERNEL:
        yield Finding(str(PACKAGE / "kernel"), f"{kernel} lines, the limit is {KERNEL}.", MOVE)
    for folder, texts in plain(found).items():
        if (length := lines(iter(texts))) > PLAIN:
            what = f"a plain resource has {length} lines, the limit is {PLAIN}."
            yield Finding(str(PACKAGE / folder), what, DECLARE)


def plain(found: Files) -> dict[Path, list[str]]:
    """The texts of each slice that declares a resource and has no methods of its own."""
    slices: dict[Path, list[str]] = {}
    for path, text in found.items():
        if len(path.parts) > 2 and path.parts[0] not in NO_SLICES:
            slices.setdefault(Path(*path.parts[:2]), []).append(text)
    return {
        folder: texts
        for folder, texts in slices.items()
        if folder / "methods.py" not in found and any(" = Resource(" in text for text in texts)
    }


def figures(tree: Path, found: Files) -> str:
    """Lines per route in one line of text."""
    document = json.loads((tree / "api/openapi.json").read_text(encoding="utf-8"))
    operations = [one for path in document["paths"].values() for one in path.values()]
    routes = sum(one.get("x-permission") != INFERENCE for one in operations)
    sliced = {
        path: text
        for path, text in found.items()
        if len(path.parts) > 1 and path.parts[0] not in NO_SLICES
    }
    length = lines(iter(sliced.values()))
    kernel = lines(text for path, text in found.items() if path.parts[0] == "kernel")
    return (
        f"{length / max(routes, 1):.0f} lines per route: {length:,} lines in the slices "
        f"({', '.join(sorted({path.parts[0] for path in sliced}))}) for {routes} routes, above "
        f"{kernel:,} lines of kernel (at most {KERNEL:,})"
    )


def main() -> int:
    """Print the figures and what is over a limit; the exit status."""
    tree = root()
    found = files(tree)
    print(figures(tree, found))
    return report(check(found))


if __name__ == "__main__":
    sys.exit(main())
