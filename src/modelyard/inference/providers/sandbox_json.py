"""Parts of a request whose types nobody checked: what has another one counts as absent."""

from typing import Any


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def mapping(value: Any) -> dict[str, Any]:
    """An object."""
    return value if isinstance(value, dict) else {}


def string(value: Any) -> str:
    """A text."""
    return value if isinstance(value, str) else ""
