"""What the semantic cache costs: ``python -m bench.semantic_cost --home HOME --data PAIRS``.

``HOME`` has all-MiniLM-L6-v2 installed (``modelyard local install minilm --precision int8``);
``PAIRS`` is a file of JSON lines with ``text_a`` and ``text_b``, gzipped.

Misses: two servers, one with and one without the semantic cache, before one upstream that answers
at once. One connection to each asks a question nobody asked before, in turns, so that whatever
else the machine does happens to both: the pairs' first questions, of which few are like another,
then their second ones, of which each is like one that is kept and has to be verified. Also told is
the processor time of the cache's process, which is the same on a machine that is busy, and the
machine's pace: what embedding the same question takes here, in turns with the others. Figures of
two days compare by what is above it.

Lookups: indexes of 10,000, 100,000 and 1,000,000 vectors. Real ones of the pairs' first questions
are made many by adding noise to them, so that each has a cosine of about 0.75 to the one it was
made of, as near questions do. What is looked up are the pairs' second questions. Recall is against
the exact nearest of the same vectors.
"""

import argparse
import asyncio
import gzip
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import faiss
import numpy as np

from modelyard.inference.local.engine import Embedder
from modelyard.inference.local.models import MINILM, folder_of, installed
from modelyard.inference.semantic.index import WIDTH, Index, Vectors

