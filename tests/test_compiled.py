"""The package as pip builds it: compiled, and answering as the plain sources do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SUITES = [
    "tests/e2e/test_openai_chat.py",
    "tests/e2e/test_flights.py",
    "tests/e2e/test_faults.py",
    "tests/e2e/test_limits.py",
    "tests/e2e/test_passage.py",
    "tests/e2e/test_wire.py",
    "tests/dialects/test_cells.py",
    "tests/dialects/test_surfaces.py",
]


def run(*argv: str, seconds: float, **more: str) -> str:
    done = subprocess.run(
        argv, cwd=ROOT, env=os.environ | more, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_compiled_package_passes(tmp_path: Path) -> None:
    """Built from a copy of the tree; the suites' servers then find it before the sources."""
    copy, target = tmp_path / "tree", tmp_path / "installed"
    ignored = ["--exclude=.git", "--exclude=.venv", "--exclude=node_modules", "--exclude=.envs"]
    copy.mkdir()
    archive = tmp_path / "tree.tar"
    run("tar", *ignored, "-cf", str(archive), "-C", str(ROOT), ".", seconds=60)
    run("tar", "-xf", str(archive), "-C", str(copy), seconds=60)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    run(*pip, "--target", str(target), str(copy), seconds=400, MODELYARD_COMPILE="1")
    found = run(
        sys.executable,
        "-c",
        "import modelyard.inference.pipeline as p; print(p.__file__)",
        seconds=30,
        PYTHONPATH=str(target),
    )
    assert found.startswith(str(target)) and found.strip().endswith(".so"), found
    run(
        *(sys.executable, "-m", "pytest", "-q", "-m", "not slow", *SUITES),
        seconds=300,
        PYTHONPATH=str(target),
    )
