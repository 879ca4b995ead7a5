"""Every surface of the data plane."""

from __future__ import annotations

from modelyard.inference.app import Surface
from modelyard.inference.surfaces import chat, gemini, messages
from modelyard.inference.surfaces.gateway import GatewaySurface


def surfaces(timeout: float) -> list[Surface]:
    """What clients can speak. ``timeout``: seconds of a call whose request names none."""
    return [
        GatewaySurface(),
        *chat.surfaces(timeout),
        *messages.surfaces(timeout),
        *gemini.surfaces(timeout),
    ]
