"""What the modules that setup.py compiles must not define: mypyc makes it slow, or wrong.

msgspec's Structs lose their fields; a dataclass with slots is made twice, and its methods speak
of the first one.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from findings import Finding, report, root

SOURCE = "src/modelyard"
ASIDE = "Define it in a module that is not compiled, or take the module out of MODULES."
GONE = "Name the file that holds it now, or take it out of MODULES."


def modules(tree: Path) -> list[str]:
    """The modules named in setup.py, as paths below the package without suffix."""
    for node in ast.parse((tree / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODULES":
            found: list[str] = ast.literal_eval(node.value)
            return found
    return []


def check(tree: Path) -> Iterator[Finding]:
    """Structs and slotted dataclasses in compiled modules, and modules that are not there."""
    for name in modules(tree):
        path = f"{SOURCE}/{name}.py"
        if not (tree / path).is_file():
            yield Finding("setup.py", f"compiles {path}, which is not there.", GONE)
            continue
        for node in ast.walk(ast.parse((tree / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and (what := fault(node)):
                yield Finding(f"{path}:{node.lineno}", f"compiled, yet {node.name} {what}.", ASIDE)


def fault(node: ast.ClassDef) -> str:
    """Why a class cannot be compiled; "" where it can."""
    if any(ast.unparse(base).split(".")[-1] == "Struct" for base in node.bases):
        return "is a msgspec Struct"
    for decorator in node.decorator_list:
        text = ast.unparse(decorator)
        if "dataclass(" in text and "slots=True" in text:
            return "is a dataclass with slots"
    return ""


if __name__ == "__main__":
    sys.exit(report(check(root())))
