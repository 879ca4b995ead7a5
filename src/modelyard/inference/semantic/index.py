"""Nearest vectors of one scope: exact while there are few, in lists of quantised ones above.

Vectors have the length 1; a score is a cosine (of quantised vectors, nearly). A vector is never
taken out: what is gone is skipped by who asks, and left out when the index is built anew.
"""

from __future__ import annotations

from math import sqrt

import faiss
import numpy as np
from numpy.typing import NDArray

WIDTH = 384
FLAT = 2_000  # vectors up to which all are compared exactly
SCANNED = 10_000  # … and up to which all are compared, in 8 bits a dimension
_TRAINED_WITH = 40  # vectors a list, for the lists' centres
_ROUNDS = 8  # of k-means
_LISTS = 2.0  # times the square root of the number of vectors
_PROBED = 0.03  # share of the lists that are looked at …
_LEAST_PROBED = 32  # … but never fewer
_OFF = 0.05  # more than a quantised vector's score is off the cosine

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]


class Index:
    """Ids and their vectors."""

    def __init__(self, ids: Ids, vectors: Vectors) -> None:
        self._index = _made(vectors)
        self._ids = ids.tolist()
        self.built = len(self._ids)  # the size that its kind was chosen for
        if len(self._ids):
            self._index.add(vectors)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, number: int, vector: Vectors) -> None:
        """Add one."""
        self._index.add(vector.reshape(1, WIDTH))
        self._ids.append(number)

    def nearest(self, vector: Vectors, count: int, least: float = -1.0) -> list[int]:
        """The ids of the ``count`` nearest, nearest first.

        Of those whose cosine is below ``least`` most are left out: all that are clearly so.
        """
        if not self._ids:
            return []
        scores, places = self._index.search(vector.reshape(1, WIDTH), count)
        enough = least - _OFF
        return [
            self._ids[place]
            for place, score in zip(places[0].tolist(), scores[0].tolist(), strict=True)
            if place >= 0 and score >= enough
        ]

    def outgrown(self) -> bool:
        """Whether another kind is better for what it holds now."""
        size = len(self._ids)
        if size > SCANNED:
            return self.built <= SCANNED or size > 4 * self.built
        return size > FLAT >= self.built


def _made(vectors: Vectors) -> faiss.Index:
    """An empty index of the kind that suits so many vectors, trained with them."""
    size = len(vectors)
    if size <= FLAT:
        return faiss.IndexFlatIP(WIDTH)
    if size <= SCANNED:
        scanned = faiss.IndexScalarQuantizer(
            WIDTH, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        scanned.train(vectors)
        return scanned
    lists = int(_LISTS * sqrt(size))
    made = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(WIDTH),
        WIDTH,
        lists,
        faiss.ScalarQuantizer.QT_8bit,
        faiss.METRIC_INNER_PRODUCT,
    )
    made.cp.niter = _ROUNDS
    made.nprobe = max(_LEAST_PROBED, int(lists * _PROBED))
    step = max(1, size // (lists * _TRAINED_WITH))
    made.train(np.ascontiguousarray(vectors[::step]))
    return made
