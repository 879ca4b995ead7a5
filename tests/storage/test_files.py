"""What is not finished goes with its process, however that ended; what lives is left alone."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.storage import files
from modelyard.storage.ledger.tables import LEDGER
from modelyard.storage.opening import LEDGER_FILE, file_of
from modelyard.storage.schema import CONTROL, prepare

HOLDING = """
import sys
from pathlib import Path
from modelyard.storage import files

with files.unfinished(Path(sys.argv[1])) as place:
    place.write_bytes(b"half")
    print(place, flush=True)
    sys.stdin.read()
"""
DYING = """
import os, signal, sys
from importlib import import_module
from unittest import mock
from modelyard.cli.application import run

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

with mock.patch(sys.argv[1], die):
    run(sys.argv[2:])
"""


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_what_lives_is_left_and_what_was_killed_is_removed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "a")]
    holding = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    places = []
    for one in holding:
        assert one.stdout is not None
        places.append(Path(one.stdout.readline().strip()))
    with files.unfinished(tmp_path / "b") as mine:
        mine.touch()
        files.sweep(tmp_path)
        assert [one.exists() for one in (*places, mine)] == [True, True, True]
        files.rename(mine, tmp_path / "b")
    holding[0].kill()
    holding[0].communicate()
    assert places[0].exists(), "nobody could remove it"
    files.replace(tmp_path / "c", b"whole")
    assert [one.exists() for one in places] == [False, True]
    holding[1].communicate("")
    assert names(tmp_path) == ["b", "c"]


def test_a_folder_that_is_not_ours_is_left(tmp_path: Path) -> None:
    other = tmp_path / f"{files.PREFIX}notes"
    other.mkdir()
    (other / "of somebody").touch()
    (tmp_path / f"{files.PREFIX}empty").mkdir()  # killed before it had the lock
    files.sweep(tmp_path)
    assert names(tmp_path) == [other.name]


def killed(at: str, home: Path, *words: str) -> None:
    """A command that is killed when it comes to the function ``at``."""
    command = [sys.executable, "-c", DYING, at, *words]
    done = subprocess.run(command, env=environment(home), timeout=110, check=False)
    assert done.returncode == -signal.SIGKILL


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelyard", *words]
    return subprocess.run(
        command, env=environment(home), timeout=110, capture_output=True, text=True, check=False
    )


def environment(home: Path) -> dict[str, str]:
    return {"MODELYARD_HOME": str(home), "MODELYARD_PORT": "1", "PATH": ""}


def hidden(folder: Path) -> list[Path]:
    return [one for one in folder.rglob("*") if one.name.startswith(files.PREFIX)]


def test_killed_commands_leave_nothing_for_ever(tmp_path: Path) -> None:
    home, there = tmp_path / "home", tmp_path / "there"
    prepare(file_of(None, home), CONTROL)
    prepare(home / LEDGER_FILE, LEDGER)
    (home / "pepper").write_bytes(b"p" * 32)
    killed("modelyard.storage.files.rename", home, "backup", str(tmp_path / "monday.zip"))
    assert len(hidden(tmp_path)) == 1
    done = run(home, "backup", str(tmp_path / "tuesday.zip"))
    assert done.returncode == 0, done.stderr
    assert hidden(tmp_path) == [], "whatever the name of the next"
    for again in ("restore", "start"):
        killed("modelyard.storage.files.rename", there, "restore", str(tmp_path / "tuesday.zip"))
        assert len(hidden(there)) == 2, "two databases"
        if again == "restore":
            done = run(there, "restore", str(tmp_path / "tuesday.zip"))
            assert done.returncode == 0, done.stderr
        else:
            prepare(file_of(None, there), CONTROL)
        assert hidden(there) == []
        for one in there.iterdir():
            one.unlink()


def test_a_killed_installation_leaves_nothing_for_ever(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    home, empty = tmp_path / "home", tmp_path / "empty"
    empty.mkdir()
    install = ("local", "install", "minilm", "--from", str(empty))
    killed("modelyard.inference.local.install.fetch", home, *install)
    assert len(hidden(home)) == 1
    done = run(home, *install)
    assert "holds no model.safetensors" in done.stderr
    assert names(home / "local") == []
