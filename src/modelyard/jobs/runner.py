"""Where the work of an operation is done: a port, and the processes of this machine behind it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Any, Literal, Protocol

from msgspec import structs

from modelyard.jobs import child
from modelyard.jobs.child import Task, World
from modelyard.jobs.folders import Folders
from modelyard.jobs.memory import LastWords

Outcome = Literal["done", "failed", "cancelled", "lost", "memory", "died", "stopped"]
CANCEL_SECONDS = 10.0  # for a job to stop by itself, before its processes are killed
_LOOK = 0.1  # seconds between looks whether it is to stop


class Watcher(Protocol):
    """Who follows one attempt. Every method is called from the thread of ``Runner.run``."""

    def recorded(self, name: str, work: Callable[[], str]) -> str:
        """What the next step gave: of ``work``, or what an earlier attempt recorded."""

    def progress(self, fraction: float, message: str) -> None:
        """How far it is."""

    def wish(self) -> Literal["", "cancel", "stop"]:
        """Whether it is to end: "cancel" for good, "stop" to go on elsewhere."""


class Runner(Protocol):
    """Runs attempts, several at a time."""

    def run(self, task: Task, watcher: Watcher) -> Outcome:
        """Run one attempt to its end; the log tells of what died."""

    def close(self) -> None:
        """End everything that runs."""


class Processes:
    """A process of its own for each attempt, forked from one that has loaded our modules."""

    def __init__(self, world: Callable[[], World], preload: list[str]) -> None:
        self._world = world
        self._fork = multiprocessing.get_context("forkserver")
        self._fork.set_forkserver_preload(preload)
        self._folders = Folders()

    def warm(self) -> None:
        """Load what jobs need into the process that they are forked from, ahead of the first."""
        forkserver.ensure_running()

    def run(self, task: Task, watcher: Watcher) -> Outcome:
        """Run one attempt to its end; its folder goes once its processes are gone."""
        with self._folders.one() as folder:
            line, theirs = self._fork.Pipe()
            words = LastWords()
            told = structs.replace(task, folder=str(folder))
            given = (theirs, told, self._world, words.voice)
            process = self._fork.Process(target=child.main, args=given, daemon=True, name=task.id)
            process.start()
            theirs.close()
            words.voice.close()
            try:
                outcome = follow(line, watcher)
            finally:
                line.close()
                _kill(process)
            return "memory" if outcome == "died" and words.of_memory() else outcome

    def close(self) -> None:
        """Remove their folders; each attempt ends with its ``run``."""
        self._folders.close()


def _kill(process: ForkServerProcess) -> None:
    """End the process and whatever it started."""
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
    process.close()


class _Ended(BaseException):
    """The process told how it ended, or died. No Exception: a step that saw it has not failed."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


def follow(line: Connection, watcher: Watcher) -> Outcome:
    """Listen to the process of an attempt until it ends, or is not wanted any more."""
    return _Attempt(line, watcher).follow()


class _Attempt:
    def __init__(self, line: Connection, watcher: Watcher) -> None:
        self._line = line
        self._watcher = watcher
        self._killed_at = float("inf")

    def follow(self) -> Outcome:
        """Listen to the process until it ends."""
        try:
            while True:
                said = self._heard()
                if said[0] == "step":
                    self._step(said[1])
        except _Ended as end:
            return end.outcome

    def _step(self, name: str) -> None:
        done = False

        def work() -> str:
            nonlocal done
            done = True
            self._say("go", "")
            while (said := self._heard())[0] != "stepped":
                pass
            given: str = said[1]
            return given

        value = self._watcher.recorded(name, work)
        self._say("kept" if done else "known", value)

    def _heard(self) -> tuple[Any, ...]:
        """The next message that is no progress. Raises ``_Ended``."""
        while True:
            self._obey()
            if not wait([self._line], _LOOK):
                continue
            try:
                said: tuple[Any, ...] = self._line.recv()
            except (EOFError, OSError):
                raise _Ended("died") from None
            if said[0] == "end":
                raise _Ended(said[1])
            if said[0] != "progress":
                return said
            self._watcher.progress(said[1], said[2])

    def _obey(self) -> None:
        """Stop it where that is wished: by asking first, then by force."""
        wish = self._watcher.wish()
        if wish == "stop":
            raise _Ended("stopped")
        if not wish:
            return
        if self._killed_at == float("inf"):
            self._killed_at = time.monotonic() + CANCEL_SECONDS
            self._say("cancel")
        elif time.monotonic() > self._killed_at:
            raise _Ended("cancelled")

    def _say(self, *message: Any) -> None:
        with contextlib.suppress(OSError):
            self._line.send(message)
