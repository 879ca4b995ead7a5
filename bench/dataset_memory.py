"""The memory that a large dataset takes: ``python -m bench.dataset_memory --gigabytes 5``.

Writes a CSV file of that size, uploads it to a server of its own, follows the operation that reads
it, downloads the original, the Parquet and the CSV again, and splits it. The peaks of resident
memory of all processes that took part are told: the server, its worker, the process of each job,
the process of the conversion. What comes back is compared with what was sent. Everything lies in
``--folder`` (room for about five times the size) and is removed in the end.
"""

import argparse
import hashlib
import http.client
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from serving import Server, worker_pids  # type: ignore[import-not-found]

OUT = Path(__file__).resolve().parent / "out"
LIMIT = 300  # MiB
CHUNK = 1024 * 1024
WORDS = ("late", "parcel", "thanks", "broken", "again", "blue", "offer", "called", "twice", "never")
COUNTRIES = ("France", "Spain", "Germany")


class Watch:
    """Looks at the processes below one, and keeps the peak of each by what it does."""

    def __init__(self, pid: int) -> None:
        self.pid, self.stage, self.peaks = pid, "", {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            for pid in [self.pid, *worker_pids(self.pid)]:
                self._look(pid)

    def _look(self, pid: int) -> None:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        peak = next((line.split()[1] for line in status.splitlines() if "VmHWM" in line), "0")
        name = self._name(pid, b" ".join(words).decode())
        self.peaks[name] = max(self.peaks.get(name, 0.0), int(peak) / 1024)

    def _name(self, pid: int, words: str) -> str:
        if pid == self.pid:
            return "server"
        if "datasets.giving" in words:
            return f"conversion ({self.stage})"
        if "forkserver" in words:
            return f"job ({self.stage})"
        return "worker" if "attached" in words else "others"

    def end(self) -> None:
        self._over.set()
        self._thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, default=None, help="where there is room")
    parser.add_argument("--file", type=Path, default=None, help="one that was written before")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="modelyard-memory-", dir=asked.folder))
    try:
        file = folder / "rows.csv"
        if asked.file is None:
            write(file, int(asked.gigabytes * 1e9))
        else:
            file.symlink_to(asked.file.absolute())
        found = measure(folder, file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    OUT.mkdir(exist_ok=True)
    (OUT / "dataset_memory.json").write_text(json.dumps(found, indent=2) + "\n")
    show(found)


def measure(folder: Path, file: Path) -> dict[str, Any]:
    """The figures of one file."""
    rows, digest = counted(file)
    seconds: dict[str, float] = {}
    tempfile.tempdir = str(folder)  # the server's home, too
    with Server(env={"TMPDIR": str(folder)}) as server:
        assert server.process is not None
        watch = Watch(server.process.pid)
        asking = Asking(server.url, server.key)

        def timed(stage: str, call: Any) -> Any:
            watch.stage, begun = stage, time.monotonic()
            made = call()
            seconds[stage] = round(time.monotonic() - begun, 1)
            print(f"{stage}: {seconds[stage]} s; {watch.peaks}", flush=True)
            return made

        path = "/v1/catalog/datasets"
        own_id = asking.call("POST", path, {"name": "rows"})["id"]
        path += f"/{own_id}"
        upload = f"{path}/upload?name=rows.csv&analyze=false"
        sent = timed("send", lambda: asking.send(upload, file))
        made = timed("read", lambda: asking.ended(sent))
        assert made["recordCount"] == rows, (made["recordCount"], rows)
        back = timed("original", lambda: asking.digest(f"{path}/download"))
        assert back == digest, "the original came back otherwise"
        timed("parquet", lambda: asking.digest(f"{path}/download?format=parquet"))
        timed("csv", lambda: asking.digest(f"{path}/download?format=csv"))
        begun = asking.call("POST", f"{path}/split", {"seed": 7, "leakColumn": "country"})
        parts = timed("split", lambda: asking.ended(begun))["parts"]
        assert sum(one["recordCount"] for one in parts) == rows
        watch.end()
    return {"bytes": file.stat().st_size, "rows": rows, "seconds": seconds, "mib": watch.peaks}


def write(file: Path, size: int) -> None:
    """Rows of about 100 bytes: numbers, texts with commas and quotes, categories, moments."""
    done = 0
    with file.open("wb") as out:
        for block in blocks():
            done += out.write(block)
            if done >= size:
                return


def counted(file: Path) -> tuple[int, str]:
    """The rows of a file, and its SHA-256."""
    digest, lines = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while data := stream.read(CHUNK):
            digest.update(data)
            lines += data.count(b"\n")
    return lines - 1, digest.hexdigest()


def blocks() -> Iterator[bytes]:
    yield b"id,country,age,balance,at,note,left\n"
    chance, at = random.Random(7), 0
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(3, 9))) for _ in range(5000)]
    while True:
        lines = []
        for _ in range(20_000):
            at += 1
            balance = "" if at % 10 == 0 else f"{chance.random() * 1e5:.2f}"
            lines.append(
                f"{at},{COUNTRIES[at % 3]},{18 + at % 60},{balance},"
                f"2026-{1 + at % 12:02d}-{1 + at % 28:02d}T{at % 24:02d}:15:00Z,"
                f'"{texts[at % 5000]}, ""{at % 977}""",{int(at % 5 == 0)}\n'
            )
        yield "".join(lines).encode()


class Asking:
    """What is asked of the server."""

    def __init__(self, url: str, key: str) -> None:
        self.place, self.key = url.removeprefix("http://"), key

    def _open(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        connection = http.client.HTTPConnection(self.place, timeout=600)
        connection.request(method, path, body, headers | {"Authorization": f"Bearer {self.key}"})
        answer = connection.getresponse()
        assert answer.status < 300, (answer.status, answer.read(2000))
        return answer

    def call(self, method: str, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        return json.load(self._open(method, path, json.dumps(body), headers))

    def send(self, path: str, file: Path) -> Any:
        with file.open("rb") as stream:
            headers = {"Content-Length": str(file.stat().st_size), "Content-Type": "text/csv"}
            return json.load(self._open("POST", path, stream, headers))

    def ended(self, operation: Any) -> Any:
        while not operation["done"]:
            path = f"/v1/{operation['name']}:wait"
            operation = self.call("POST", path, {"timeout_seconds": 20})
        assert operation["error"] is None, operation["error"]
        return operation["response"]

    def digest(self, path: str) -> str:
        answer, digest = self._open("GET", path, None, {}), hashlib.sha256()
        while part := answer.read(CHUNK):
            digest.update(part)
        return digest.hexdigest()


def show(found: dict[str, Any]) -> None:
    """Print the figures."""
    print(f"{found['bytes'] / 1e9:.2f} GB, {found['rows']:,} rows; {os.cpu_count()} cores")
    for stage, seconds in found["seconds"].items():
        print(f"  {stage:12} {seconds:8.1f} s")
    for name, mib in sorted(found["mib"].items()):
        print(f"  {name:70} {mib:8.0f} MiB{'' if mib < LIMIT else '  ABOVE THE LIMIT'}")


if __name__ == "__main__":
    main()
