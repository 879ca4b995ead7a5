"""Several server processes on one port."""

import logging
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from modelyard.jobs.leaving import leave

CANNOT_START = 1  # exit status of a worker that has told why
_RESTART_SECONDS = 1.0  # a worker that dies at once is not restarted faster than this
_ENDING = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger("modelyard.server")


def apart(work: Callable[[], int]) -> int:
    """Do ``work`` in a forked process of its own; its exit status, or what ended it, as negative.

    What it loads and allocates is gone with it: the first signing key takes 12 MB to make.
    """
    pid = os.fork()
    if pid == 0:
        leave(work)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def supervise(count: int, work: Callable[[int], int]) -> int:
    """Fork ``count`` workers that run ``work(number)``, and replace those that die.

    SIGTERM and SIGINT are passed on; returns the exit status when all have ended. A worker that
    cannot start ends them all, unless it is a replacement: then it is tried again. Nothing but
    plain settings, shared memory and the listening socket exists yet, so that a fork is safe.
    """
    return _Supervisor(work).run(count)


class _Supervisor:
    def __init__(self, work: Callable[[int], int]) -> None:
        self._work = work
        self._numbers: dict[int, int] = {}  # by process id
        self._started: dict[int, float] = {}  # by number
        self._replaced: set[int] = set()
        self._stopping = False
        self._status = 0

    def run(self, count: int) -> int:
        for name in _ENDING:
            signal.signal(name, self._signalled)
        for number in range(count):
            self._start(number)
        while self._numbers:
            pid, status = os.wait()
            number = self._numbers.pop(pid, -1)
            if number >= 0 and not self._stopping:
                self._ended(number, os.waitstatus_to_exitcode(status))
        return self._status

    def _ended(self, number: int, code: int) -> None:
        if code == CANNOT_START and number not in self._replaced:
            self._status = CANNOT_START
            self._stop()
            return
        log.error("a worker ended; another is started", extra={"worker": number, "status": code})
        self._replaced.add(number)
        time.sleep(max(0.0, _RESTART_SECONDS - (time.monotonic() - self._started[number])))
        if not self._stopping:
            self._start(number)

    def _start(self, number: int) -> None:
        # No signal may come between the fork and the note of it: it would not be passed on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        pid = os.fork()
        if pid == 0:
            self._serve(number, before)
        self._numbers[pid] = number
        self._started[number] = time.monotonic()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if self._stopping:
            self._stop()

    def _serve(self, number: int, mask: set[int | signal.Signals]) -> NoReturn:
        """The worker's whole life."""

        def work() -> int:
            for name in _ENDING:
                signal.signal(name, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            return self._work(number)

        leave(work)

    def _signalled(self, signum: int, frame: FrameType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        self._stopping = True
        for pid in list(self._numbers):
            os.kill(pid, signal.SIGTERM)
