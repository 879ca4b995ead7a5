"""What a semantic hit says of itself on every surface."""

from __future__ import annotations

from modelyard.storage.ledger.record import Match


def header(match: Match) -> bytes:
    """``X-Modelyard-Semantic`` as a line: a dictionary of structured fields (RFC 9651)."""
    name = match.verifier.replace("\\", "").replace('"', "").encode("ascii", "replace")
    return (
        b"x-modelyard-semantic: similarity=%.3f, confidence=%.3f, "
        b'verifier="%b", age=%d, prompt-age=%d\r\n'
    ) % (match.similarity, match.confidence, name, match.age, match.prompt_age)
