"""A service without a process or a model: vectors are made of words, time stands still."""

import re
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.inference.semantic.frames import Check, Drop, Find, Found, Keep, Missed, Setup, Told
from modelyard.inference.semantic.index import WIDTH, Vectors
from modelyard.inference.semantic.service import Service, Vector
from modelyard.inference.semantic.store import Store
from semantic.standin import StandIn

LATER = 4e9  # an expiry far away


def vector(text: str) -> Vectors:
    """The mean of its words' random vectors, of length 1."""
    made = np.zeros(WIDTH, np.float32)
    for word in re.findall(r"\w+", text.casefold()):
        draw = np.random.default_rng(zlib.crc32(word.encode()))
        made += draw.standard_normal(WIDTH, np.float32)
    return made / np.linalg.norm(made)


class Worker:
    """One worker's connection: what it was told, in order."""

    def __init__(self, bench: "Bench") -> None:
        self.told: list[Any] = []
        self._bench = bench

    def tell(self, message: Told) -> None:
        self.told.append(message)

    def find(self, number: int, text: str, **more: Any) -> Any:
        """Ask; what was told at once."""
        find = Find(number, more.get("workspace", "w"), more.get("scope", b"s"), key(text), text)
        self._bench.service.find(self, find, Vector(vector(text), more.get("cut", False)))
        return self.told[-1]

    def keep(self, number: int, expires: float = LATER) -> None:
        self._bench.service.keep(self, Keep(number, expires))

    def drop(self, number: int) -> None:
        self._bench.service.drop(self, Drop(number).id)

    def answered(self, number: int, text: str, **more: Any) -> None:
        """Ask, and have it answered and kept."""
        assert isinstance(self.find(number, text, **more), Missed)
        self.keep(number)

    def check(self, number: int, kept: str, fresh: str, paid: int = 0) -> Any:
        """Have a fresh answer compared with a kept one, of a hit of the highest confidence."""
        check = Check(number, "w", 0.95, kept, fresh, paid)
        both = [Vector(vector(text), False) for text in (kept, fresh)]
        self._bench.service.check(self, check, both)
        return self.told[-1]


class Bench:
    """A service on a file in ``folder``."""

    def __init__(
        self, folder: Path, *, draw: Callable[[], float] = lambda: 1.0, **more: Any
    ) -> None:
        self.now = 1_000_000.0
        self.backs: list[Callable[[], None]] = []
        known = {"error": 0.05, "entries": 1000, "workspace_entries": 1000, "sample": 0.02}
        self.setup = Setup(
            home=str(folder), verifier="", least_similarity=0.3, candidates=4,
            **{"budget": 10**9, **known, **more},
        )  # fmt: skip
        self.file = folder / "entries.db"
        self.store = Store(
            self.file, self.setup.entries, self.setup.workspace_entries, self.setup.secret
        )
        self.service = Service(
            self.setup, self.store, StandIn(), ThreadPoolExecutor(1), self.backs.append,
            clock=lambda: self.now, draw=draw,
        )  # fmt: skip

    def worker(self) -> Worker:
        return Worker(self)

    def again(self) -> "Bench":
        """After a restart."""
        self.service.tidy()
        self.store.close()
        return Bench(self.file.parent, error=self.setup.error, secret=self.setup.secret)


def key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=32).digest()


def is_hit(told: Told) -> bool:
    return isinstance(told, Found) and not told.awaited
