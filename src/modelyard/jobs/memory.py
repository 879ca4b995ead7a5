"""Jobs that need more memory than they were given: how that is seen, and what is said of it.

Python raises MemoryError. Libraries of other languages end the whole process, and tell why on
standard error: Rust's "memory allocation of 16777216 bytes failed" before SIGABRT.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from multiprocessing.connection import Connection

from modelyard.jobs.kinds import KINDS
from modelyard.protocol.errors import Failure

_KEPT = 65536  # bytes of a process's last words: a stack may follow what matters
_CHUNK = 65536
_SECONDS = 5.0  # for the last of them to be read, once all who could say any are gone
_WORDS = re.compile(
    rb"memory allocation of \d+ bytes failed|std::bad_alloc|MemoryError|Cannot allocate memory"
    rb"|kind: OutOfMemory|[Oo]ut of memory"
)


class LastWords:
    """What a process writes to its standard error: passed on to ours, and the end of it kept."""

    def __init__(self) -> None:
        self._source, theirs = os.pipe()
        self.voice = Connection(theirs, readable=False)  # for the process; ours is to be closed
        self._tail = b""
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def of_memory(self) -> bool:
        """Whether it ended for lack of memory; the process and all that it started are gone."""
        self._thread.join(_SECONDS)
        return lacked(self._tail)

    def _listen(self) -> None:
        with contextlib.closing(os.fdopen(self._source, "rb", buffering=0)) as source:
            while said := source.read(_CHUNK):
                self._tail = (self._tail + said)[-_KEPT:]
                with contextlib.suppress(OSError):
                    os.write(2, said)


def lacked(words: bytes) -> bool:
    """Whether what a process told last says that memory was lacking."""
    return _WORDS.search(words) is not None


def too_little(kind: str, given: int) -> Failure:
    """The failure of an operation of this kind that needed more than the bytes it was given."""
    known = KINDS.get(kind)
    field = known.memory if known else ""
    out = f"Ask for more with '{field}'" if field else "Ask for less at once: this limit is fixed"
    return Failure(
        "INSUFFICIENT_RESOURCES",
        f"The work needed more than the {given:,} bytes of memory it was given. {out}.",
        details={"field": field or None, "given": given},
    )
