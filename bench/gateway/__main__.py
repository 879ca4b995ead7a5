"""``python -m bench.gateway``: measures the project beside other gateways on this machine."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.gateway import measures
from bench.gateway.chart import draw
from bench.gateway.install import PEERS, install
from bench.gateway.machine import facts
from bench.gateway.ours import Modelyard, compile_it
from bench.gateway.peers import Nginx
from bench.gateway.process import cores, end_as_interrupted, memory
from bench.gateway.results import Results, notes, overview, rows, side_by_side, verdicts
from bench.gateway.rig import OUT, Loading, Upstream, build
from bench.gateway.subject import Gateway, NotStarted, Running, check, start

MEASURES = ("throughput", "latency", "stream", "translated", "start", "memory")


def say(line: str) -> None:
    print(line, flush=True)


def options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    names = ",".join(PEERS)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement (3)")
    parser.add_argument("--only", action="append", choices=MEASURES, help="may be repeated")
    parser.add_argument("--peers", default=names, help=f"comma-separated; default {names}")
    parser.add_argument("--no-install", action="store_true", help="use what is installed")
    parser.add_argument("--install", metavar="PEERS", help="install these and exit")
    parser.add_argument("--install-seconds", type=float, default=240.0, help="for each peer (240)")
    parser.add_argument("--data", type=Path, help="accepted; this benchmark reads no data")
    parser.add_argument("--quick", action="store_true", help="one short round: a smoke test")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, min(chosen.seconds, 1.0)
    for name in (chosen.install or chosen.peers).split(","):
        if name and name not in PEERS:
            parser.error(f"unknown peer {name!r}; known are {names}")
    return chosen


@dataclass
class Field:
    """The gateways that run, and why the others do not."""

    running: list[Running]
    skipped: dict[str, str]
    facts: dict[str, dict[str, Any]]


def candidates(chosen: argparse.Namespace, skipped: dict[str, str]) -> list[Gateway]:
    """The project and nginx, and the peers that are or can be installed."""
    if why := compile_it():
        say(f"modelyard is measured as plain Python: it could not be compiled: {why}")
    found: list[Gateway] = [Modelyard(), Nginx()]
    for name in filter(None, chosen.peers.split(",")):
        peer = PEERS[name]
        why = peer.missing() if chosen.no_install else install(peer, chosen.install_seconds)
        if why:
            skipped[name] = why
        else:
            found.append(peer)
    return found


def enter(field: Field, gateway: Gateway, upstream: Upstream, folder: Path) -> None:
    """Starts one gateway, checks that it proxies and notes what it is."""
    if why := gateway.missing():
        field.skipped[gateway.name] = why
        return
    say(f"starting {gateway.name} {gateway.version()} …")
    try:
        running = start(gateway, upstream, folder / gateway.name)
    except NotStarted as error:
        field.skipped[gateway.name] = str(error)
        return
    try:
        if isinstance(gateway, Modelyard):
            running.route = gateway.limited(running.route)
        check(running, upstream)
    except (NotStarted, OSError, ValueError, KeyError) as error:
        running.child.stop()
        field.skipped[gateway.name] = str(error)
        return
    held = memory(running.pid)
    field.running.append(running)
    field.facts[gateway.name] = {
        "version": gateway.version(),
        "configuration": gateway.configuration,
        "start_seconds": round(running.start_seconds, 3),
        "idle_rss": held.rss,
        "idle_pss": held.pss,
    }


def side_by_side_measures(
    chosen: argparse.Namespace, wanted: set[str], upstream: Upstream, folder: Path
) -> tuple[Field, Results]:
    """Everything that compares gateways, all of them running, one under load at a time."""
    field, results = Field([], {}, {}), Results([], [], [])
    if not wanted & {"throughput", "latency", "stream", "translated"}:
        return field, results
    try:
        for gateway in candidates(chosen, field.skipped):
            enter(field, gateway, upstream, folder)
        for name, why in field.skipped.items():
            say(f"skipped {name}: {why}")
        half = max(1.0, chosen.seconds * 2 / 3)
        plans = {
            "throughput": (Loading(32, chosen.seconds, warmup=0.5), chosen.rounds),
            "latency": (Loading(1, half, warmup=0.3), chosen.rounds),
            "stream": (
                Loading(32, chosen.seconds + 1, warmup=1.0, stream=True),
                min(3, chosen.rounds),
            ),
        }
        for what, (how, rounds) in plans.items():
            if what in wanted:
                got = measures.interleaved(field.running, upstream, how, rounds, what, say)
                setattr(results, what, got)
        own = [one for one in field.running if isinstance(one.gateway, Modelyard)]
        if "translated" in wanted and own:
            how, rounds = plans["throughput"]
            results.translated = measures.translated(own[0], upstream, how, rounds, say)
    finally:
        for running in field.running:
            running.child.stop()
    return field, results


def own_measures(
    chosen: argparse.Namespace, wanted: set[str], upstream: Upstream, folder: Path, results: Results
) -> str | None:
    """Start and memory of the project alone; returns why there are none."""
    try:
        if "start" in wanted:
            times = 2 if chosen.quick else 5
            results.started = measures.starts(upstream, folder, times, say)
        if "memory" in wanted:
            sizes = (12_000, 20_000) if chosen.quick else (20_000, 200_000)
            results.growth = measures.growth(upstream, folder, *sizes, say)
    except NotStarted as error:
        say(f"skipped start and memory: {error}")
        return str(error)
    return None


def write(field: Field, results: Results, chosen: argparse.Namespace, seconds: float) -> bool:
    """Prints the tables, writes JSON and chart; returns whether nothing asked for was missed."""
    all_rows = rows(results)
    machine, by_name = facts(), overview(results, list(field.facts))
    document = {
        "machine": machine,
        "options": {k: str(v) for k, v in vars(chosen).items()},
        "seconds": round(seconds, 1),
        "gateways": {name: {**field.facts[name], **by_name[name]} for name in by_name},
        "skipped": field.skipped,
        "notes": notes(by_name),
        "start": asdict(results.started) if results.started else None,
        "memory": asdict(results.growth) if results.growth else None,
        "table": [{**asdict(row), "verdict": row.verdict} for row in all_rows],
        "rounds": {
            what: measures.as_json(getattr(results, what))
            for what in ("throughput", "latency", "stream", "translated")
        },
    }
    (OUT / "gateway.json").write_text(json.dumps(document, indent=1) + "\n")
    many = {n: m["throughput"]["rps"] for n, m in by_name.items() if "rps" in m["throughput"]}
    one = {n: m["latency"]["p50_us"] for n, m in by_name.items() if m["latency"].get("p50_us")}
    note = f"{machine['cpu']}, one core for each gateway, kernel {machine['kernel']}"
    (OUT / "gateway.svg").write_text(draw(many, one, note))
    say("\n" + side_by_side(by_name, field.facts) if by_name else "")
    say("\n" + verdicts(all_rows))
    for said in notes(by_name):
        say(f"\nNote: {said}")
    say(f"\n{seconds:.0f} s; bench/out/gateway.json, bench/out/gateway.svg")
    return "modelyard" not in field.skipped and not any(row.missed for row in all_rows)


def main(argv: list[str]) -> int:
    chosen = options(argv)
    end_as_interrupted()
    if chosen.install:
        reasons = {n: install(PEERS[n], chosen.install_seconds) for n in chosen.install.split(",")}
        for name, why in reasons.items():
            say(f"{name}: {why or 'installed, version ' + PEERS[name].version()}")
        return 1 if any(reasons.values()) else 0
    if chosen.data:
        say("--data is not used: this benchmark makes its requests itself.")
    build()
    (OUT / "home").mkdir(exist_ok=True)
    if cores()[0] == cores()[1]:
        say("One usable core only: gateway and load share it, and the figures show it.")
    os.sched_setaffinity(0, {cores()[1]})  # the polling for a first answer disturbs no gateway
    wanted, began = set(chosen.only or MEASURES), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=OUT))
    upstream = Upstream()
    try:
        field, results = side_by_side_measures(chosen, wanted, upstream, folder)
        if why := own_measures(chosen, wanted, upstream, folder, results):
            field.skipped["modelyard"] = why
    finally:
        upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if write(field, results, chosen, time.monotonic() - began) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
