"""Every route of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from modelyard.gateway import anthropic_models, gemini_models, models, operations
from modelyard.gateway import routes as gateway
from modelyard.gateway.jobs import methods as inference_jobs
from modelyard.governance.audit import routes as audit
from modelyard.governance.facets import facets
from modelyard.governance.provenance import routes as provenance
from modelyard.identity.sessions import routes as sessions
from modelyard.jobs import routes as jobs
from modelyard.kernel import compiling
from modelyard.kernel.route import Route
from modelyard.reference import docs
from modelyard.resources import RESOURCES
from modelyard.spending.prices import routes as prices
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
        *gemini_models.routes(lambda: one.plane.snapshot),
        *sessions.routes(),
        *(
            route
            for resource in RESOURCES
            for route in compiling.routes(resource, facets(resource.camel))
        ),
        *jobs.routes(),
        *inference_jobs.routes(),
        *prices.routes(),
        *audit.routes(),
        *provenance.routes(),
        *operations.routes(one.checks, one.live.exposition),
        *docs.routes(lambda: control_routes(server)),
    ]


def permissions(routes: list[Route]) -> tuple[str, ...]:
    """Every permission that a route needs, in order."""
    return tuple(sorted({route.permission for route in routes if route.permission}))


class _Nobody:
    """Stands where a server would, while routes are declared and none is called."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __truediv__(self, name: str) -> Any:
        return self
