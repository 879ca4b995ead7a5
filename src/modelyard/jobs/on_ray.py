"""Jobs on a Ray cluster: each attempt is a Ray task, and Ray gives it what it asked for.

The task starts a process of its own there, as a worker does here, which speaks with its worker over
TCP, under a secret of its own. So steps, progress and cancelling are the same. Nodes need this
package, the same folders and settings, and a database that they reach: PostgreSQL, where they are
other machines. https://docs.ray.io/en/latest/ray-core/tasks.html
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge
from typing import Any

import ray
from msgspec import structs

from modelyard.jobs import child
from modelyard.jobs.child import Task, World
from modelyard.jobs.compute import Machine, Share
from modelyard.jobs.folders import Folders
from modelyard.jobs.memory import LastWords
from modelyard.jobs.runner import Outcome, Watcher, follow

_untyped: Any = ray  # parts of it have no types
HERE = "local"  # the address that starts a cluster of this machine alone
END_SECONDS = 5.0  # for a task to see that nobody listens any more
TOLD_SECONDS = 60.0  # for the task of a process that died to tell why; of a lost node, Ray tells
_LOOK = 0.1  # seconds
_COMMAND = (sys.executable, "-c", "from modelyard.jobs.on_ray import attempt; attempt()")


class OnRay:
    """Runs attempts on a Ray cluster. ``address`` is Ray's (``auto``, ``host:6379``) or ``local``.

    Implements ``jobs.runner.Runner``.
    """

    def __init__(self, world: Callable[[], World], address: str) -> None:
        self._world = world
        self._alone = address == HERE
        self._address = None if self._alone else address

    def connect(self) -> Machine:
        """Connect, or start a cluster; what it has, all together. Raises ConnectionError."""
        ray.init(
            address=self._address,
            include_dashboard=False,
            configure_logging=False,
            log_to_driver=False,
        )
        found: dict[str, float] = _untyped.cluster_resources()
        gpus = tuple(str(number) for number in range(int(found.get("GPU", 0))))
        return Machine(int(found.get("CPU", 1)), int(found.get("memory", 0)), gpus)

    def run(self, task: Task, watcher: Watcher) -> Outcome:
        """Run one attempt to its end; Ray holds it back until there is room."""
        host = "127.0.0.1" if self._alone else str(_untyped.util.get_node_ip_address())
        with contextlib.closing(Door(host)) as door:
            told = pickle.dumps((door.address, door.secret, task, self._world))
            wanted = task.compute
            there = _attempt.options(
                name=task.id,
                num_cpus=wanted.cpu,
                num_gpus=wanted.gpu,
                memory=wanted.memory_bytes,
            ).remote(told)
            starved, outcome = False, None
            try:
                outcome = self._follow(door, there, watcher)
            finally:
                patience = TOLD_SECONDS if outcome == "died" else END_SECONDS
                with contextlib.suppress(ray.exceptions.RayError, TimeoutError):
                    starved = ray.get(there, timeout=patience)
                ray.cancel(there, force=True)
            return "memory" if outcome == "died" and starved else outcome

    def close(self) -> None:
        """Leave the cluster; what runs there ends with its line."""
        ray.shutdown()

    def _follow(self, door: Door, there: Any, watcher: Watcher) -> Outcome:
        """Wait for the attempt to call, then listen to it."""
        while True:
            wish = watcher.wish()
            if wish:
                door.close()  # one that is on its way ends there
                return "cancelled" if wish == "cancel" else "stopped"
            ended = bool(ray.wait([there], timeout=0)[0])
            line = door.caller()
            if line is not None:
                try:
                    return follow(line, watcher)
                finally:
                    line.close()
            if ended:
                return "died"


class Door:
    """Where an attempt calls its worker from its node: who knows the secret comes in.

    Each caller is asked for it in a thread of its own: one that says nothing, or hangs up, keeps
    nobody else out.
    """

    def __init__(self, host: str) -> None:
        self.secret = secrets.token_bytes(32)
        self._listening = socket.create_server((host, 0))
        self._listening.settimeout(_LOOK)
        self.address: tuple[str, int] = self._listening.getsockname()[:2]
        self._calls: queue.Queue[Connection] = queue.Queue()

    def caller(self) -> Connection | None:
        """Who came in; None where nobody did within a moment."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            sock, _ = self._listening.accept()
            threading.Thread(target=self._ask, args=(sock,), daemon=True).start()
        with contextlib.suppress(queue.Empty):
            return self._calls.get(timeout=_LOOK)
        return None

    def close(self) -> None:
        """Nobody else is let in."""
        self._listening.close()

    def _ask(self, sock: socket.socket) -> None:
        line = Connection(sock.detach())
        try:
            deliver_challenge(line, self.secret)
            answer_challenge(line, self.secret)
        except (AuthenticationError, EOFError, OSError):
            line.close()
        else:
            self._calls.put(line)


@ray.remote(max_retries=0)
def _attempt(told: bytes) -> bool:
    """On a node: a process of the attempt's own, which ends with this one.

    Answers whether it was lack of memory that ended it.
    """
    gpus = ",".join(str(one) for one in ray.get_gpu_ids())
    with contextlib.closing(Folders()) as folders, folders.one() as folder:
        words = LastWords()
        process = subprocess.Popen(  # noqa: S603 (our own command)
            _COMMAND,
            stdin=subprocess.PIPE,
            stderr=words.voice.fileno(),
            env=os.environ | {"CUDA_VISIBLE_DEVICES": gpus, "TMPDIR": str(folder)},
            process_group=0,
        )
        words.voice.close()
        process.communicate(told)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever it started
        return words.of_memory()


def attempt() -> None:
    """The life of that process. What it is told comes from its own worker, by Ray."""
    address, secret, task, world = pickle.load(sys.stdin.buffer)  # noqa: S301
    gpus = tuple(one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one)
    line = Client(address, authkey=secret)
    told = structs.replace(task, share=Share((), gpus), folder=os.environ["TMPDIR"])
    child.main(line, told, world)
