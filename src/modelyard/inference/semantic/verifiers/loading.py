"""Opening a verifier by its name, in the process of the semantic cache."""

from __future__ import annotations

from pathlib import Path

from modelyard.inference.local import models
from modelyard.inference.semantic.verdict import Verifier
from modelyard.inference.semantic.verifiers.cross import open_cross
from modelyard.inference.semantic.verifiers.light import open_light
from modelyard.inference.semantic.verifiers.model import CROSS, folder_of, record_of


def load(name: str, home: Path) -> Verifier:
    """The verifier that ships ("light"), or one that 'modelyard semantic train' made.

    Raises NoVerifier, which says why and the way out.
    """
    model = record_of(home, name)
    minilm = models.folder_of(home, models.MINILM)
    if model.kind == CROSS:
        return open_cross(model, folder_of(home, name), minilm)
    return open_light(model, minilm)
