"""``python -m bench.registry``: a declared resource beside MLflow's registered models."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.gateway.install import install
from bench.gateway.machine import facts
from bench.gateway.process import cores, end_as_interrupted, memory
from bench.gateway.rig import OUT, build
from bench.gateway.subject import NotStarted
from bench.registry import results
from bench.registry.chart import draw
from bench.registry.measures import Sample, interleaved
from bench.registry.mlflow import MLflow
from bench.registry.ours import Modelyard
from bench.registry.postgres import PostgreSQL
from bench.registry.requests import OPERATIONS, READS, WRITES, Size
from bench.registry.subject import Registry, Running, check, check_writes, fill, start

DATABASES = ("sqlite", "postgresql", "postgresql-second")


_WHICH = (
    "may be repeated (sqlite and postgresql); postgresql-second: both registries' changes reach "
    "PostgreSQL's disk a little later (synchronous_commit = off for both databases)"
)


def say(line: str) -> None:
    print(line, flush=True)


def options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.registry", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (2)")
    parser.add_argument("--models", type=int, default=1000, help="of the data set (1000)")
    parser.add_argument("--versions", type=int, default=5, help="of each model (5)")
    parser.add_argument("--only", action="append", choices=OPERATIONS, help="may be repeated")
    parser.add_argument("--database", action="append", choices=DATABASES, help=_WHICH)
    parser.add_argument("--mlflow-workers", type=int, default=1, help="its processes (1)")
    parser.add_argument("--no-peer", action="store_true", help="measure modelyard alone")
    parser.add_argument("--no-install", action="store_true", help="use what is installed")
    parser.add_argument("--install-seconds", type=float, default=400.0, help="for MLflow (400)")
    parser.add_argument("--quick", action="store_true", help="one short round: a smoke test")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, min(chosen.seconds, 1.0)
        chosen.models = min(chosen.models, 100)
    if chosen.models < 20 or chosen.versions < 5:
        parser.error("a data set has at least 20 models of at least 5 versions")
    chosen.only = [one for one in OPERATIONS if one in (chosen.only or OPERATIONS)]
    return chosen


@dataclass
class Outcome:
    """Everything of one run."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    registries: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def skip(self, what: str, why: str) -> None:
        self.skipped[what] = why
        say(f"skipped {what}: {why}")


def candidates(chosen: argparse.Namespace, outcome: Outcome) -> list[Registry]:
    """The project, and MLflow if it is or can be installed."""
    ours, peer = Modelyard(), MLflow(chosen.mlflow_workers)
    ours.install()
    if ours.plain:
        say(f"modelyard is measured as plain Python: it could not be compiled: {ours.plain}")
    found: list[Registry] = []
    if why := ours.missing():
        outcome.skip(ours.name, why)
    else:
        found.append(ours)
    if chosen.no_peer:
        return found
    if why := peer.missing() if chosen.no_install else install(peer, chosen.install_seconds):
        outcome.skip(peer.name, why)
    else:
        found.append(peer)
    return found


def enter(
    registry: Registry,
    database: str,
    server: PostgreSQL | None,
    folder: Path,
    size: Size,
    outcome: Outcome,
) -> Running | None:
    """Start one registry, fill it and check what it answers."""
    say(f"starting {registry.name} {registry.version()} on {database} …")
    later = database.endswith("-second")
    url = server.database(registry.name, later=later) if server else ""
    try:
        running = start(registry, url, folder / f"{database}-{registry.name}")
    except NotStarted as error:
        outcome.skip(f"{registry.name} on {database}", str(error))
        return None
    try:
        took = fill(running, size)
        say(f"  {size.models:,} models of {size.versions} versions in {took:.1f} s")
        if server:
            server.analyze(registry.name)
        check(running, size)
    except (NotStarted, OSError, ValueError, KeyError) as error:
        running.child.stop()
        outcome.skip(f"{registry.name} on {database}", f"{type(error).__name__}: {error}")
        return None
    about = outcome.registries.setdefault(registry.name, {"version": registry.version()})
    about["configuration"] = registry.configuration
    about[database] = {"fill_seconds": round(took, 2), "rss": memory(running.child.pid).rss}
    return running