KEY = "the-admin-key-of-this-measurement"
ANSWER = json.dumps(
    {
        "id": "1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Yes."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
).encode()  # fmt: skip
CONFIG = """
port = {port}
log_level = "warning"
[providers.main]
base_url = "http://127.0.0.1:{upstream}/v1"
api_key = "x"
[cache.semantic]
mode = "{mode}"
wait = 5
"""
NOISE = 0.88  # the noise's length beside a vector's 1: a cosine of 0.75
NEAREST = 4
LOOKUPS = 300
WARM = 50  # questions that are asked before those that count


class Upstream:
    """Answers every request at once, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        Thread(target=self._loop.run_forever, daemon=True).start()
        serving = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        self.port: int = serving.result().sockets[0].getsockname()[1]

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
                await reader.readexactly(length)
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
                )


@contextmanager
def server(home: Path, upstream: int, mode: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server; its port."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = folder_of(folder / "home", MINILM)
        place.parent.mkdir(parents=True)
        place.symlink_to(folder_of(home, MINILM))
        port = free_port()
        config = CONFIG.format(port=port, upstream=upstream, mode=mode)
        (folder / "modelyard.toml").write_text(config)
        env = {**os.environ, "MODELYARD_HOME": str(folder / "home"), "MODELYARD_ADMIN_KEY": KEY}
        command = [sys.executable, "-m", "modelyard", "serve"]
        with subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.DEVNULL) as process:
            wait(port)
            yield port, process
            process.terminate()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait(port: int) -> None:
    """Until a server is ready."""
    while True:
        with suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)


class Pace:
    """How fast the machine is: questions embedded by this process, pauses in between."""

    def __init__(self, home: Path) -> None:
        self._embedder = Embedder(folder_of(home, MINILM), MINILM.longest)
        self._took: list[tuple[float, float]] = []

    def embed(self, text: str) -> None:
        """Embed one question, and note what it took."""
        begun, used = time.perf_counter(), time.thread_time()
        self._embedder.embed([ids for ids, _ in self._embedder.split([text])])
        self._took.append((time.perf_counter() - begun, time.thread_time() - used))

    def told(self) -> str:
        """What those since the last call took."""
        took, used = zip(*self._took, strict=True)
        self._took.clear()
        middle, mean = statistics.median(took) * 1e3, statistics.mean(used) * 1e3
        return f"{middle:.2f} ms at p50, {mean:.2f} ms of processor"


class Asker:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)

    def ask(self, text: str) -> tuple[float, str]:
        """Milliseconds, and how it was answered."""
        body = {
            "model": "main/m",
            "temperature": 0,
            "messages": [{"role": "user", "content": text}],
        }
        data = json.dumps(body)
        fields = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        begun = time.perf_counter()
        self._connection.request("POST", "/v1/chat/completions", data, fields)
        answer = self._connection.getresponse()
        answer.read()
        return (time.perf_counter() - begun) * 1e3, answer.headers["x-modelyard-cache"]

    def ready(self) -> bool:
        """Whether the semantic cache listens."""
        fields = {"authorization": f"Bearer {KEY}"}
        self._connection.request("GET", "/v1/ai-inference/status", headers=fields)
        told = json.loads(self._connection.getresponse().read())
        return bool(told["cache_stats"]["semantic"]["state"] != "down")


def processor_seconds(pid: int) -> float:
    """What a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def engine_of(pid: int) -> int:
    """The semantic cache's process of a server."""
    while True:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in task.read_text().split():
                if b"semantic.process" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        time.sleep(0.05)


def misses(home: Path, questions: list[str], alike: list[str]) -> None:
    """Print what a miss takes with and without: of questions, then of ones that are like those."""
    upstream, pace = Upstream(), Pace(home)
    with (
        server(home, upstream.port, "off") as (plain, _),
        server(home, upstream.port, "on") as (semantic, process),
    ):
        without, with_it = Asker(plain), Asker(semantic)
        engine = engine_of(process.pid)
        while not with_it.ready():
            time.sleep(0.1)
        for text in questions[:WARM]:
            without.ask(text), with_it.ask(text)
        for name, texts in (("questions", questions[WARM:]), ("that are like those", alike)):
            used = processor_seconds(engine)
            taken, sources = compared(without, with_it, texts, pace)
            used = processor_seconds(engine) - used
            print(f"{len(texts)} {name}, with the semantic cache: {sources}")
            told(taken)
            print(f"the process used {used / len(texts) * 1e3:.2f} ms of processor for each")
            print(f"embedding one alone, in turns with these: {pace.told()}")


def compared(
    without: Asker, with_it: Asker, texts: list[str], pace: Pace
) -> tuple[list[tuple[float, float]], dict[str, int]]:
    """What misses took without and with it, milliseconds; how many were answered how with it."""
    taken: list[tuple[float, float]] = []
    sources: dict[str, int] = {}
    for number, text in enumerate(texts):
        first, second = (without, with_it) if number % 2 else (with_it, without)
        one, other = first.ask(text), second.ask(text)
        off, on = (one, other) if number % 2 else (other, one)
        sources[on[1]] = sources.get(on[1], 0) + 1
        pace.embed(text)
        if on[1] == off[1] == "miss":
            taken.append((off[0], on[0]))
    return taken, sources


def told(taken: list[tuple[float, float]]) -> None:
    """Print what misses took without and with."""
    for share, name in ((0.1, "p10"), (0.5, "p50"), (0.9, "p90")):
        off, on = (sorted(column)[int(share * len(taken))] for column in zip(*taken, strict=True))
        print(f"{name}: without {off:6.2f} ms, with {on:6.2f} ms, more {on - off:5.2f} ms")
    print(f"the median of the differences: {statistics.median(b - a for a, b in taken):.2f} ms")


def embedded(home: Path, texts: list[str]) -> Vectors:
    """Their vectors."""
    embedder = Embedder(folder_of(home, MINILM), MINILM.longest)
    rows = [ids for ids, _ in embedder.split(texts)]
    return np.array([np.frombuffer(embedder.embed([row])[0], "<f4") for row in rows])


def many(real: Vectors, size: int) -> Vectors:
    """``size`` vectors: the real ones, and noisy copies of them."""
    draw = np.random.default_rng(1)
    made = np.empty((size, WIDTH), np.float32)
    made[: len(real)] = real[:size]
    for start in range(len(real), size, 50_000):
        stop = min(size, start + 50_000)
        noise = draw.standard_normal((stop - start, WIDTH), np.float32) * (NOISE / WIDTH**0.5)
        part = real[draw.integers(0, len(real), stop - start)] + noise
        made[start:stop] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return made


def exact(vectors: Vectors, asked: Vectors) -> list[set[int]]:
    """The nearest of each, by comparing with all."""
    best: list[list[tuple[float, int]]] = [[] for _ in asked]
    for start in range(0, len(vectors), 100_000):
        scores = asked @ vectors[start : start + 100_000].T
        for number, row in enumerate(scores):
            for place in np.argpartition(-row, NEAREST)[:NEAREST]:
                best[number].append((float(row[place]), start + int(place)))
    return [{place for _, place in sorted(one, reverse=True)[:NEAREST]} for one in best]


def lookups(real: Vectors, asked: Vectors, size: int) -> None:
    """Print what a lookup among so many takes, and how many of the nearest it finds."""
    vectors = many(real, size)
    begun, used = time.perf_counter(), time.process_time()
    index = Index(np.arange(size, dtype=np.int64), vectors)
    built, worked = time.perf_counter() - begun, time.process_time() - used
    wanted = exact(vectors, asked)
    took: list[float] = []
    found = first = 0
    for vector, nearest in zip(asked, wanted, strict=True):
        start = time.perf_counter()
        ids = index.nearest(vector, NEAREST + 8)
        took.append((time.perf_counter() - start) * 1e3)
        found += len(nearest & set(ids))
        first += bool(nearest & set(ids[:1]))
    took.sort()
    figures: dict[str, Any] = {
        "size": f"{size:,}",
        "kind": type(faiss.downcast_index(index._index)).__name__,
        "recall": f"{found / len(asked) / NEAREST:.3f}",
        "p10 ms": f"{took[len(took) // 10]:.2f}",
        "p50 ms": f"{took[len(took) // 2]:.2f}",
        "p99 ms": f"{took[int(len(took) * 0.99)]:.2f}",
        "built s": f"{built:.0f}",
        "processor s": f"{worked:.0f}",
    }
    print(", ".join(f"{name} {value}" for name, value in figures.items()), flush=True)


def main() -> None:
    """Read the options and measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--home", type=Path, required=True)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--questions", type=int, default=1000)
    options.add_argument("--real", type=int, default=10_000)
    options.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    given = options.parse_args()
    home = given.home.expanduser().resolve()
    what = installed(home, MINILM)
    print(f"{MINILM.name}, {what.precision if what else 'not installed'}")
    with gzip.open(given.data, "rt") as lines:
        pairs = [json.loads(line) for line in lines]
    if given.questions:
        asked, near = pairs[: given.questions + WARM], pairs[WARM : given.questions + WARM]
        misses(home, [pair["text_a"] for pair in asked], [pair["text_b"] for pair in near])
    if given.sizes:
        faiss.omp_set_num_threads(1)  # as in the process
        texts = list(dict.fromkeys(pair["text_a"] for pair in pairs))[: given.real]
        asked = [pair["text_b"] for pair in pairs[:LOOKUPS]]
        real, second = embedded(home, texts), embedded(home, asked)
        for size in given.sizes:
            lookups(real, second, size)


if __name__ == "__main__":
    main()
