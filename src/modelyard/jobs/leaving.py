"""How a process that works for others ends: with a status, and nothing of it left running."""

import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

BROKEN = 70  # sysexits.h: EX_SOFTWARE

log = logging.getLogger("modelyard.server")


def leave(work: Callable[[], int]) -> NoReturn:
    """Do ``work``, and end this process with its status; the log tells what broke it.

    Threads that still run end with it.
    """
    status = BROKEN
    try:
        status = work()
    except Exception:
        log.exception("a worker broke")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
