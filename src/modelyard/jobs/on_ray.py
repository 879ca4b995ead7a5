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
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

import ray
from msgspec import structs

from modelyard.jobs import child
from modelyard.jobs.child import Task, World
from modelyard.jobs.compute import Machine, Share
from modelyard.jobs.runner import Outcome, Watcher, follow

_untyped: Any = ray  # parts of it have no types
HERE = "local"  # the address that starts a cluster of this machine alone
END_SECONDS = 5.0  # for a task to see that nobody listens any more
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
        secret = secrets.token_bytes(32)
        host = "127.0.0.1" if self._alone else str(_untyped.util.get_node_ip_address())
        with Listener((host, 0), authkey=secret) as listener:
            told = pickle.dumps((listener.address, secret, task, self._world))
            wanted = task.compute
            there = _attempt.options(
                name=task.id,
                num_cpus=wanted.cpu,
                num_gpus=wanted.gpu,
                memory=wanted.memory_bytes,
            ).remote(told)
            try:
                return self._follow(listener, there, watcher)
            finally:
                with contextlib.suppress(ray.exceptions.RayError, TimeoutError):
                    ray.get(there, timeout=END_SECONDS)
                ray.cancel(there, force=True)

    def close(self) -> None:
        """Leave the cluster; what runs there ends with its line."""
        ray.shutdown()

    def _follow(self, listener: Listener, there: Any, watcher: Watcher) -> Outcome:
        """Wait for the attempt to call, then listen to it."""
        calls: queue.Queue[Connection] = queue.Queue()
        threading.Thread(target=_answer, args=(listener, calls), daemon=True).start()
        while True:
            wish = watcher.wish()
            if wish:
                return "cancelled" if wish == "cancel" else "stopped"
            with contextlib.suppress(queue.Empty):
                line = calls.get(timeout=_LOOK)
                try:
                    return follow(line, watcher)
                finally:
                    line.close()
            if ray.wait([there], timeout=0)[0] and calls.empty():
                return "died"


def _answer(listener: Listener, calls: queue.Queue[Connection]) -> None:
    """The first who calls and knows the secret."""
    while True:
        try:
            calls.put(listener.accept())
        except AuthenticationError:
            continue
        except (OSError, EOFError):  # it was closed: nobody waits any more
            return
        return


@ray.remote(max_retries=0)
def _attempt(told: bytes) -> None:
    """On a node: a process of the attempt's own, which ends with this one."""
    gpus = ",".join(str(one) for one in ray.get_gpu_ids())
    process = subprocess.Popen(  # noqa: S603 (our own command)
        _COMMAND, stdin=subprocess.PIPE, env=os.environ | {"CUDA_VISIBLE_DEVICES": gpus}
    )
    process.communicate(told)


def attempt() -> None:
    """The life of that process. What it is told comes from its own worker, by Ray."""
    address, secret, task, world = pickle.load(sys.stdin.buffer)  # noqa: S301
    gpus = tuple(one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one)
    line = Client(address, authkey=secret)
    child.main(line, structs.replace(task, share=Share((), gpus)), world)
