"""Writes the light verifier that ships: ``python -m bench.semantic.shipped --home ~/.modelyard``.

Its features are rules; what each weighs is fitted on pairs made of templates (``written.py``), each
in the direction that it must have, so that no accident of the templates can turn one round. With
``--data`` its curve is measured on the held-out part of the labelled questions there. Nothing is
learned from those.
"""

import argparse
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.semantic.held import QUESTIONS, held_out, told
from bench.semantic.written import written
from modelyard.inference.local.models import MINILM, folder_of
from modelyard.inference.semantic.verifiers.features import NAMES, features, reader
from modelyard.inference.semantic.verifiers.light import VECTORS, WORDS, Light, linear
from modelyard.inference.semantic.verifiers.measured import calibrate, curve_of
from modelyard.inference.semantic.verifiers.model import LIGHT, Linear, Model
from modelyard.inference.semantic.verifiers.pairs import texts_of
from modelyard.inference.semantic.verifiers.training import Part, part_of

PAIRS = 4_000
FILE = Path(__file__).parents[2] / "src/modelyard/inference/semantic/verifiers/light.json"
MADE_OF = (
    "rules and features; their weights fitted on {:,} pairs made of templates for it; the curve "
    "measured on {:,} labelled questions, of which nothing was learned"
)
# What each feature tells by rule over its range (above 0: the same; below: something else), and
# between which values it counts. Fitting moves a weight away from its rule, never over zero.
RULES = {
    "cosine": (4.0, 0.5, 1.0), "shared_weight": (1.5, 0.0, 1.0), "held_least": (1.5, 0.0, 1.0),
    "pairs_shared": (1.0, 0.0, 1.0), "letters": (1.0, 0.0, 1.0), "longest": (0.5, 0.0, 1.0),
    "words_ratio": (0.5, 0.3, 1.0), "empty_shared": (0.5, 0.0, 1.0), "near_mean": (1.0, 0.0, 1.0),
    "unshared_least": (-1.5, 0.0, 3.0), "unshared_most": (-1.5, 0.0, 4.0),
    "rarest_least": (-1.0, 0.0, 1.2), "rarest_most": (-1.0, 0.0, 1.2),
    "left_most": (-1.0, 0.0, 5.0), "near_worst": (-1.0, 0.0, 5.0), "moved": (-1.0, 0.0, 1.0),
    "numbers_differ": (-4.0, 0.0, 1.0), "numbers_one_side": (-2.0, 0.0, 1.0),
    "units_differ": (-2.0, 0.0, 1.0), "names_differ": (-2.0, 0.0, 1.0),
    "names_one_side": (-1.0, 0.0, 1.0), "question_differs": (-1.5, 0.0, 1.0),
    "negations_differ": (-2.0, 0.0, 1.0), "opposed": (-3.0, 0.0, 2.0),
    "symbols_differ": (-1.0, 0.0, 3.0), "person_differs": (-1.0, 0.0, 2.0),
    "modal_differs": (-1.0, 0.0, 2.0), "sum_off": (-2.0, 2.0, 16.0),
    "difference_1": (-1.0, 0.0, 0.3),
}  # fmt: skip
STEPS, RIDGE = 1_000, 100.0


def fitted(rows: NDArray[np.float32], labels: NDArray[np.float64]) -> Linear:
    """A logistic regression that stays near RULES, in their directions."""
    columns = [NAMES.index(name) for name in RULES]
    rules, low, high = (np.array(part) for part in zip(*RULES.values(), strict=True))
    scaled = (np.clip(rows[:, columns], low, high) - low) / (high - low)
    weights, first, second = np.zeros((3, len(columns) + 1))
    weights[:-1] = rules
    for step in range(1, STEPS + 1):
        share = 1 / (1 + np.exp(-(scaled @ weights[:-1] + weights[-1])))
        slope = np.append(
            scaled.T @ (share - labels) + RIDGE * (weights[:-1] - rules), (share - labels).sum()
        )
        first += 0.1 * (slope - first)
        second += 0.001 * (slope**2 - second)
        weights -= 0.05 * (1 - step / STEPS) * first / (np.sqrt(second) + 1e-8)
        weights[:-1] = np.sign(rules) * np.maximum(np.sign(rules) * weights[:-1], 0)
    factors = weights[:-1] / (high - low)
    offset = float(weights[-1] - factors @ low)
    return Linear(
        {
            name: (round(float(factor), 4), *RULES[name][1:])
            for name, factor in zip(RULES, factors, strict=True)
            if abs(factor) > 1e-4
        },
        round(offset, 4),
    )


def made(fit: Part, tuning: Part, minilm: Path) -> Model:
    """The verifier without its curve."""
    texts = reader(minilm)
    names = [*NAMES, WORDS, VECTORS]
    weights = fitted(features(fit.pairs, texts), fit.labels)
    rows = np.pad(features(tuning.pairs, texts), ((0, 0), (0, 2)))
    return Model(
        name=LIGHT,
        kind="light",
        made_of=MADE_OF,
        pairs=len(fit.pairs),
        features=names,
        linear=weights,
        calibration=calibrate(linear(weights, names)(rows), tuning.labels),
    )


def main() -> None:
    """Make it, measure it, write it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--home", type=Path, default=Path("~/.modelyard"))
    options.add_argument("--data", type=Path, required=True)
    given = options.parse_args()
    minilm = folder_of(given.home.expanduser(), MINILM)
    parts = written(PAIRS, 1), written(PAIRS // 4, 2)
    vectors = told(minilm, texts_of([pair for part in parts for pair in part]))
    model = made(*(part_of(part, vectors) for part in parts), minilm)
    held = held_out(given.data / QUESTIONS)
    part = part_of(held, told(minilm, texts_of(held)))
    found = np.array(Light(model, reader(minilm)).confidence(part.pairs))
    model = msgspec.structs.replace(
        model,
        curve=curve_of(found, part.labels),
        held_out=len(held),
        duplicates=int(part.labels.sum()),
        made_of=MADE_OF.format(model.pairs, len(held)),
    )
    lines = msgspec.json.format(msgspec.json.encode(model), indent=0)
    FILE.write_bytes(lines + b"\n")
    print(model.linear, *model.curve[-40::4], sep="\n")


if __name__ == "__main__":
    main()
