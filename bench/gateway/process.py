"""Processes pinned to a core, and what they use, read from /proc."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

TICKS = os.sysconf("SC_CLK_TCK")


@cache
def cores() -> tuple[int, int]:
    """The gateway's core, and the one that upstream and load share (the same if there is one)."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[min(1, len(usable) - 1)]


class Child:
    """A process of its own group, pinned to a core if one is named; its output goes to a file."""

    def __init__(
        self,
        argv: Sequence[str],
        core: int | None,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out:
            self._process = self._spawn(argv, core, out, env, cwd)

    @staticmethod
    def _spawn(
        argv: Sequence[str],
        core: int | None,
        out: IO[bytes],
        env: Mapping[str, str] | None,
        cwd: Path | None,
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    def stop(self, patience: float = 10.0) -> None:
        """SIGTERM, and SIGKILL to the group after ``patience`` seconds."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_words(self) -> str:
        """The last line of its output that says something."""
        lines = self.log.read_text(errors="replace").split("\n")
        return next((line.strip()[-300:] for line in reversed(lines) if line.strip()), "no output")


def end_as_interrupted() -> None:
    """Let SIGTERM end this process as Ctrl-C does: what it has started is stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()  # the name may hold spaces; field 3 comes first


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of a process tree, with that of children already reaped."""
    ticks = 0
    for pid in tree(root):
        if stat := _stat(pid):
            ticks += sum(int(field) for field in stat[11:15])
    return ticks / TICKS


@dataclass(frozen=True)
class Memory:
    """Bytes of a process tree; ``pss`` counts shared pages once, None where it cannot be read."""

    rss: int
    pss: int | None


def _kilobytes(path: Path, field: str) -> int | None:
    try:
        for line in path.read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def memory(root: int) -> Memory:
    """What a process tree holds now."""
    rss, pss, readable = 0, 0, True
    for pid in tree(root):
        rss += _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS") or 0
        own = _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss")
        readable = readable and own is not None
        pss += own or 0
    return Memory(rss, pss if readable else None)
