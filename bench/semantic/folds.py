"""How sure the light verifier's figures are: ``python -m bench.semantic.folds --data FOLDER``.

At 99 % precision a recall stands on some dozen pairs. So each of four parts of the labelled
questions is held out in turn, as ``bench.semantic`` does with the last, a light verifier is trained
on the rest, and recall is told for each part with a bootstrap's 95 % interval, and as a mean.
Writes bench/out/semantic-folds.json.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.semantic.held import OUT, QUESTIONS, told
from modelyard.inference.local.models import MINILM, folder_of
from modelyard.inference.semantic.verifiers.features import reader
from modelyard.inference.semantic.verifiers.fitting import train_light
from modelyard.inference.semantic.verifiers.light import Light
from modelyard.inference.semantic.verifiers.measured import recall_at
from modelyard.inference.semantic.verifiers.pairs import Labelled, divide, read_pairs, texts_of
from modelyard.inference.semantic.verifiers.training import Job, Vectors, part_of, parts_of

PARTS = 4
PRECISIONS = (0.90, 0.95, 0.98, 0.99)
DRAWS = 1_000
Scores = NDArray[np.float64]


def held_scores(
    given: list[Labelled], held: list[Labelled], vectors: Vectors, minilm: Path
) -> tuple[Scores, Scores]:
    """The confidences and labels of a part, by a verifier that was trained on the others."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as home:
        parts = parts_of(Job(Path(home), "fold", given, QUESTIONS))
    fit, tuning, measuring = (part_of(part, vectors) for part in parts)
    texts = reader(minilm)
    model = train_light("fold", (fit, tuning, measuring), "", texts, lambda *_: None)
    part = part_of(held, vectors)
    return np.array(Light(model, texts).confidence(part.pairs)), part.labels


def interval(scores: Scores, labels: Scores, precision: float) -> tuple[float, float]:
    """In which 95 % of the recalls are, were other pairs drawn."""
    chance = np.random.default_rng(0)
    drawn = chance.integers(0, len(labels), (DRAWS, len(labels)))
    found = [recall_at(precision, scores[one], labels[one]) for one in drawn]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def main() -> None:
    """Train, measure, write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--home", type=Path, default=Path("~/.modelyard"))
    asked = options.parse_args()
    minilm = folder_of(asked.home.expanduser(), MINILM)
    pairs = read_pairs(asked.data / QUESTIONS)
    vectors = told(minilm, texts_of(pairs))
    parts = divide(pairs, [1 / PARTS] * PARTS, "bench")
    found = []
    for number, held in enumerate(parts):
        given = [pair for other in parts if other is not held for pair in other]
        scores, labels = held_scores(given, held, vectors, minilm)
        found.append(
            {
                str(one): [recall_at(one, scores, labels), *interval(scores, labels, one)]
                for one in PRECISIONS
            }
        )
        said = ", ".join(
            f"{one}: {low:.1%} ({a:.1%} to {b:.1%})" for one, (low, a, b) in found[-1].items()
        )
        print(f"part {number + 1}, {len(held):,} pairs: {said}", file=sys.stderr, flush=True)
    means = {str(one): float(np.mean([part[str(one)][0] for part in found])) for one in PRECISIONS}
    print("mean: " + ", ".join(f"{one}: {value:.1%}" for one, value in means.items()))
    OUT.mkdir(exist_ok=True)
    (OUT / "semantic-folds.json").write_text(json.dumps({"parts": found, "means": means}, indent=1))


if __name__ == "__main__":
    main()
