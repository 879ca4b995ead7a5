"""Who works: each worker keeps a row of itself, and watches those of the others.

A worker is dead once its row has not changed for ``DEAD_SECONDS`` by the watcher's own clock, so
that clocks need not agree; on the same machine as soon as its process is gone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from pathlib import Path

from msgspec import structs

from modelyard.jobs.compute import WORKERS, Machine
from modelyard.kernel import names
from modelyard.kernel.ports import Address, Commit, Refused, Row, Store, Write
from modelyard.protocol import errors

BEAT_SECONDS = 4.0
DEAD_SECONDS = 15.0  # and 30 at most until its work goes on elsewhere


class Muster:
    """The workers of an installation, as one of them sees them."""

    def __init__(self, store: Store, machine: Machine) -> None:
        self.name = f"{socket.gethostname()[:60]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._store = store
        self._machine = machine
        self._row: Row | None = None
        self._beat_at = 0.0
        self._seen: dict[str, tuple[int, float]] = {}  # revision, and when it was first seen
        self._dead: list[Row] = []

    async def report(self) -> None:
        """Show that this worker lives, where it is time to."""
        if time.monotonic() < self._beat_at + BEAT_SECONDS:
            return
        now = errors.now()
        if self._row is None:
            row = Row(
                address=Address(WORKERS, "", "", self.name),
                uid=names.new_uid(),
                created_at=now,
                updated_at=now,
                created_by=self.name,
                updated_by=self.name,
                spec=self._spec(),
            )
            write = Write(row=row)
        else:
            before = self._row
            row = structs.replace(before, revision=before.revision + 1, updated_at=now)
            write = Write(row=row, expected=before.revision, before=before)
        try:
            await self._store.commit(Commit(writes=[write]))
        except Refused:  # we were taken for dead: from now on we are somebody new in the list
            self._row = None
            return
        self._row, self._beat_at = row, time.monotonic()

    async def alive(self) -> set[str]:
        """The names of those that live, this one included."""
        now, found, self._dead = time.monotonic(), {self.name}, []
        for row in await self._store.everywhere(WORKERS):
            name = row.address.id
            revision, since = self._seen.get(name, (0, now))
            if revision != row.revision:
                since = now
                self._seen[name] = (row.revision, now)
            if name == self.name:
                continue
            if now - since > DEAD_SECONDS or _gone(row.spec):
                self._dead.append(row)
            else:
                found.add(name)
        return found

    async def machines(self) -> list[Row]:
        """The rows of all that are listed."""
        return await self._store.everywhere(WORKERS)

    async def strike_off(self) -> None:
        """Forget those that are dead, once their work was taken over."""
        for row in self._dead:
            self._seen.pop(row.address.id, None)
            await self._remove(row)

    async def leave(self) -> None:
        """This worker ends: what it had is open to others at once."""
        if self._row is not None:
            await self._remove(self._row)

    async def _remove(self, row: Row) -> None:
        gone = structs.replace(row, revision=row.revision + 1)
        write = Write(row=gone, expected=row.revision, remove=True)
        with contextlib.suppress(Refused):  # it is gone, or lives after all
            await self._store.commit(Commit(writes=[write]))

    def _spec(self) -> dict[str, object]:
        return {
            "cpu": self._machine.cpu,
            "memory_bytes": self._machine.memory_bytes,
            "gpus": list(self._machine.gpus),
            "place": _place(),
            "pid": os.getpid(),
            "born": _born(os.getpid()),
        }


def _gone(spec: dict[str, object]) -> bool:
    """Whether a worker was on this machine, and its process is gone."""
    here = _place()
    return bool(here) and spec["place"] == here and _born(int(str(spec["pid"]))) != spec["born"]


def _place() -> str:
    """What processes have in common that can see each other; "" where that cannot be known."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _born(pid: int) -> str:
    """When a process began, in ticks of its machine; "" for none, and for what has ended."""
    with contextlib.suppress(OSError):
        rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return "" if rest[0] in "ZX" else rest[19]
    return ""
