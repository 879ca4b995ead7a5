"""What busy workers cost the gateway: ``python -m bench.operations``.

One server with its workers, the load generator (32 connections) and the scripted upstream share
two cores. Rounds alternate: no operation, then as many operations that burn a core each as the
worker takes. What counts is the ratio of the medians. Then how long it takes from a request to the
start of its work.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.gateway.ours import CONFIG, Modelyard
from bench.gateway.process import Child
from bench.gateway.rig import (
    OUT,
    ROOT,
    UPSTREAM_KEY,
    Loading,
    Route,
    Upstream,
    ask,
    body,
    build,
    free_port,
    load,
)
from bench.gateway.subject import answers, clean_environment

PLUGIN = ROOT / "tests" / "jobs" / "plugin"  # declares a method that burns


class Desk:
    """A server, and the operations that are asked of it."""

    def __init__(self, route: Route, bearer: list[str]) -> None:
        self.route = route
        self._bearer = bearer

    def call(self, method: str, path: str, content: Any = None) -> dict[str, Any]:
        """One request; the decoded answer."""
        sent = None if content is None else json.dumps(content).encode()
        status, got = ask(self.route.port, method, path, sent, self._bearer)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {got[:300]!r}")
        return dict(json.loads(got))

    def begin(self, work: str, **ask_: Any) -> str:
        """The name of a new operation."""
        return str(self.call("POST", f"/v1/works/{work}:misbehave", ask_)["name"])

    def state(self, name: str) -> dict[str, Any]:
        """An operation's metadata."""
        return dict(self.call("GET", f"/v1/{name}")["metadata"])

    def until(self, name: str, *states: str) -> dict[str, Any]:
        """It once it is in one of the states."""
        ends = time.monotonic() + 60
        while (now := self.state(name))["state"] not in states:
            if time.monotonic() > ends:
                raise RuntimeError(f"{name} stays {now}")
            time.sleep(0.02)
        return now

    @contextmanager
    def busy(self, work: str, count: int) -> Iterator[None]:
        """Within it so many operations burn."""
        names = [self.begin(work, how="burn", seconds=600) for _ in range(count)]
        for name in names:
            self.until(name, "running")
        time.sleep(0.5)  # their processes have begun
        try:
            yield
        finally:
            for name in names:
                self.call("POST", f"/v1/{name}:cancel", {})
            for name in names:
                self.until(name, "cancelled")


@contextmanager
def serving(folder: Path, nice: int) -> Iterator[Desk]:
    """A server on both cores, from this checkout."""
    upstream = Upstream()
    gateway = Modelyard()
    config = folder / "modelyard.toml"
    text = CONFIG.format(upstream=upstream.port, key=UPSTREAM_KEY)
    config.write_text(f"{text}\n[jobs]\nnice = {nice}\n")
    env = clean_environment(
        MODELYARD_HOME=str(folder / "home"),
        MODELYARD_ADMIN_KEY=gateway.admin_key,
        PYTHONPATH=os.pathsep.join((str(PLUGIN), str(ROOT / "src"))),
    )
    port = free_port()
    argv = [sys.executable, "-m", "modelyard", "serve", "--port", str(port)]
    child = Child([*argv, "--config", str(config)], None, OUT / "logs" / "operations.log", env)
    bearer = [f"Authorization: Bearer {gateway.admin_key}"]
    route = Route(port, headers=bearer)
    try:
        while not answers(route, body(route.model).encode()):
            if child.ended() is not None:
                raise SystemExit("the server ended: " + child.last_words())
            time.sleep(0.05)
        yield Desk(gateway.limited(route), bearer)
    finally:
        child.stop()
        upstream.stop()


def interference(desk: Desk, rounds: int, seconds: float, jobs: int) -> None:
    """Throughput and median latency without and with busy workers."""
    work = str(desk.call("POST", "/v1/works", {"title": "bench"})["id"])
    with desk.busy(work, jobs):
        pass  # the workers are there from now on
    found: dict[str, list[dict[str, Any]]] = {"idle": [], "busy": []}
    for number in range(rounds):
        for name in ("idle", "busy"):
            with desk.busy(work, jobs if name == "busy" else 0):
                got = load(desk.route, Loading(32, seconds=seconds, warmup=0.5))
            if got["errors"]:
                raise SystemExit(f"{got['errors']} errors: {got['said']}")
            found[name].append(got)
            p50 = got["latency"]["p50"]
            print(f"  {number + 1}/{rounds} {name}: {got['rps']:8,.0f} req/s  p50 {p50:,.0f} µs")
    rps = {name: statistics.median(one["rps"] for one in all_) for name, all_ in found.items()}
    p50s = {
        name: statistics.median(one["latency"]["p50"] for one in all_)
        for name, all_ in found.items()
    }
    print(
        f"{jobs} busy jobs: {rps['busy'] / rps['idle']:.0%} of the throughput "
        f"({rps['idle']:,.0f} to {rps['busy']:,.0f} req/s), p50 "
        f"{p50s['busy'] / p50s['idle'] - 1:+.0%} ({p50s['idle']:,.0f} to {p50s['busy']:,.0f} µs)"
    )


def latency(desk: Desk, times: int) -> None:
    """From a request to the start of its work, one after the other."""
    work = str(desk.call("POST", "/v1/works", {"title": "latency"})["id"])
    took = []
    for _ in range(times):
        name = desk.begin(work, how="ok")
        desk.until(name, "succeeded")
        done = desk.call("GET", f"/v1/{name}")
        created = datetime.fromisoformat(done["created_at"])
        began = datetime.fromisoformat(done["metadata"]["started_at"])
        ended = datetime.fromisoformat(done["metadata"]["finished_at"])
        took.append(((began - created).total_seconds(), (ended - began).total_seconds()))
    waited = sorted(one for one, _ in took)
    worked = statistics.median(one for _, one in took)
    print(
        f"from the request to its start: p50 {statistics.median(waited) * 1e3:.0f} ms, "
        f"worst of {times} {waited[-1] * 1e3:.0f} ms; an empty job then takes {worked * 1e3:.0f} ms"
    )


def main() -> None:
    """Read the options and measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=4.0, help="of one load")
    options.add_argument("--jobs", type=int, default=2, help="at a time: what a worker takes")
    options.add_argument("--nice", type=int, default=19)
    given = options.parse_args()
    build()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), given.nice) as desk:
        interference(desk, given.rounds, given.seconds, given.jobs)
        latency(desk, 20)


if __name__ == "__main__":
    main()
