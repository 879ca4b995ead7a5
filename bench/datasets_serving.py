"""A server for ``bench.datasets``: a file is sent to it, read by its worker, and kept."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.artifacts import CHUNK, KEY, _server

TICK = os.sysconf("SC_CLK_TCK")


class Serving:
    """A server in a home of its own, with one worker that has worked before."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="modelyard-bench-"))
        self.server, self.port = _server(self.folder)
        warm = self.folder / "warm.csv"
        warm.write_text("a,b\n1,2\n")
        self.upload(warm)

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.terminate()
        self.server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def upload(self, file: Path) -> None:
        """Send a file to a dataset of its own, and wait until its version is there."""
        made = self._ask("POST", "/v1/catalog/datasets", {"name": file.name})
        path = f"/v1/catalog/datasets/{made['id']}/upload?name={file.name}&analyze=false"
        begun = self._send(path, file)
        while not begun["done"]:
            begun = self._ask("POST", f"/v1/{begun['name']}:wait", {"timeout_seconds": 30})
        if begun["error"]:
            raise RuntimeError(begun["error"]["message"])

    def cpu(self) -> float:
        """Seconds of CPU that the server, its workers and their jobs have used until now."""
        parents: dict[int, int] = {}
        used: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                rest = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(stat.parent.name)] = int(rest[1])
            used[int(stat.parent.name)] = sum(map(int, rest[11:15]))
        return sum(ticks for pid, ticks in used.items() if self._ours(pid, parents)) / TICK

    def peak(self) -> float:
        """The most memory that the server itself has had, in MB."""
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def _ours(self, pid: int, parents: dict[int, int]) -> bool:
        while pid and pid != self.server.pid:
            pid = parents.get(pid, 0)
        return pid != 0

    def _send(self, path: str, file: Path) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=900)
        connection.blocksize = CHUNK
        headers = {
            "Authorization": f"Bearer {KEY}",
            "Content-Type": "text/csv",
            "Content-Length": str(file.stat().st_size),
        }
        with file.open("rb") as stream:
            connection.request("POST", path, stream, headers)
            return self._read(connection)

    def _ask(self, method: str, path: str, body: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body), headers)
        return self._read(connection)

    def _read(self, connection: http.client.HTTPConnection) -> Any:
        answer = connection.getresponse()
        found = json.load(answer)
        connection.close()
        if answer.status >= 300:
            raise RuntimeError(found["error"]["message"])
        return found


def uploaded(file: Path) -> dict[str, float]:
    """What it takes from the first byte that is sent to the version."""
    with Serving() as serving:
        began, used = time.perf_counter(), serving.cpu()
        serving.upload(file)
        wall, cpu = time.perf_counter() - began, serving.cpu() - used
        return {"wall": wall, "cpu": cpu, "peak": serving.peak()}


class Bounded:
    """Children that may have so much memory, and so much time all together."""

    def __init__(self, most_bytes: int, seconds: float) -> None:
        self._most = most_bytes
        self._ends = time.monotonic() + seconds

    def run(self, words: list[str]) -> dict[str, Any]:
        """What a child prints as JSON; ``stopped`` says what it had too much of."""
        command = [sys.executable, "-m", "bench.datasets", *words]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        while child.poll() is None:
            over = "memory" if self._memory(child.pid) > self._most else ""
            if over or time.monotonic() > self._ends:
                os.killpg(child.pid, 9)
                child.wait()
                return {"stopped": over or "time"}
            time.sleep(0.1)
        out, _ = child.communicate()
        if child.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {child.returncode}")
        found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
        return found

    def _memory(self, pid: int) -> int:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return 0
        return int((status.partition("VmRSS:")[2].split() or ["0"])[0]) * 1024
