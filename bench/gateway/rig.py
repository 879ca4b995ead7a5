"""What every gateway is measured with: the C upstream and the C load generator."""

import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Any

from bench.gateway.process import Child, cores

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"
OUT = BENCH / "out"
ENVS = BENCH / ".envs"

UPSTREAM_KEY = "sk-upstream"
EXPECTED = "Paris is the capital of France"
CHUNKS = 100
PACE_US = 10_000

TEMPLATE = (
    '{"model":"MODEL","temperature":0,"max_tokens":64STREAM,"messages":['
    '{"role":"system","content":"You are a concise assistant. Answer in one sentence."},'
    '{"role":"user","content":"Request %n, about %r: what is the capital of France, and on which '
    'river does it lie?"}]}'
)

# The same question as Anthropic's clients ask it: neither request nor answer can be passed on.
MESSAGES = (
    '{"model":"gpt-4o","temperature":0,"max_tokens":64,'
    '"system":"You are a concise assistant. Answer in one sentence.","messages":['
    '{"role":"user","content":"Request %n, about %r: what is the capital of France, and on which '
    'river does it lie?"}]}'
)


def body(model: str, stream: bool = False) -> str:
    """The template that the load generator fills: no two bodies of a run are alike."""
    asked = ',"stream":true' if stream else ""
    return TEMPLATE.replace("MODEL", model).replace("STREAM", asked)


def build() -> None:
    """Compiles the C programs where they are older than their source."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("A C compiler is needed for the benchmark; none of cc, gcc, clang found.")
    OUT.mkdir(exist_ok=True)
    for name in ("upstream", "load"):
        sources = [BENCH / f"{name}.c", BENCH / "http1.h", BENCH / "template.h"]
        made = OUT / name
        if made.exists() and made.stat().st_mtime > max(s.stat().st_mtime for s in sources):
            continue
        flags = ["-O2", "-Wall", "-Wextra", "-std=gnu11"]
        subprocess.run([compiler, *flags, "-o", str(made), str(sources[0])], check=True)


def python_version(env: Path, package: str) -> str:
    """The version of a package in an environment of its own."""
    line = f"import importlib.metadata as m; print(m.version({package!r}))"
    argv = [str(env / "bin" / "python"), "-c", line]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def ask(
    port: int,
    method: str,
    path: str,
    content: bytes | None = None,
    headers: Sequence[str] = (),
    timeout: float = 30.0,
) -> tuple[int, bytes]:
    """One request to the loopback interface; headers are written ``Name: value``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        named = dict(header.split(": ", 1) for header in headers)
        if content is not None:
            named["Content-Type"] = "application/json"
        connection.request(method, path, content, named)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Upstream:
    """The model server that every gateway calls."""

    def __init__(self) -> None:
        self.port = free_port()
        argv = [str(OUT / "upstream"), str(self.port), str(CHUNKS), str(PACE_US)]
        self._child = Child(argv, cores()[1], OUT / "logs" / "upstream.log")
        for _ in range(100):
            try:
                self.reset()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise SystemExit("The upstream did not start: " + self._child.last_words())

    def reset(self) -> None:
        ask(self.port, "GET", "/reset")

    def rest(self) -> None:
        """Waits until nothing that a former load left behind arrives any more (2 s at most)."""
        seen = self.count()
        for _ in range(20):
            time.sleep(0.1)
            before, seen = seen, self.count()
            if seen == before:
                return

    def count(self) -> int:
        """Completions asked for since the last reset."""
        return int(json.loads(ask(self.port, "GET", "/count")[1])["completions"])

    def last(self) -> tuple[str, dict[str, Any]]:
        """The head and the content of the last completion request."""
        head, _, content = ask(self.port, "GET", "/last")[1].partition(b"\r\n\r\n")
        return head.decode(), json.loads(content)

    def stop(self) -> None:
        self._child.stop()


@dataclass(frozen=True)
class Route:
    """How a gateway is asked for a chat completion."""

    port: int
    path: str = "/v1/chat/completions"
    model: str = "gpt-4o"
    headers: list[str] = field(default_factory=list)
    template: str = ""  # of the body; OpenAI's when empty


@dataclass(frozen=True)
class Loading:
    """One run of the load generator; ``seconds`` or ``requests`` says how long."""

    connections: int
    seconds: float | None = None
    requests: int | None = None
    warmup: float = 0.0
    stream: bool = False


def load(route: Route, how: Loading) -> dict[str, Any]:
    """Runs the load generator on its core and returns what it printed."""
    argv = ["-p", str(route.port), "-u", route.path]
    argv += ["-b", route.template or body(route.model, how.stream), "-c", str(how.connections)]
    argv += ["-w", str(how.warmup)]
    argv += ["-n", str(how.requests)] if how.requests else ["-d", str(how.seconds)]
    argv += ["-s", str(CHUNKS)] if how.stream else ["-e", EXPECTED]
    for header in route.headers:
        argv += ["-H", header]
    return run_load(argv, how.seconds or 0)


def run_load(options: Sequence[str], seconds: float) -> dict[str, Any]:
    """Runs the load generator on its core for about so long; what it printed, what it said."""
    argv = [str(OUT / "load"), *options]
    if shutil.which("taskset"):
        argv = ["taskset", "-c", str(cores()[1]), *argv]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=300 + seconds, check=False)
    if not ran.stdout:
        raise RuntimeError(f"the load generator failed: {ran.stderr.strip()[-400:]}")
    result: dict[str, Any] = json.loads(ran.stdout)
    result["said"] = ran.stderr.strip()[-400:]
    return result
