"""``make new`` writes a slice that passes the checks and the conformance suite as it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from new import main, write

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("openapi", "document_endpoints", "document_permissions")
CHECKS = ("openapi", "endpoints", "permissions", "docs", "contracts", "types", "additive")
SKIPPED = shutil.ignore_patterns("node_modules", "__pycache__", ".cache", "results")
NAME = ("marketplace", "reviews")


def copy(folder: Path) -> Path:
    """The tree as it is now, without what is made of it."""
    tree = folder / "tree"
    for name in ("api", "docs", "scripts", "src", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=SKIPPED)
    for file in ROOT.iterdir():
        if file.is_file():
            shutil.copy(file, tree)
    if (cache := ROOT / ".mypy_cache").exists():  # of what is the same, no type is checked again
        shutil.copytree(cache, tree / ".mypy_cache", ignore_dangling_symlinks=True)
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True, timeout=20)  # checks ask it
    return tree


def run(tree: Path, *command: str) -> str:
    """Run Python in a tree, with its own package; what it said."""
    env = os.environ | {"PYTHONPATH": f"{tree / 'src'}{os.pathsep}{tree / 'scripts'}"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tree,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_new_slice_passes_everything(tmp_path: Path) -> None:
    tree = copy(tmp_path)
    run(tree, "scripts/new.py", "/".join(NAME))
    slice_ = tree / "src/modelyard/marketplace/reviews"
    text = (slice_ / "__init__.py").read_text()
    assert len(text.splitlines()) <= 40
    for name in DOCUMENTS:
        run(tree, f"scripts/{name}.py")
    assert "/v1/marketplace/reviews/{review_id}" in run(tree, "scripts/routes.py")
    run(tree, "-m", "ruff", "check", str(slice_.parent), "src/modelyard/resources.py")
    run(tree, "-m", "ruff", "format", "--check", str(slice_.parent), "tests/marketplace")
    run(tree, "scripts/check.py", *CHECKS)
    chosen = ("tests/marketplace", "tests/conformance/resources", "-k", "marketplace")
    assert "passed" in run(
        tree, "-m", "pytest", *chosen, "-p", "no:cacheprovider", "-o", "addopts="
    )


def test_a_slice_is_written_once(tmp_path: Path) -> None:
    tree = copy(tmp_path)
    assert [path.name for path in write(tree, *NAME)] == [
        "__init__.py", "test_reviews.py", "__init__.py", "__init__.py",
    ]  # fmt: skip
    with pytest.raises(FileExistsError, match="already"):
        write(tree, *NAME)
    with pytest.raises(FileExistsError, match="no area"):
        write(tree, "auth", "users")  # a package of something else
    assert not (tree / "src/modelyard/auth/users").exists()
    write(tree, "marketplace", "categories")
    text = (tree / "src/modelyard/marketplace/categories/__init__.py").read_text()
    assert ("class Category(" in text, 'singular="category"' in text) == (True, True)
    write(tree, "marketplace", "star-ratings")
    resources = " ".join((tree / "src/modelyard/resources.py").read_text().split())
    assert "from modelyard.marketplace.star_ratings import star_ratings " in resources
    assert "reviews, categories, star_ratings" in resources
    assert (tree / "pyproject.toml").read_text().count("marketplace") == 1
    assert (tree / "scripts/check_imports.py").read_text().count("marketplace") == 1


@pytest.mark.parametrize("name", ["", "reviews", "a/b/cs", "../x/ys", "Market/Reviews", "a/review"])
def test_a_bad_name_is_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 2
    assert "marketplace/reviews" in capsys.readouterr().out
