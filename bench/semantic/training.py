"""Training the bench's verifiers as an operator would, on the part that may be trained on."""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.semantic.held import given
from modelyard.inference.semantic.verifiers import training
from modelyard.inference.semantic.verifiers.model import names
from modelyard.inference.semantic.verifiers.training import Job

LIGHT, CROSS = "questions-light", "questions"


def train(questions: Path, home: Path, wanted: Sequence[str]) -> None:
    """Those of LIGHT and CROSS that are wanted and not there."""
    pairs = given(questions)
    for name in wanted:
        if name in names(home):
            continue
        job = Job(home, name, pairs, questions.name)
        if name == LIGHT:
            training.train(job, tell)
        elif name == CROSS:
            # With torch, which the environment may lack.
            from modelyard.inference.semantic.verifiers.crosstraining import train_cross
            from modelyard.inference.semantic.verifiers.tuning import Plan

            train_cross(job, Plan(), None, tell)


def tell(step: str, done: float) -> None:
    """A line that is written over."""
    print(f"\r{step:50} {done:4.0%}", end="", file=sys.stderr, flush=True)
