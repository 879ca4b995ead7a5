"""``python -m bench.warming --data FOLDER``: what cache warming gains, and what it costs.

Four weeks are made from an hour of a trace (``workload`` states how synthetic they are), the first
two are learned from, the second two are counted, with and without warming. The learner, the planner
and the cache are those of the server, in simulated time. Writes bench/out/warming.json and .svg
(``--publish``: the chart to docs/images, too).
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from bench.warming import chart, policies, results, workload
from bench.warming.policies import Planned, RefreshAhead, TopN, oracle
from bench.warming.results import Run
from bench.warming.simulation import SPACE, TTL, Played, Policy, play
from bench.warming.workload import MIXED, ONCE, POPULAR, SCHEDULED, Data, Kind, Maker, read

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "bench" / "out"
DAYS = 28
BUDGETS = (0.1, 0.25, 0.5, 1.0, 2.0)
USUAL = 0.5  # for the other kinds of workload
KINDS = (MIXED, POPULAR, SCHEDULED, ONCE)
NANO = 1e9
_data: Data


def options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.warming", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the trace and QQP")
    parser.add_argument("--seeds", type=int, default=5, help="workloads of each kind (5)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--publish", action="store_true", help="the chart to docs/images, too")
    return parser.parse_args(argv)


def measure(task: tuple[Kind, int]) -> list[Run]:
    """Every policy and budget on one workload."""
    kind, seed = task
    requests = Maker(_data, kind, DAYS, seed).requests()
    none = play(requests, DAYS, None)
    runs = [_run(kind, seed, "none", 0.0, none, none)]
    for usd in BUDGETS if kind == MIXED else (USUAL,):  # (equal, not the same: it was sent)
        daily = round(usd * NANO)
        planned = Planned(daily)
        made: list[tuple[str, Policy]] = [
            ("planner", planned),
            ("refresh ahead", RefreshAhead(daily)),
            ("top 20", TopN(daily)),
        ]
        for name, policy in made:
            played = play(requests, DAYS, policy)
            account = planned.learner.account(SPACE) if policy is planned else None
            used = told = float("nan")
            if account is not None:
                used = account.used / max(1, account.used + account.wasted)
                told = account.saved / NANO / (DAYS / 2)
            runs.append(_run(kind, seed, name, usd, played, none, used, told))
        best = none.hit_rate + oracle(requests, DAYS, daily) / none.requests
        bound = Played(none.requests, round(best * none.requests))
        runs.append(_run(kind, seed, "oracle", usd, bound, none))
    return runs


def _run(
    kind: Kind,
    seed: int,
    policy: str,
    budget: float,
    played: Played,
    none: Played,
    used: float = float("nan"),
    told: float = float("nan"),
) -> Run:
    days = DAYS / 2
    known = float("nan") if policy == "oracle" else 1.0  # of which only the hits are known
    return Run(
        kind=kind.name,
        seed=seed,
        policy=policy,
        budget=budget,
        requests=played.requests,
        hit_rate=played.hit_rate,
        more_hits=played.hit_rate - none.hit_rate,
        saved=(none.paid - played.paid) / NANO / days * known,
        spent=played.spent / NANO / days * known,
        waiting=(none.waited - played.waited) / 60 / days * known,
        most_in_a_day=played.most_in_a_day / NANO,
        used=used,
        told=told,
    )


def facts(runs: list[Run], made: list[results.Line]) -> Iterator[str]:
    """What has to be true, and what should be known to read the figures."""
    over = [run for run in runs if run.policy != "oracle" and run.most_in_a_day > run.budget]
    yield f"days on which a policy passed its budget: {len(over)}"
    for one in made:
        if one.policy == "planner" and one.spent.mean > 0:
            price = 1 - one.saved.mean / one.spent.mean
            hour = -60 * one.net.mean / one.waiting.mean if one.waiting.mean > 0 else float("nan")
            yield (
                f"{one.kind}, {one.budget:g} USD/day: an hour of waiting saved costs "
                f"{hour:.2f} USD; even where warm calls are {price:.0%} cheaper; the account of "
                f"the learner says {one.told:.3f} USD/day saved, {one.saved.mean:.3f} were"
            )


def stated() -> dict[str, object]:
    """What was made up."""
    return {
        "days": DAYS,
        "cache_ttl_seconds": TTL,
        "kinds": [asdict(kind) for kind in KINDS],
        "peak_requests_an_hour": workload.PEAK,
        "night": workload.NIGHT,
        "weekend": workload.WEEKEND,
        "zipf": workload.ZIPF,
        "population": workload.POPULATION,
        "chains": workload.CHAINS,
        "usd_per_million_tokens": [workload.INPUT / 1e3, workload.OUTPUT / 1e3],
        "seconds_of_an_answer": [workload.FIRST_TOKEN, workload.EACH_TOKEN],
        "usd_an_hour_of_waiting_is_worth": policies.SECOND * 3600 / NANO,
        "least_chance": policies.LEAST,
        "budget_of_an_hour": f"1/{policies.HOURLY} of the day's",
    }


def main(argv: list[str]) -> int:
    global _data
    chosen, began = options(argv), time.monotonic()
    _data = read(chosen.data)
    tasks = [(kind, seed) for seed in range(chosen.seeds) for kind in KINDS]
    with multiprocessing.get_context("fork").Pool(chosen.processes) as pool:
        found = pool.map(measure, tasks, chunksize=1)
    runs = [run for one in found for run in one]
    made = sorted(
        results.lines(runs),
        key=lambda one: ([k.name for k in KINDS].index(one.kind), one.policy, one.budget),
    )
    said = list(facts(runs, made))
    OUT.mkdir(exist_ok=True)
    document = {
        "stated": stated(),
        "seeds": chosen.seeds,
        "seconds": round(time.monotonic() - began, 1),
        "facts": said,
        "lines": [asdict(one) for one in made],
        "runs": [asdict(run) for run in runs],
    }
    text = json.dumps(document, indent=1).replace("NaN", "null")
    (OUT / "warming.json").write_text(text + "\n")
    sweep = [one for one in made if one.kind == MIXED.name and one.policy != "none"]
    (none,) = (one for one in made if one.kind == MIXED.name and one.policy == "none")
    note = f"synthetic, {chosen.seeds} seeds, 95 % intervals; two weeks learned, two counted"
    for folder in [OUT, *([ROOT / "docs" / "images"] if chosen.publish else [])]:
        (folder / "warming.svg").write_text(chart.draw(sweep, none.hit_rate, note))
    print(results.table(made))
    print("\n" + "\n".join(said))
    print(f"\n{document['seconds']} s; bench/out/warming.json, bench/out/warming.svg")
    return 0 if said[0].endswith(": 0") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
