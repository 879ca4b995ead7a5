"""Fine-tuning MiniLM to a cross-encoder on labelled pairs. Needs the extra ``train``.

A run is written to a file every few minutes and goes on from it. What a run does follows from its
pairs and its options alone, so that one that went on ends where another would have.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from modelyard.inference.local.graph import read_weights
from modelyard.inference.semantic.verifiers.network import HEAD, Batch, Encoder, begin
from modelyard.inference.semantic.verifiers.pairs import Labelled
from modelyard.inference.semantic.verifiers.tokens import LONGEST, Tokens, batch

_WARM = 0.06  # share of the steps in which the rate rises
_HEAD = 8.0  # times the rate, for what is not trained yet
_DECAY = 0.01
_POOL = 40  # batches whose rows are sorted by length
_SAVE = 60.0  # seconds between checkpoints
_AVERAGED = 4  # steps between two additions to the weights' moving average
_FRESH = 0.01  # what each of them counts in it
_SCORED = 128  # pairs scored together
_TRIM, _TOP_PAD = -1, -2  # of glibc's mallopt


class Plan(NamedTuple):
    """How it is trained."""

    epochs: int = 3
    batch: int = 48
    rate: float = 1.2e-4
    dropout: float = 0.1
    doubt: float = 0.03  # taken from each label: some are wrong
    seed: int = 0
    threads: int = 0  # 0: as many as torch takes


class Row(NamedTuple):
    """A labelled pair as tokens."""

    one: list[int]
    other: list[int]
    label: float


class Progress(NamedTuple):
    """Where a run is."""

    step: int
    steps: int
    loss: float  # of the training pairs, lately
    held: float | None  # of the tuning pairs, after the last epoch


Tell = Callable[[Progress], None]


def rows_of(pairs: Sequence[Labelled], tokens: Tokens) -> list[Row]:
    """Those that can be read whole."""
    ones = tokens.split([pair.text_a for pair in pairs])
    others = tokens.split([pair.text_b for pair in pairs])
    return [
        Row(one, other, float(pair.label))
        for one, other, pair in zip(ones, others, pairs, strict=True)
        if max(len(one), len(other)) <= LONGEST
    ]


class Run:
    """A training run."""

    def __init__(
        self, fit: list[Row], tuning: list[Row], weights: Path, kept: Path, plan: Plan
    ) -> None:
        self._fit, self._tuning, self._plan, self._kept = fit, tuning, plan, kept
        _keep_memory()
        if plan.threads:
            torch.set_num_threads(plan.threads)
        torch.manual_seed(plan.seed)
        self._weights = begin(read_weights(weights))
        self._optimizer = self._optimizing()
        self._means = {name: value.detach().clone() for name, value in self._learning()}
        self._step = 0
        self._held: float | None = None
        self._best: tuple[float, dict[str, torch.Tensor]] | None = None
        self._sign = _signature(fit, plan)
        self._lossy = 0.7

    @property
    def _epoch_steps(self) -> int:
        return math.ceil(len(self._fit) / self._plan.batch)

    def _optimizing(self) -> torch.optim.AdamW:
        groups = [
            {
                "params": [value],
                "top": _HEAD if name.startswith(HEAD) else 1.0,
                "weight_decay": _DECAY if value.dim() > 1 else 0.0,
            }
            for name, value in self._learning()
        ]
        return torch.optim.AdamW(groups, self._plan.rate, betas=(0.9, 0.98), fused=True)

    def _learning(self) -> list[tuple[str, torch.Tensor]]:
        return [item for item in self._weights.items() if item[1].requires_grad]

    def train(self, tell: Tell) -> None:
        """Train to the end; of each epoch's averaged weights, the best are kept.

        What is interrupted writes its checkpoint before it ends.
        """
        self._resume()
        try:
            while self._step < self._epoch_steps * self._plan.epochs:
                self._epoch(tell)
        except KeyboardInterrupt:
            self._save()
            raise
        self._save()
        if self._best is not None:
            self._take_over(self._best[1])

    def _epoch(self, tell: Tell) -> None:
        """The rest of an epoch."""
        number, steps = divmod(self._step, self._epoch_steps)
        saved = monotonic()
        encoder = Encoder(self._weights, self._plan.dropout)
        for rows in list(_batches(self._fit, self._plan, number))[steps:]:
            torch.manual_seed(self._plan.seed + self._step)  # of dropout, whenever it goes on
            self._lossy += 0.02 * (self._learn(encoder, rows) - self._lossy)
            self._step += 1
            tell(
                Progress(self._step, self._epoch_steps * self._plan.epochs, self._lossy, self._held)
            )
            if monotonic() - saved > _SAVE:
                self._save()
                saved = monotonic()
        self._judge()

    def _judge(self) -> None:
        """Score the tuning pairs; keep the averaged weights if they tell them apart better."""
        scores = score(Encoder(self._weights | self._means, 0.0), self._tuning)
        labels = np.array([row.label for row in self._tuning])
        self._held = float(np.logaddexp(0, np.where(labels == 1, -scores, scores)).mean())
        order = np.argsort(-scores)
        ranks = np.cumsum(labels[order]) / np.arange(1, len(order) + 1)
        value = float(ranks[labels[order] == 1].mean())  # average precision
        if self._best is None or value > self._best[0]:
            self._best = value, {name: one.clone() for name, one in self._means.items()}

    def _learn(self, encoder: Encoder, rows: Sequence[Row]) -> float:
        total = self._epoch_steps * self._plan.epochs
        pace = min((self._step + 1) / (_WARM * total), (total - self._step) / (total * (1 - _WARM)))
        for group in self._optimizer.param_groups:
            group["lr"] = self._plan.rate * group["top"] * pace
        doubt = self._plan.doubt
        goal = torch.tensor([row.label * (1 - 2 * doubt) + doubt for row in rows])
        logits = _logits(encoder, [(row.one, row.other) for row in rows])
        loss = functional.binary_cross_entropy_with_logits(logits, goal)
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([value for _, value in self._learning()], 1.0)
        self._optimizer.step()
        if self._step % _AVERAGED == 0:
            self._average()
        return float(loss.item())

    def _average(self) -> None:
        fresh = max(_FRESH, 1 / (1 + self._step // _AVERAGED))
        own = [value.detach() for _, value in self._learning()]
        torch._foreach_lerp_(list(self._means.values()), own, fresh)

    def _save(self) -> None:
        state = {
            "sign": self._sign, "step": self._step, "held": self._held, "best": self._best,
            "weights": dict(self._learning()), "optimizer": self._optimizer.state_dict(),
            "means": self._means,
        }  # fmt: skip
        temporary = self._kept.with_suffix(".new")
        torch.save(state, temporary)
        temporary.replace(self._kept)

    def _resume(self) -> None:
        if not self._kept.exists():
            return
        state = torch.load(self._kept, weights_only=True)
        if state["sign"] != self._sign:  # of other pairs or options
            return
        self._take_over(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._means = state["means"]
        self._step, self._held, self._best = state["step"], state["held"], state["best"]

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """As the graph wants them."""
        return {name: value.detach().numpy() for name, value in self._weights.items()}

    def _take_over(self, found: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, value in found.items():
                self._weights[name].copy_(value)


def _logits(encoder: Encoder, pairs: Sequence[tuple[list[int], list[int]]]) -> torch.Tensor:
    """In bfloat16, which some processors compute faster."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = encoder.logits(Batch(*map(torch.from_numpy, batch(pairs))))
    return logits.float()


