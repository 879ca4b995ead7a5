"""What a semantic hit says of itself."""

from __future__ import annotations

from msgspec import Struct


class Match(Struct, frozen=True):
    """How a kept answer was found for a question that was put in other words.

    ``similarity`` is the cosine of the two questions, ``confidence`` the verifier's probability
    that the answer fits; the ages are seconds: of the answer, and since its question was asked
    first.
    """

    similarity: float
    confidence: float
    verifier: str
    age: float
    prompt_age: float


def header(match: Match) -> bytes:
    """``X-Modelyard-Semantic`` as a line: a dictionary of RFC 9651."""
    name = match.verifier.replace("\\", "").replace('"', "").encode("ascii", "replace")
    return (
        b"x-modelyard-semantic: similarity=%.3f, confidence=%.3f, "
        b'verifier="%b", age=%d, prompt-age=%d\r\n'
    ) % (match.similarity, match.confidence, name, match.age, match.prompt_age)
