"""Whether hits are right: ``python -m bench.semantic --data FOLDER [--home ~/.modelyard]``.

On ``qqp_pairs.jsonl.gz``, labelled pairs of questions: how many of the duplicates a verifier finds
when so many of its hits have to be right, on a quarter that nothing was trained on; and on
``gptcache_mock_pairs.json`` GPTCache's own measure beside GPTCache, with the same vectors. The home
has all-MiniLM-L6-v2. ``--train`` trains what is not there on the other three quarters.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.semantic import chart, mock, training
from bench.semantic.held import OUT, QUESTIONS, held_out, told
from modelyard.inference.local.models import MINILM, folder_of, installed
from modelyard.inference.semantic.verifiers.loading import load
from modelyard.inference.semantic.verifiers.measured import curve_of, recall_at
from modelyard.inference.semantic.verifiers.model import LIGHT, names
from modelyard.inference.semantic.verifiers.pairs import texts_of
from modelyard.inference.semantic.verifiers.training import Part, part_of

ROOT = Path(__file__).resolve().parents[2]
PRECISIONS = (0.90, 0.95, 0.98, 0.99)
COSINE = "cosine of MiniLM"
AT_ONCE = 4  # candidates that a lookup shows the verifier

Confidence = Callable[[Part], list[float]]


def ways(home: Path, wanted: Sequence[str]) -> dict[str, Confidence]:
    """What is compared: cosine, the light verifier that ships, and those that were trained."""
    found: dict[str, Confidence] = {COSINE: lambda part: [pair.similarity for pair in part.pairs]}
    for name in (LIGHT, *wanted):
        if name not in names(home):
            say(f"{name}: skipped, it is not in {home}; --train makes it")
            continue
        verifier = load(name, home)

        def told_of(part: Part, ask: Any = verifier.confidence) -> list[float]:
            groups = [part.pairs[at : at + AT_ONCE] for at in range(0, len(part.pairs), AT_ONCE)]
            return [value for group in groups for value in ask(group)]

        found[name] = told_of
    return found


def measure(part: Part, way: Confidence) -> dict[str, Any]:
    """Recall at each precision, the curve, and the processor's time for a pair."""
    begun = time.process_time()
    values = np.array(way(part))
    milliseconds = (time.process_time() - begun) / len(part.pairs) * 1e3
    return {
        "recall": {str(one): recall_at(one, values, part.labels) for one in PRECISIONS},
        "average_precision": average_precision(values, part.labels),
        "milliseconds": milliseconds,
        "curve": curve_of(values, part.labels),
        "wrong": wrong(part, values),
    }


def average_precision(values: np.ndarray, labels: np.ndarray) -> float:
    """The mean of the precisions at each right pair."""
    right = labels[np.argsort(-values, kind="stable")]
    return float((right.cumsum() / np.arange(1, len(right) + 1))[right == 1].mean())


def wrong(part: Part, values: np.ndarray, count: int = 40) -> list[tuple[float, str, str]]:
    """The pairs labelled as different that it is surest of, to be read by eye."""
    order = [at for at in np.argsort(-values, kind="stable") if not part.labels[at]]
    return [(float(values[at]), part.pairs[at].asked, part.pairs[at].kept) for at in order[:count]]


def questions(data: Path, home: Path, wanted: Sequence[str]) -> dict[str, Any]:
    """The table of the labelled questions."""
    pairs = held_out(data / QUESTIONS)
    part = part_of(pairs, told(folder_of(home, MINILM), texts_of(pairs)))
    say(f"\n{len(pairs):,} pairs held out, {int(part.labels.sum()):,} of them duplicates")
    say(f"{'recall at a precision of':28}" + "".join(f"{one:8.0%}" for one in PRECISIONS))
    found = {}
    for name, way in ways(home, wanted).items():
        found[name] = one = measure(part, way)
        recalls = "".join(f"{one['recall'][str(wish)]:8.1%}" for wish in PRECISIONS)
        say(f"{name:28}{recalls}   {one['milliseconds']:.2f} ms a pair")
    for name, one in found.items():
        say(f"\n{name}: labelled as different, and it was surest of")
        for value, asked, kept in one["wrong"][:20]:
            say(f"  {value:.4f}  {asked} | {kept}")
    return found


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print, and write the numbers and the chart."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--home", type=Path, default=Path("~/.modelyard"))
    options.add_argument(
        "--model", action="append", default=[], help="a verifier of the home; repeatable"
    )
    options.add_argument("--train", action="store_true", help="train what is not there")
    options.add_argument("--publish", action="store_true", help="the chart to docs/images, too")
    given = options.parse_args()
    home = given.home.expanduser()
    if installed(home, MINILM) is None:
        sys.exit(f"all-MiniLM-L6-v2 is not in {home}: modelyard local install minilm")
    wanted = given.model or [training.LIGHT, training.CROSS]
    results: dict[str, Any] = {}
    if (given.data / QUESTIONS).exists():
        if given.train:
            training.train(given.data / QUESTIONS, home, wanted)
        results["questions"] = questions(given.data, home, wanted)
    else:
        say(f"the questions: skipped, {given.data} holds no {QUESTIONS}")
    if (given.data / mock.PAIRS).exists():
        results["gptcache"] = mock.compare(given.data, home, [LIGHT, *wanted], say)
    else:
        say(f"GPTCache's pairs: skipped, {given.data} holds no {mock.PAIRS}")
    OUT.mkdir(exist_ok=True)
    (OUT / "semantic.json").write_text(json.dumps(results, indent=1))
    if "questions" in results:
        for folder in [OUT, *([ROOT / "docs" / "images"] if given.publish else [])]:
            (folder / "semantic.svg").write_text(chart.draw(results["questions"]))


if __name__ == "__main__":
    main()
