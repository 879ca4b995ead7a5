"""The relay of streams (``_relay.c``) for a checkout, which is not compiled otherwise."""

import importlib.util
import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import modelyard.inference.relay

NAME = "modelyard.inference._relay"
_FOLDER = Path(modelyard.inference.relay.__file__).parent
SOURCES = [str(_FOLDER / name) for name in ("_relay.c", "_poller.c")]
# Found first by a server whose PYTHONPATH names its folder.
SITE = """\
import importlib.util
import sys


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {name!r}:
            return importlib.util.spec_from_file_location(name, {built!r})


sys.meta_path.insert(0, Finder)
"""


def built(folder: Path) -> Path | None:
    """The extension, compiled into ``folder``; None where that cannot be done."""
    made = folder / "_relay.so"
    argv = shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")
    argv += ["-O1", "-fPIC", "-pthread", "-Wall", "-Wextra", "-Werror"]
    argv += [f"-I{sysconfig.get_paths()['include']}", *SOURCES, "-o", str(made)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        return None
    if "Python.h" in done.stderr:
        return None
    assert done.returncode == 0, done.stderr
    return made


def loaded(path: Path) -> Any:
    """The module."""
    spec = importlib.util.spec_from_file_location(NAME, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def polling(folder: Path) -> Any:
    """The module with the poller, compiled into ``folder``; the test is skipped without."""
    made = built(folder)
    if made is None:
        pytest.skip("no C compiler, or no headers of Python")
    found = loaded(made)
    if not hasattr(found, "Poller"):
        pytest.skip("only Linux has the poller")
    return found


def environment(folder: Path) -> dict[str, str] | None:
    """What makes a server find the relay that was compiled into ``folder``."""
    made = built(folder)
    if made is None:
        return None
    (folder / "sitecustomize.py").write_text(SITE.format(name=NAME, built=str(made)))
    others = os.environ.get("PYTHONPATH")
    env = {"PYTHONPATH": f"{folder}{os.pathsep}{others}" if others else str(folder)}
    check = "import sys, modelyard.inference.relay as r; sys.exit(r.make is None)"
    subprocess.run([sys.executable, "-c", check], env=os.environ | env, timeout=60, check=True)
    return env
