"""GPTCache's own measure: each pair's first text is kept, then each second one is asked.

A hit is right when it gives the text's own partner. GPTCache runs in an environment of its own,
installed on demand; both get the same vectors, so that no embedding is in the times.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.gateway.install import bounded
from bench.gateway.rig import ENVS
from bench.semantic.held import told
from modelyard.inference.local.models import MINILM, folder_of
from modelyard.inference.semantic.verdict import Pair
from modelyard.inference.semantic.verifiers.loading import load
from modelyard.inference.semantic.verifiers.model import names

PAIRS = "gptcache_mock_pairs.json"
REQUIREMENTS = ("gptcache==0.1.44", "faiss-cpu", "sqlalchemy<2.1", "numpy")
PEER = Path(__file__).with_name("gptcache_peer.py")
CANDIDATES = 4
LEAST = 0.7  # cosine, below which none is looked at
SECONDS = 600.0

Say = Callable[[str], None]


def compare(data: Path, home: Path, wanted: Sequence[str], say: Say) -> dict[str, Any]:
    """Right and wrong hits and misses, and the milliseconds of a question."""
    pairs = json.loads((data / PAIRS).read_text())
    texts = list(dict.fromkeys(pair[side] for pair in pairs for side in ("origin", "similar")))
    vectors = told(folder_of(home, MINILM), texts)
    say(f"\nGPTCache's {len(pairs):,} pairs           right  wrong  missed   ms a question")
    found = peer(pairs, vectors, say)
    for name in wanted:
        if name in names(home):
            found |= ours(pairs, vectors, load(name, home))
    for name, one in found.items():
        say(
            f"{name:32} {one['right']:6} {one['wrong']:6} {one['missed']:7} "
            f"{one['milliseconds']:10.2f}"
        )
    return found


def ours(pairs: list[dict[str, str]], vectors: Any, verifier: Any) -> dict[str, Any]:
    """At the thresholds that the verifier's curve gives for some precisions."""
    kept = np.array([vectors[pair["origin"]] for pair in pairs])
    best: list[tuple[float, bool]] = []
    begun = time.process_time()
    for number, pair in enumerate(pairs):
        asked = vectors[pair["similar"]]
        cosines = kept @ asked
        near = [int(at) for at in np.argsort(-cosines)[:CANDIDATES] if cosines[at] >= LEAST]
        found = verifier.confidence(
            [
                Pair(pair["similar"], pairs[at]["origin"], asked, kept[at], float(cosines[at]))
                for at in near
            ]
        )
        best.append(max(((value, at == number) for value, at in zip(found, near, strict=True)),
                        default=(0.0, False)))  # fmt: skip
    milliseconds = (time.process_time() - begun) / len(pairs) * 1e3
    rows = {}
    for name, threshold in thresholds(verifier.curve).items():
        hits = [right for value, right in best if value >= threshold]
        rows[f"{verifier.name}, {name}"] = {
            "right": sum(hits),
            "wrong": len(hits) - sum(hits),
            "missed": len(best) - len(hits),
            "milliseconds": milliseconds,
        }
    return rows


def thresholds(curve: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    """The least confidence by which so many hits were right on labelled pairs."""
    found = {"confidence 0.5": 0.5}
    for wanted in (0.90, 0.95):
        point = next((point for point in curve if point[1] >= wanted), None)
        if point is not None:
            found[f"precision {wanted:.0%}"] = point[0]
    return found


def peer(pairs: list[dict[str, str]], vectors: Any, say: Say) -> dict[str, Any]:
    """GPTCache at several of its thresholds; nothing where it cannot be installed."""
    env = ENVS / "gptcache"
    python = env / "bin" / "python"
    if not python.exists():
        why = bounded([sys.executable, "-m", "venv", str(env)], SECONDS) or bounded(
            [str(env / "bin" / "pip"), "install", "--quiet", *REQUIREMENTS], SECONDS
        )
        if why is not None:
            say(f"GPTCache: skipped, {why}")
            return {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        texts = list(vectors)
        (place / "pairs.json").write_text(json.dumps({"pairs": pairs, "texts": texts}))
        np.save(place / "vectors.npy", np.array([vectors[text] for text in texts]))
        done = subprocess.run(
            [str(python), "-P", str(PEER), folder],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            cwd=folder,
        )
    if done.returncode:
        say(f"GPTCache: skipped, it ended with {done.stderr.strip()[-300:]}")
        return {}
    found: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return found
