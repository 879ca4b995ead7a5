"""Each test in a folder and a home of its own, without any setting of the environment."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("MODELYARD_") or name.endswith(("_API_KEY", "_BASE_URL")):
            monkeypatch.delenv(name)
    found = tmp_path / "home"
    found.mkdir()
    monkeypatch.setenv("MODELYARD_HOME", str(found))
    monkeypatch.chdir(tmp_path)
    return found
