"""What embeddings on this machine cost: ``python -m bench.local --home ~/.modelyard``.

Asks the process of all-MiniLM-L6-v2 as a worker of the server does, texts of about ten words one
per request, by so many clients that each wait for their answer. ``--engines 2`` gives each of two
workers a process of its own instead of one that they share.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from modelyard.inference.local.client import Engine
from modelyard.inference.local.models import MINILM, folder_of

SECONDS = 3.0
TEXT = "How do I reset my password when I have lost it? Number {}."


async def measure(engines: list[Engine], clients: int) -> tuple[float, float, float]:
    """Texts a second, and the median and 99th percentile of the milliseconds of one."""
    took: list[float] = []
    begun = time.perf_counter()

    async def ask(number: int) -> None:
        while time.perf_counter() - begun < SECONDS:
            start = time.perf_counter()
            await engines[number % len(engines)].embed([TEXT.format(len(took))], True)
            took.append((time.perf_counter() - start) * 1e3)

    await asyncio.gather(*(ask(number) for number in range(clients)))
    rate = len(took) / (time.perf_counter() - begun)
    return rate, statistics.median(took), sorted(took)[int(len(took) * 0.99)]


async def run(home: Path, count: int, folder: Path) -> None:
    """Print a line for each number of clients."""
    homes = [folder / str(number) for number in range(count)]
    for one in homes:
        place = folder_of(one, MINILM)
        place.parent.mkdir(parents=True)
        place.symlink_to(folder_of(home, MINILM))
    engines = [Engine(one, MINILM) for one in homes]
    start = time.perf_counter()
    for engine in engines:
        await engine.embed(["warm"], True)
    print(f"{count} process(es), first answers after {time.perf_counter() - start:.2f} s")
    print("clients  texts/s  p50 ms  p99 ms")
    for clients in (1, 8, 64):
        rate, median, worst = await measure(engines, clients)
        print(f"{clients:7} {rate:8.0f} {median:7.1f} {worst:7.1f}")
    for engine in engines:
        await engine.close()


def main() -> None:
    """Read the options and measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--home", type=Path, default=Path("~/.modelyard"))
    options.add_argument("--engines", type=int, default=1)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(given.home.expanduser().resolve(), given.engines, Path(folder)))


if __name__ == "__main__":
    main()
