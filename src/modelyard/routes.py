"""Every route of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from modelyard.gateway import anthropic_models, models, operations
from modelyard.gateway import routes as gateway
from modelyard.identity import keys
from modelyard.identity.keys.bootstrap import ADMIN_FILE
from modelyard.kernel import docs
from modelyard.kernel.http import Route
from modelyard.surface_routes import surface_routes

if TYPE_CHECKING:
    from modelyard.server import Server


def control_routes(server: Server | None) -> list[Route]:
    """The routes of ``server``; without one they are declarations for the document alone."""
    one = cast("Server", server or _Nobody())
    return [
        *surface_routes(),
        *gateway.routes(one.keeper, one.live),
        *models.routes(lambda: one.plane.snapshot),
        *anthropic_models.routes(lambda: one.plane.snapshot),
        *keys.routes(one.keys, one.start.pepper, one.publish, one.home / ADMIN_FILE),
        *operations.routes(one.checks, one.live.exposition),
        *docs.routes(lambda: control_routes(server)),
    ]


class _Nobody:
    """Stands where a server would, while routes are declared and none is called."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __truediv__(self, name: str) -> Any:
        return self
