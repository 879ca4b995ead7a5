"""Facts of the machine, so that a figure can be read later."""

import os
import platform
from pathlib import Path

from bench.gateway.process import cores


def _field(path: str, name: str) -> str:
    try:
        for line in Path(path).read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    except OSError:
        pass
    return "unknown"


def facts() -> dict[str, str | int]:
    """CPU, cores, memory, kernel, Python, and where things were pinned."""
    gateway, load = cores()
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count() or 0,
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": " ".join(f"{x:.2f}" for x in os.getloadavg()),
        "pinned": f"gateway on core {gateway}; upstream and load on core {load}",
    }
