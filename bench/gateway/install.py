"""Peers are installed on demand, each into an environment of its own, in bounded time."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Protocol

from bench.gateway.peers import LiteLLM, Portkey, TensorZero
from bench.gateway.rig import ENVS, OUT


class Installable(Protocol):
    """A peer that pip installs: ``requirement`` holds one requirement, or some by spaces."""

    name: str
    requirement: str

    def missing(self) -> str | None:
        """Why it cannot be measured here, or None."""


Peer = LiteLLM | TensorZero | Portkey
PEERS: dict[str, Peer] = {p.name: p for p in (LiteLLM(), TensorZero(), Portkey())}


def _commands(peer: Installable) -> list[list[str]]:
    env = ENVS / peer.name
    if isinstance(peer, Portkey):
        npm = shutil.which("npm") or "npm"
        flags = ["--no-fund", "--no-audit", "--loglevel=error"]
        return [[npm, "install", *flags, "--prefix", str(env), peer.requirement]]
    return [
        [sys.executable, "-m", "venv", str(env)],
        [str(env / "bin" / "pip"), "install", "--quiet", *peer.requirement.split()],
    ]


def bounded(argv: Sequence[str], seconds: float) -> str | None:
    """Why it failed, or None; the whole process group is ended when the time is up."""
    log = OUT / "logs" / "install.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        child = subprocess.Popen(argv, stdout=out, stderr=out, start_new_session=True)
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"it took longer than {seconds:.0f} s"
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    return None if status == 0 else f"status {status}; see {log.relative_to(OUT.parent.parent)}"


def install(peer: Installable, seconds: float) -> str | None:
    """Installs a peer if it is missing; returns why it could not, or None."""
    reason = peer.missing()
    if reason is None:
        return None
    if reason != "not installed":
        return reason
    print(f"installing {peer.requirement} …", flush=True)
    deadline = time.monotonic() + seconds
    (ENVS / peer.name).mkdir(parents=True, exist_ok=True)
    for argv in _commands(peer):
        try:
            failed = bounded(argv, max(1.0, deadline - time.monotonic()))
        except FileNotFoundError as error:
            failed = str(error)
        if failed:
            shutil.rmtree(ENVS / peer.name, ignore_errors=True)
            return f"could not be installed: {failed}"
    return peer.missing()