def score(encoder: Encoder, rows: Sequence[Row]) -> NDArray[np.float64]:
    """The logits of rows."""
    found = np.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda at: _length(rows[at]))
    with torch.inference_mode():
        for start in range(0, len(order), _SCORED):
            part = order[start : start + _SCORED]
            found[part] = _logits(encoder, [(rows[at].one, rows[at].other) for at in part])
    return found


def _batches(rows: Sequence[Row], plan: Plan, epoch: int) -> Iterator[list[Row]]:
    """An epoch's batches: rows of like length together."""
    chance = random.Random(plan.seed * 1000 + epoch)  # noqa: S311 (a shuffle)
    mixed = list(rows)
    chance.shuffle(mixed)
    size, found = plan.batch, []
    for start in range(0, len(mixed), size * _POOL):
        pool = sorted(mixed[start : start + size * _POOL], key=_length)
        found += [pool[at : at + size] for at in range(0, len(pool), size)]
    chance.shuffle(found)
    return iter(found)


def _length(row: Row) -> int:
    return len(row.one) + len(row.other)


def _signature(rows: Sequence[Row], plan: Plan) -> str:
    """Of what a run's course follows from."""
    found = hashlib.sha256(repr(plan._replace(threads=0)).encode())
    for row in rows:
        found.update(repr(row).encode())
    return found.hexdigest()


def _keep_memory() -> None:
    """Let glibc keep what is freed: each step asks for the same again, which cost half its time."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(_TRIM, ctypes.c_int(2**31 - 1))
            library.mallopt(_TOP_PAD, ctypes.c_int(1 << 29))
            library.mallopt(-3, ctypes.c_int(1 << 25))  # M_MMAP_THRESHOLD
