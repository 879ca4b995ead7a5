"""What clients of each surface send: one request for each case, in ``requests/<surface>.json``."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "requests"
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SIGNATURE = "c2lnbmF0dXJlMQ=="


def _requests(surface: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Path and body of each case; ``{model}`` in a path is the model's name."""
    found = json.loads((FOLDER / f"{surface}.json").read_text(encoding="utf-8"))
    return {case: (one["path"], one["body"]) for case, one in found.items()}


CLIENTS = {surface: _requests(surface) for surface in ("openai", "anthropic", "gemini")}
