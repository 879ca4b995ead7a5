"""Two prompts as the cross-encoder reads them: side by side, each between its two markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

START, BREAK = 101, 102  # BERT's [CLS] and [SEP]
LONGEST = 254  # tokens of a prompt without its markers: 256 are what MiniLM was made for
_STEP = 8  # widths are multiples of it: few different shapes

Ids = NDArray[np.int64]


class Tokens:
    """Splits prompts and puts pairs of them into batches."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def split(self, texts: Sequence[str]) -> list[list[int]]:
        """Each prompt's tokens without markers; some may be longer than LONGEST."""
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [one.ids for one in found]


def batch(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> tuple[Ids, Ids, Ids, Ids]:
    """``input_ids``, ``attention_mask``, ``side`` and ``place`` of pairs of tokens, padded.

    ``side`` is 1 for the second prompt's tokens; ``place`` counts from 0 in each.
    """
    longest = max(len(one) + len(other) + 4 for one, other in pairs)
    shape = len(pairs), -(-longest // _STEP) * _STEP
    ids, mask, side, place = np.zeros((4, *shape), np.int64)
    for row, (one, other) in enumerate(pairs):
        tokens = [START, *one, BREAK, START, *other, BREAK]
        size, turn = len(tokens), len(one) + 2
        ids[row, :size] = tokens
        mask[row, :size] = 1
        side[row, turn:size] = 1
        place[row, :turn] = np.arange(turn)
        place[row, turn:size] = np.arange(size - turn)
    return ids, mask, side, place
