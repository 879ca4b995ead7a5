"""Artifacts up and down beside what the machine does without us: MB/s, and the server's memory.

``python -m bench.artifacts --mib 2048`` starts a server in a home of its own, sends a file of
chance in one request, fetches it, and copies it by ``cp`` and by obstore alone, in turns.
"""

import argparse
import asyncio
import hashlib
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

KEY = "the-key-of-the-benchmark-0123456789"
CHUNK = 1 << 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="modelyard-bench-"))
    server, port = _server(folder)
    try:
        file = folder / "file"
        _write(file, asked.mib)
        took: dict[str, list[float]] = {}
        for number in range(asked.rounds):
            for name, work in _works(folder, file, port, number).items():
                began = time.perf_counter()
                work()
                took.setdefault(name, []).append(time.perf_counter() - began)
        size = asked.mib * CHUNK / 1e6
        for name, seconds in took.items():
            print(f"{name:<24}{size / statistics.median(seconds):8.0f} MB/s")
        status = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8")
        print(f"server's peak memory {int(status.partition('VmHWM:')[2].split()[0]) // 1024} MiB")
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def _works(folder: Path, file: Path, port: int, number: int) -> dict[str, Callable[[], object]]:
    """What is measured in a round; each leaves nothing that the next could use."""
    with file.open("r+b") as stream:  # other content each round: the same would be kept once
        stream.write(number.to_bytes(4, "big"))
    copy = folder / "copy"
    return {
        "upload": lambda: _send(port, "POST", "/v1/artifacts", file),
        "download": lambda: _send(port, "GET", f"/v1/artifacts/{_last(folder)}/content", None),
        "sha256 of the file": lambda: _sha256(file),
        "cp and sync": lambda: subprocess.run(
            f"cp '{file}' '{copy}' && sync '{copy}'", shell=True, check=True
        ),
        "obstore alone": lambda: asyncio.run(_obstore(folder, file, number)),
    }


def _last(folder: Path) -> str:
    return (folder / "last").read_text(encoding="utf-8")


def _send(port: int, method: str, path: str, file: Path | None) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600, blocksize=CHUNK)
    headers = {"Authorization": f"Bearer {KEY}"}
    if file is None:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        while answer.read(CHUNK):
            pass
        return
    headers["Content-Length"] = str(file.stat().st_size)
    with file.open("rb") as stream:
        connection.request(method, path, stream, headers)
        made = json.load(connection.getresponse())
    (file.parent / "last").write_text(made["id"], encoding="utf-8")


async def _obstore(folder: Path, file: Path, number: int) -> None:
    import obstore
    from obstore.store import LocalStore

    target = folder / f"obstore{number}"
    target.mkdir()
    store = LocalStore(target)
    with file.open("rb") as stream:
        part = 0
        while data := stream.read(8 * CHUNK):
            part += 1
            await obstore.put_async(store, str(part), data, use_multipart=False)
    shutil.rmtree(target)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write(file: Path, mib: int) -> None:
    with file.open("wb") as stream:
        for _ in range(mib):
            stream.write(os.urandom(CHUNK))


def _server(folder: Path) -> tuple["subprocess.Popen[bytes]", int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    env = {k: v for k, v in os.environ.items() if not k.startswith("MODELYARD_")} | {
        "MODELYARD_HOME": str(folder / "home"),
        "MODELYARD_ADMIN_KEY": KEY,
        "MODELYARD_PORT": str(port),
    }
    server = subprocess.Popen([sys.executable, "-m", "modelyard", "serve"], env=env, cwd=folder)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1)
        except OSError:
            time.sleep(0.1)
        else:
            return server, port
    raise RuntimeError("the server did not start")


if __name__ == "__main__":
    main()
