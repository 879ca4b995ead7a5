"""The semantic cache that the settings ask for."""

from __future__ import annotations

from pathlib import Path

from modelyard.inference.plane import Plane
from modelyard.inference.semantic.cache import SEMANTIC, SemanticCache
from modelyard.inference.semantic.client import Line
from modelyard.inference.semantic.frames import Setup
from modelyard.inference.semantic.recheck import Rechecker
from modelyard.inference.series import LevelCounts


def make_semantic(
    plane: Plane, home: Path, pepper: bytes, worker: int, levels: dict[str, LevelCounts]
) -> SemanticCache | None:
    """The semantic cache of a worker; None where it is off. Nothing is started yet.

    ``levels``: what was counted of the cache before, by level.
    """
    settings = plane.settings
    asked = settings.cache.semantic
    if asked.mode == "off":
        return None
    setup = Setup(
        home=str(home),
        verifier=asked.verifier,
        error=asked.error,
        least_similarity=asked.similarity,
        candidates=asked.candidates,
        entries=asked.entries,
        workspace_entries=asked.workspace_entries,
        sample=asked.sample,
        budget=round(asked.budget * 1e9),
        secret=pepper if settings.cache.encrypt else None,
    )
    shared = settings.cache.l3 or (settings.cache.l2 and settings.redis_url is not None)
    prefix = b"" if shared or settings.workers == 1 else b"%d " % worker
    line = Line(home, setup, levels.setdefault(SEMANTIC, LevelCounts()))
    return SemanticCache(asked, plane.cache, line, Rechecker(plane.router, plane.ledger), prefix)
