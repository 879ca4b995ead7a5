"""How often something was seen, roughly, in memory that does not grow."""

from __future__ import annotations

_ROWS = 4
_MOST = 255


class Sketch:
    """A count-min sketch (Cormode and Muthukrishnan, 2005) that forgets.

    All counts are halved after as many additions as a row has places, as in TinyLFU (Einziger et
    al., 2017). A count may be too high, never too low but by the halving. Keys are digests: their
    own bytes are the hash functions.
    """

    def __init__(self, width: int = 1 << 17) -> None:
        self.width = width  # places of a row, a byte each
        self.rows = [bytearray(width) for _ in range(_ROWS)]
        self.added = 0

    def add(self, digest: bytes) -> int:
        """Count one more of ``digest`` (at least 16 bytes); how many there were with it."""
        places = [
            int.from_bytes(digest[4 * row : 4 * row + 4], "big") % self.width
            for row in range(_ROWS)
        ]
        least = min(row[place] for row, place in zip(self.rows, places, strict=True))
        if least < _MOST:
            for row, place in zip(self.rows, places, strict=True):
                if row[place] == least:  # conservative update
                    row[place] = least + 1
        self.added += 1
        if self.added >= self.width:
            self.rows = [bytearray(one >> 1 for one in row) for row in self.rows]
            self.added //= 2
        return min(_MOST, least + 1)
