"""Size limits: files of at most 400 lines of at most 100 columns, functions of at most 50 lines."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from findings import Finding, code, report, root

LINES = 400
COLUMNS = 100
FUNCTION = 50

SPLIT = "Split it by the nouns it holds; a file is named by its noun."
WRAP = "Wrap the line."
EXTRACT = "Give its parts names of their own."


def file_limits(path: Path, text: str) -> Iterator[Finding]:
    """The length of the file and of its lines."""
    lines = text.splitlines()
    if len(lines) > LINES:
        yield Finding(str(path), f"{len(lines)} lines, the limit is {LINES}.", SPLIT)
    for number, line in enumerate(lines, start=1):
        if len(line) > COLUMNS:
            what = f"{len(line)} columns, the limit is {COLUMNS}."
            yield Finding(f"{path}:{number}", what, WRAP)


def function_limits(path: Path, text: str) -> Iterator[Finding]:
    """The length of each function, its docstring included and its decorators not."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION:
                what = f"function {node.name} has {length} lines, the limit is {FUNCTION}."
                yield Finding(f"{path}:{node.lineno}", what, EXTRACT)


def check(tree: Path) -> Iterator[Finding]:
    """Everything over a limit, in Python and C."""
    for path, text in code(tree, ".py", ".c", ".h"):
        yield from file_limits(path, text)
        if path.suffix == ".py":
            yield from function_limits(path, text)


if __name__ == "__main__":
    sys.exit(report(check(root())))
