"""``python -m bench.profiling``: where the server's time goes while it is under load.

Runs the server as the benchmark does, samples its Python stacks with py-spy (installed on demand
into bench/.envs), or its native ones with perf, and prints the functions with the most self time.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from bench.gateway.install import bounded
from bench.gateway.measures import sample
from bench.gateway.ours import Modelyard
from bench.gateway.process import cores
from bench.gateway.rig import CHUNKS, ENVS, OUT, Loading, Upstream, build
from bench.gateway.subject import Running, check, start


def py_spy() -> Path:
    """The py-spy command, installed if it is missing."""
    env = ENVS / "py-spy"
    command = env / "bin" / "py-spy"
    if not command.exists():
        print("installing py-spy …", flush=True)
        for argv in (
            [sys.executable, "-m", "venv", str(env)],
            [str(env / "bin" / "pip"), "install", "--quiet", "py-spy>=0.4"],
        ):
            if why := bounded(argv, 120):
                shutil.rmtree(env, ignore_errors=True)
                raise SystemExit(f"py-spy could not be installed: {why}")
    return command


def record(running: Running, chosen: argparse.Namespace) -> tuple[Path, str]:
    """Samples the server for the chosen time; gives the file written and what was said."""
    if chosen.perf:
        out = OUT / "perf.data"
        argv = ["perf", "record", "-F", str(chosen.rate), "-g", "-p", str(running.pid)]
        argv += ["-o", str(out), "--", "sleep", str(chosen.seconds)]
    else:
        out = OUT / "profile.collapsed"
        argv = [str(py_spy()), "record", "--pid", str(running.pid), "--threads"]
        argv += [
            "--format",
            "raw",
            "--duration",
            str(int(chosen.seconds)),
            "--rate",
            str(chosen.rate),
        ]
        argv += ["--output", str(out), *(["--native"] if chosen.native else [])]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    return out, ran.stderr if ran.returncode else ""


def hottest(collapsed: str, top: int) -> str:
    """Self and total share of each function of the main thread (``thread: name;a;b 12``)."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    others = 0
    for line in collapsed.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        if not thread.endswith("MainThread"):
            others += int(count)
            continue
        names = [frame.rpartition(":")[0] + ")" if ":" in frame else frame for frame in frames]
        own[(names or ["?"])[-1]] += int(count)
        total.update(dict.fromkeys(names, int(count)))
    everything = sum(own.values()) or 1
    lines = [f"{everything} samples of the main thread, {others} of others", " self  total"]
    for name, seen in own.most_common(top):
        lines.append(f"{seen / everything:6.1%} {total[name] / everything:6.1%}  {name}")
    lines.append("\n total")
    for name, seen in total.most_common(top):
        lines.append(f"{seen / everything:6.1%}  {name}")
    return "\n".join(lines)


def perf_report(data: Path, top: int) -> str:
    """The symbols with the most self time."""
    argv = ["perf", "report", "--stdio", "--no-children", "-g", "none", "-i", str(data)]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    lines = [line for line in ran.stdout.splitlines() if line.strip() and line[0] != "#"]
    return "\n".join(lines[:top]) or ran.stderr


def under_load(running: Running, upstream: Upstream, chosen: argparse.Namespace) -> dict[str, Any]:
    """Profiles while the load generator runs; returns what the load measured."""
    how = Loading(chosen.connections, chosen.seconds + 1, warmup=1.0, stream=chosen.stream)
    got: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: got.update(vars(sample(running, upstream, how))))
    thread.start()
    out, failed = record(running, chosen)
    thread.join()
    if failed:
        raise SystemExit(f"the profiler failed: {failed}")
    got["file"] = out
    return got


def options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.profiling", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--stream", action="store_true", help="paced streams, not plain answers")
    parser.add_argument("--native", action="store_true", help="py-spy: with frames of extensions")
    parser.add_argument("--perf", action="store_true", help="perf in place of py-spy")
    parser.add_argument("--rate", type=int, default=400, help="samples a second")
    parser.add_argument("--top", type=int, default=40)
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    chosen = options(argv)
    build()
    (OUT / "home").mkdir(exist_ok=True)
    os.sched_setaffinity(0, {cores()[1]})
    folder = Path(tempfile.mkdtemp(prefix="profile-", dir=OUT))
    upstream, gateway = Upstream(), Modelyard()
    try:
        running = start(gateway, upstream, folder)
        try:
            running.route = gateway.limited(running.route)
            check(running, upstream)
            got = under_load(running, upstream, chosen)
        finally:
            running.child.stop()
    finally:
        upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)
    each = f"{got['cpu_us'] / CHUNKS:.1f} µs CPU a chunk, " if chosen.stream else ""
    print(
        perf_report(got["file"], chosen.top)
        if chosen.perf
        else hottest(got["file"].read_text(), chosen.top)
    )
    print(
        f"\nwith the profiler on: {got['rps']:,.0f} req/s, p50 {got['p50_us']:,.0f} µs, "
        f"{each}{got['cpu_us']:.0f} µs CPU a request; {got['file'].relative_to(OUT.parents[1])}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