def measured(
    registries: Sequence[Registry],
    database: str,
    server: PostgreSQL | None,
    chosen: argparse.Namespace,
    folder: Path,
    outcome: Outcome,
) -> list[Sample]:
    """Everything on one database: both run, one is under load at a time."""
    size = Size(chosen.models, chosen.versions)
    runnings: list[Running] = []
    samples: list[Sample] = []

    def of(operations: Sequence[str]) -> None:
        for operation in [one for one in operations if one in chosen.only]:
            samples.extend(
                interleaved(runnings, size, operation, chosen.rounds, chosen.seconds, say)
            )

    try:
        entered = (enter(one, database, server, folder, size, outcome) for one in registries)
        runnings.extend(one for one in entered if one)  # one by one: what runs is stopped below
        of(READS)
        for running in list(runnings):
            try:
                check_writes(running, size)
            except (NotStarted, OSError, ValueError, KeyError) as error:
                outcome.skip(f"changes of {running.name} on {database}", str(error))
                runnings.remove(running)
                running.child.stop()
        of(WRITES)
    finally:
        for running in runnings:
            running.child.stop()
    return samples


def run(chosen: argparse.Namespace, folder: Path, outcome: Outcome) -> None:
    """The databases, one after the other."""
    registries = candidates(chosen, outcome)
    for database in chosen.database or DATABASES[:2]:
        server: PostgreSQL | None = None
        try:
            if database != "sqlite":
                server = PostgreSQL()
                outcome.registries["postgresql"] = {"version": server.version}
            got = measured(registries, database, server, chosen, folder, outcome)
            outcome.samples[database] = got
        except (ImportError, OSError, RuntimeError) as error:
            outcome.skip(database, str(error))
        finally:
            if server is not None:
                server.stop()


def write(outcome: Outcome, chosen: argparse.Namespace, seconds: float) -> bool:
    """Print the tables, write JSON and chart; whether nothing asked for was missed."""
    made = [line for db, got in outcome.samples.items() for line in results.lines(db, got)]
    gets, said, machine = results.gets(made), results.notes(made), facts()
    document = {
        "machine": machine,
        "options": {k: str(v) for k, v in vars(chosen).items()},
        "seconds": round(seconds, 1),
        "registries": outcome.registries,
        "skipped": outcome.skipped,
        "notes": said,
        "table": [{**asdict(line), "verdict": line.verdict} for line in made],
        "get": [{**asdict(one), "verdict": one.verdict} for one in gets],
        "samples": {db: [asdict(one) for one in got] for db, got in outcome.samples.items()},
    }
    (OUT / "registry.json").write_text(json.dumps(document, indent=1) + "\n")
    note = f"{machine['cpu']}, one core for each server, kernel {machine['kernel']}"
    (OUT / "registry.svg").write_text(draw(made, note))
    say("\n" + results.table(made))
    for one in gets:
        say(
            f"\np99 of a get at 32 connections on {one.database}: {one.p99_ms} ms, "
            f"at most {results.GET_MS:g} is asked for: {one.verdict}"
        )
    for line in said:
        say(f"\nNote: {line}")
    say(f"\n{seconds:.0f} s; bench/out/registry.json, bench/out/registry.svg")
    verdicts = [*(line.verdict for line in made), *(one.verdict for one in gets)]
    missed = {"MISSED", "FAILED"} & set(verdicts)
    return not missed and not any("modelyard" in what for what in outcome.skipped)


def main(argv: list[str]) -> int:
    chosen = options(argv)
    end_as_interrupted()
    build()
    (OUT / "home").mkdir(exist_ok=True)
    if cores()[0] == cores()[1]:
        say("One usable core only: server and load share it, and the figures show it.")
    os.sched_setaffinity(0, {cores()[1]})  # this process and PostgreSQL are on the load's core
    folder, began = Path(tempfile.mkdtemp(prefix="registry-", dir=OUT)), time.monotonic()
    outcome = Outcome()
    try:
        run(chosen, folder, outcome)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if write(outcome, chosen, time.monotonic() - began) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
