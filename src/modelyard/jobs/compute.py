"""What machines have, what a job may use of it, and how its process is held to that."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from modelyard.jobs.schema import Compute
from modelyard.kernel.context import Context
from modelyard.protocol.errors import Failure

WORKERS = "operations/workers"  # the kind of the rows that workers keep of themselves
_PLAIN = 1 << 62  # cgroups write "no limit" as a number about this large


class Machine(Struct, frozen=True):
    """What a worker can give its jobs, all together."""

    cpu: int
    memory_bytes: int
    gpus: tuple[str, ...]

    def lacks(self, wanted: Compute) -> str:
        """What of ``wanted`` it could never give: "gpu", "cpu", "memory" or ""."""
        if wanted.gpu > len(self.gpus):
            return "gpu"
        if wanted.cpu > self.cpu:
            return "cpu"
        return "memory" if wanted.memory_bytes > self.memory_bytes else ""


class Capacity(Struct, frozen=True):
    """The service that knows this machine: None where the server has no workers of its own."""

    own: Machine | None


def this_machine() -> Machine:
    """What this process may use: its cores, the memory of its control group, the GPUs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(cores or 1, min([pages, *_group_limits()]), _gpus())


def _group_limits() -> Iterator[int]:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limit = int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii"))
            if limit < _PLAIN:
                yield limit


def _gpus() -> tuple[str, ...]:
    """The ids that CUDA is told."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(part.strip() for part in visible.split(",") if part.strip() not in ("", "-1"))
    found = [path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")]
    return tuple(sorted(found, key=int))


async def refuse_impossible(context: Context, wanted: Compute) -> None:
    """Raise ``GPU_UNAVAILABLE`` or ``INSUFFICIENT_RESOURCES`` where no known worker could do it."""
    own = context.of(Capacity).own
    known = [] if own is None else [own]
    if own is None or own.lacks(wanted):
        rows = await context.ports.store.everywhere(WORKERS)
        known += [machine_of(row.spec) for row in rows]
    if known and all(one.lacks(wanted) for one in known):
        raise lacking(wanted, known)


def machine_of(spec: dict[str, object]) -> Machine:
    """The machine that a worker's row tells of."""
    gpus = spec["gpus"]
    assert isinstance(gpus, list)
    return Machine(int(str(spec["cpu"])), int(str(spec["memory_bytes"])), tuple(map(str, gpus)))


def lacking(wanted: Compute, known: Iterable[Machine]) -> Failure:
    """The failure of a request that none of these machines can meet."""
    most = {
        "cpu": max(one.cpu for one in known),
        "memory_bytes": max(one.memory_bytes for one in known),
        "gpu": max(len(one.gpus) for one in known),
    }
    details = {
        "requested": {name: getattr(wanted, name) for name in most},
        "largest_worker": most,
    }
    if wanted.gpu > most["gpu"]:
        text = f"{wanted.gpu} GPUs are asked for; no worker has more than {most['gpu']}. "
        text += "Ask for fewer, or start 'modelyard worker' on a machine that has them."
        return Failure("GPU_UNAVAILABLE", text, details=details)
    text = f"No worker has the {wanted.cpu:g} cores and {wanted.memory_bytes:,} bytes that are "
    text += "asked for. Ask for less, or start 'modelyard worker' on a larger machine."
    return Failure("INSUFFICIENT_RESOURCES", text, details=details)


class Share(Struct, frozen=True):
    """What one job got: the cores it is pinned to, and the ids of its GPUs."""

    cores: tuple[int, ...]
    gpus: tuple[str, ...]


class Pool:
    """Shares of one machine, for jobs that run at the same time. Safe for threads."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._free = threading.Condition()
        self._cpu = float(machine.cpu)
        self._memory = machine.memory_bytes
        self._gpus = list(machine.gpus)
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
        self._load = dict.fromkeys(sorted(cores), 0.0)

    @contextlib.contextmanager
    def share(self, wanted: Compute, given_up: threading.Event) -> Iterator[Share | None]:
        """Wait until there is room; None once ``given_up`` is set."""
        with self._free:
            while not self._room(wanted):
                if given_up.is_set():
                    break
                self._free.wait(0.2)
            taken = None if given_up.is_set() else self._take(wanted)
        try:
            yield taken
        finally:
            if taken is not None:
                with self._free:
                    self._give_back(wanted, taken)
                    self._free.notify_all()

    def _room(self, wanted: Compute) -> bool:
        fits = wanted.memory_bytes <= self._memory and wanted.gpu <= len(self._gpus)
        return fits and wanted.cpu <= self._cpu

    def _take(self, wanted: Compute) -> Share:
        self._cpu -= wanted.cpu
        self._memory -= wanted.memory_bytes
        gpus, self._gpus = self._gpus[: wanted.gpu], self._gpus[wanted.gpu :]
        idlest = sorted(self._load, key=lambda core: (self._load[core], -core))
        cores = tuple(idlest[: math.ceil(wanted.cpu)])
        for core in cores:
            self._load[core] += wanted.cpu / len(cores)
        return Share(cores, tuple(gpus))

    def _give_back(self, wanted: Compute, taken: Share) -> None:
        self._cpu += wanted.cpu
        self._memory += wanted.memory_bytes
        self._gpus += taken.gpus
        for core in taken.cores:
            self._load[core] -= wanted.cpu / len(taken.cores)


def confine(wanted: Compute, share: Share, nice: int) -> None:
    """Hold this process, and those it starts, to its share. For the start of a job's process."""
    if share.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share.cores)
    os.nice(max(0, nice - os.nice(0)))
    if nice == LAST_OF_ALL and hasattr(os, "SCHED_IDLE"):
        # A core that only runs such processes is idle to whoever wakes up, and is taken from them
        # at once; a merely nice one keeps it for a while (docs/adr/0013).
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    limit = wanted.memory_bytes + mapped()
    for name in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
        room = limit if name == resource.RLIMIT_DATA else limit + _CODE
        hard = resource.getrlimit(name)[1]
        room = room if hard == resource.RLIM_INFINITY else min(room, hard)
        resource.setrlimit(name, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(share.gpus)
    threads = str(max(1, math.ceil(wanted.cpu)))
    for library in _LIBRARIES:
        os.environ[library] = threads


_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
LAST_OF_ALL = 19  # niceness: only what nobody else wants
_CODE = 4 << 30  # address space of libraries and threads' stacks, which are no memory yet


def mapped() -> int:
    """Bytes that this process has mapped already."""
    with contextlib.suppress(OSError, ValueError):
        text = Path("/proc/self/statm").read_text(encoding="ascii")
        return int(text.split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 512 << 20
