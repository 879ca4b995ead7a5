"""What is measured: a gateway, how it is started, and the proof that it proxies."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.gateway.process import Child, cores
from bench.gateway.rig import EXPECTED, OUT, UPSTREAM_KEY, Route, Upstream, ask, body, free_port

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "USER")


def clean_environment(**more: str) -> dict[str, str]:
    """The environment of a gateway: nothing of the caller's settings leaks into a measurement."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**kept, "HOME": str(OUT / "home"), **more}


@dataclass(frozen=True)
class Launch:
    """How to start a gateway, and where it will answer."""

    argv: Sequence[str]
    route: Route
    env: Mapping[str, str] = field(default_factory=clean_environment)


class Gateway(Protocol):
    """One gateway under measurement."""

    name: str
    configuration: str  # in plain words, for the report

    def missing(self) -> str | None:
        """Why it cannot be measured here, or None."""

    def version(self) -> str:
        """The version that is installed."""

    def launch(self, port: int, upstream: int, folder: Path) -> Launch:
        """Writes its configuration into ``folder``; it shall call the upstream's port."""

    def settled(self, route: Route, log: Path) -> Route | None:
        """Called until it gives the route to measure; None while the gateway is not ready."""


@dataclass
class Running:
    """A gateway that answers."""

    gateway: Gateway
    child: Child
    route: Route
    start_seconds: float  # from its start to its first answer

    @property
    def pid(self) -> int:
        return self.child.pid


class NotStarted(RuntimeError):
    """A gateway did not start, or does not proxy."""


def answers(route: Route, content: bytes) -> bool:
    """Whether one request through the gateway gives 200 and the upstream's answer."""
    try:
        status, got = ask(route.port, "POST", route.path, content, route.headers)
    except OSError:
        return False
    return status == 200 and EXPECTED.encode() in got


def start(gateway: Gateway, upstream: Upstream, folder: Path, patience: float = 90.0) -> Running:
    """Starts a gateway on its core and waits for its first answer from the upstream."""
    folder.mkdir(parents=True, exist_ok=True)
    launch = gateway.launch(free_port(), upstream.port, folder)
    content = body(launch.route.model).encode()
    began = time.perf_counter()
    child = Child(launch.argv, cores()[0], OUT / "logs" / f"{gateway.name}.log", launch.env, folder)
    try:
        while (took := time.perf_counter() - began) < patience:
            if child.ended() is not None:
                break
            route = gateway.settled(launch.route, child.log)
            if route is not None and answers(route, content):
                took = time.perf_counter() - began
                return Running(gateway, child, route, took)
            time.sleep(0.002)
    except BaseException:
        child.stop(1)
        raise
    child.stop(1)
    raise NotStarted(f"no answer after {took:.1f} s: {child.last_words()}")


def check(running: Running, upstream: Upstream) -> None:
    """The gateway sends the client's question to the upstream and its answer back."""
    route = running.route
    marker = f"marker {time.time_ns()}"
    question = json.loads(body(route.model).replace("%n", "0").replace("%r", marker))
    content = json.dumps(question).encode()
    status, got = ask(route.port, "POST", route.path, content, route.headers)
    head, asked = upstream.last()
    answer = json.loads(got) if status == 200 else {}
    problems = []
    if status != 200 or answer["choices"][0]["message"]["content"][: len(EXPECTED)] != EXPECTED:
        problems.append(f"status {status}, answer {got[:200]!r}")
    elif (answer.get("usage") or {}).get("total_tokens") != 46:
        problems.append(f"usage {answer.get('usage')}")
    for name, wanted in (("model", "gpt-4o"), ("temperature", 0)):
        if asked.get(name) != wanted:
            problems.append(f"the upstream was asked with {name} {asked.get(name)!r}")
    if texts(asked["messages"]) != texts(question["messages"]):
        problems.append(f"the upstream was asked {asked['messages']!r}")
    if f"bearer {UPSTREAM_KEY}" not in head.lower():
        problems.append("the upstream's key was not sent")
    if problems:
        raise NotStarted("does not proxy: " + "; ".join(problems))


def texts(messages: list[dict[str, object]]) -> list[tuple[object, object]]:
    """Role and text of each message; text may be a list of parts."""
    plain: list[tuple[object, object]] = []
    for message in messages:
        content = message["content"]
        if isinstance(content, list):
            content = "".join(part["text"] for part in content)
        plain.append((message["role"], content))
    return plain
