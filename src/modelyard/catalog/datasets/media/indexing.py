"""Writes the index of an archive's files. For the processes of jobs alone."""

from __future__ import annotations

from array import array
from typing import BinaryIO

import msgspec
import numpy as np

from modelyard.catalog.datasets.media.index import HEAD, MAGIC, Entry, hashed

_PER_BUCKET = 8  # entries, on average
_encoder = msgspec.json.Encoder()


class Indexing:
    """Entries on their way into an index; in memory are 24 bytes of each."""

    def __init__(self, spill: BinaryIO) -> None:
        self._spill = spill
        self._hashes, self._places, self._sizes = array("Q"), array("Q"), array("Q")

    def add(self, entry: Entry) -> None:
        """Take in an entry."""
        line = _encoder.encode(entry) + b"\n"
        self._hashes.append(hashed(entry.path))
        self._places.append(self._spill.tell())
        self._sizes.append(len(line))
        self._spill.write(line)

    def write(self, target: BinaryIO) -> str:
        """Write the index; a path that is there twice, "" where none is."""
        hashes = np.frombuffer(self._hashes, dtype=np.uint64)
        sizes = np.frombuffer(self._sizes, dtype=np.uint64)
        buckets = max(1, len(hashes) // _PER_BUCKET)
        order = np.lexsort((hashes, hashes % np.uint64(buckets)))
        lengths = np.zeros(buckets + 1, dtype=np.uint64)
        np.add.at(lengths, (hashes % np.uint64(buckets)).astype(np.int64) + 1, sizes)
        begins = np.cumsum(lengths) + np.uint64(HEAD + 8 * (buckets + 1))
        target.write(MAGIC + len(hashes).to_bytes(8, "little") + buckets.to_bytes(8, "little"))
        target.write(begins.astype("<u8").tobytes())
        before, twice = -1, ""
        for at in order.tolist():
            self._spill.seek(self._places[at])
            line = self._spill.read(self._sizes[at])
            if self._hashes[at] == before:
                twice = twice or str(msgspec.json.decode(line)[0])
            before = self._hashes[at]
            target.write(line)
        return twice
