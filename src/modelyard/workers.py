"""Several server processes on one port."""

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

_RESTART_SECONDS = 1.0  # a worker that dies at once is not restarted faster than this


def supervise(count: int, work: Callable[[int], int]) -> int:
    """Fork ``count`` workers that run ``work(number)``, and replace those that die.

    SIGTERM and SIGINT are passed on; returns when all have ended. Nothing but plain settings and
    the listening socket exists yet, so that a fork is safe. Workers end with this process: each
    looks whether it still is its parent.
    """
    children: dict[int, int] = {}
    started: dict[int, float] = {}
    stopping = False

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for pid in list(children):
            os.kill(pid, signal.SIGTERM)

    def start(number: int) -> None:
        pid = os.fork()
        if pid == 0:
            for name in (signal.SIGTERM, signal.SIGINT):
                signal.signal(name, signal.SIG_DFL)
            os._exit(work(number))
        children[pid] = number
        started[number] = time.monotonic()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
    for number in range(count):
        start(number)
    while children:
        try:
            pid, status = os.wait()
        except InterruptedError:
            continue
        number = children.pop(pid, -1)
        if number < 0 or stopping:
            continue
        code = os.waitstatus_to_exitcode(status)
        print(f"modelyard: worker {number} ended ({code}); starting another", file=sys.stderr)
        time.sleep(max(0.0, _RESTART_SECONDS - (time.monotonic() - started[number])))
        start(number)
    return 0
