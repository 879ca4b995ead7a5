"""The error envelope of each surface, for what is answered later than by the surface itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from modelyard.inference.surfaces import messages_answer
from modelyard.inference.surfaces.gemini_answer import status
from modelyard.inference.surfaces.openai import error_object
from modelyard.kernel.route import Envelope
from modelyard.protocol.errors import Failure, envelope

_OPENAI = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")


def of_query(query: bytes) -> Envelope:
    """That of the surface which a submission names in its query."""
    named = parse_qs(query.decode("latin-1")).get("surface", [""])[0]
    return of_surface(named)


def of_surface(surface: str) -> Envelope:
    """That of a surface, by its path; ours where it has none of its own."""
    path = surface.partition("?")[0].removeprefix("/api")
    if path.startswith("/v1/messages"):
        return messages_answer.envelope
    if path.startswith(("/v1beta/", "/v1/models/")):
        return status
    return _openai if path in _OPENAI else envelope


def _openai(failure: Failure, request_id: str) -> dict[str, Any]:
    return {"error": error_object(failure, request_id)}
