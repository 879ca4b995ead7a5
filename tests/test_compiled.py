"""The package as pip builds it: compiled, and answering as the plain sources do."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BESIDE = ["setup.py", "pyproject.toml", "README.md", "LICENSE"]
SUITES = [
    "tests/e2e/test_openai_chat.py",
    "tests/e2e/test_flights.py",
    "tests/e2e/test_faults.py",
    "tests/e2e/test_limits.py",
    "tests/e2e/test_passage.py",
    "tests/e2e/test_wire.py",
    "tests/dialects/test_cells.py",
    "tests/dialects/test_surfaces.py",
    "tests/conformance/test_store.py",
    "tests/conformance/test_store_audit.py",
    "tests/conformance/test_store_homes.py",
    "tests/e2e/test_keys.py",
]


# Where an earlier build of the same tree left its files.
LEFT = f"build/lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}/modelyard"


def run(*argv: str, seconds: float, **more: str) -> str:
    done = subprocess.run(
        argv, cwd=ROOT, env=os.environ | more, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_compiled_package_passes(tmp_path: Path) -> None:
    """Built from a copy of the sources; the suites' servers then find it before those."""
    copy, target = tmp_path / "tree", tmp_path / "installed"
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in BESIDE:
        shutil.copy(ROOT / name, copy)
    older = copy / LEFT / "storage" / f"postgres{sysconfig.get_config_var('EXT_SUFFIX')}"
    older.parent.mkdir(parents=True)
    older.write_bytes(b"of an older build, which compiled this module, too")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    wanted = {"MODELYARD_COMPILE": "1", "MODELYARD_OPTIMIZE": "0"}
    run(*pip, "--target", str(target), str(copy), seconds=800, **wanted)
    assert (target / "modelyard/storage/postgres.py").exists()
    assert not list(target.glob("modelyard/storage/postgres.*.so")), "it would hide the newer one"
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
        seconds=600,
        PYTHONPATH=str(target),
    )
