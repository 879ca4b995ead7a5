"""A command on a terminal of its own, as somebody sees it who sits there."""

import fcntl
import os
import pty
import re
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Self

from patience import ready

_STEERING = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
CTRL_C = b"\x03"


class Terminal:
    """``modelyard WORDS`` on a terminal that is so many columns wide."""

    def __init__(
        self, *words: str, env: dict[str, str], cwd: Path | None = None, columns: int = 80
    ) -> None:
        self._ours, inner = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "modelyard", *words],
            env=env | {"TERM": "xterm", "COLUMNS": str(columns)},
            cwd=cwd,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(inner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def until(self, wanted: str, within: float = 60.0) -> str:
        """What was printed since the start, once ``wanted``, a pattern, is in it."""
        ends = time.monotonic() + within
        while not re.search(wanted, self.seen):
            assert time.monotonic() < ends, self.seen
            assert self._read(0.2), self.seen
        return self.seen

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    def ended(self, within: float = 60.0) -> int:
        """The exit status, once there is one and all that was printed is read."""
        ends = time.monotonic() + within
        while self._read(0.2):
            assert time.monotonic() < ends, self.seen
        return self.process.wait(within)

    def _read(self, seconds: float) -> bool:
        """Read what there is; False once nothing more can come."""
        if ready(seconds, self._ours) is not None:
            try:
                found = os.read(self._ours, 65_536)
            except OSError:  # nobody has the other end any more
                return False
            self.seen += _STEERING.sub("", found.decode(errors="replace"))
        return True


def _own_terminal() -> None:
    """Ctrl-C is for this process."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
