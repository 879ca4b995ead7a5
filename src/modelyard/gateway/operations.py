"""Health, readiness and metrics."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from modelyard.kernel.context import Context
from modelyard.kernel.route import Raw, Route
from modelyard.protocol.errors import Failure

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Health(Struct):
    """Whether the server lives, or is ready; ``checks`` names what was looked at."""

    status: str
    checks: dict[str, str]


def routes(
    checks: Callable[[], Awaitable[dict[str, str]]], metrics: Callable[[], str]
) -> list[Route]:
    """``checks`` gives "ok" or what is wrong, by name; ``metrics`` Prometheus' text."""

    async def live(context: Context) -> Health:
        return Health("ok", {})

    async def ready(context: Context) -> Health:
        found = await checks()
        if any(state != "ok" for state in found.values()):
            raise Failure(
                "SYSTEM_OVERLOADED", "The server is not ready.", details=found, retry_after=1.0
            )
        return Health("ok", found)

    async def exposition(context: Context) -> Raw:
        return Raw(metrics().encode(), PROMETHEUS)

    return [
        Route(
            method="GET",
            path="/health/live",
            serve=live,
            permission=None,
            summary="Is the process alive",
            tag="Operations",
            response=Health,
        ),
        Route(
            method="GET",
            path="/health/ready",
            serve=ready,
            permission=None,
            summary="Can requests be answered",
            tag="Operations",
            response=Health,
            errors=("SYSTEM_OVERLOADED",),
        ),
        Route(
            method="GET",
            path="/metrics",
            serve=exposition,
            permission=None,
            summary="Prometheus metrics",
            tag="Operations",
            response=str,
            produces=PROMETHEUS,
        ),
    ]
