"""The gateway's routes that read the ledger and the live state, and clear the cache."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from modelyard.gateway import analytics, cache, providers, requests, status
from modelyard.gateway.figures import PERIOD, first_day
from modelyard.gateway.live import Live
from modelyard.gateway.semantic import semantic_stats
from modelyard.gateway.warming import warming_stats
from modelyard.kernel.context import Context
from modelyard.kernel.route import Route
from modelyard.protocol.errors import Failure
from modelyard.storage.ledger.keeper import Keeper
from modelyard.storage.ledger.queries import Reader

PREFIX = "/v1/ai-inference"
TAG = "Gateway"

T = TypeVar("T")


class Gateway:
    """What the routes serve. Every figure is of the caller's workspace."""

    def __init__(self, ledger: Keeper, live: Live) -> None:
        self._ledger = ledger
        self._live = live

    async def show_status(self, context: Context) -> status.Status:
        """Queue, caches, cost and workers."""
        workspace = context.principal.workspace
        sums = await self._ask(lambda reader: status.read(reader, workspace))
        caches = await self._live.cache(workspace)
        semantic = await self._live.semantic(workspace)
        alike = None if semantic is None else semantic_stats(semantic)
        figures = await self._live.warming()
        warm = None if figures is None else warming_stats(figures, workspace)
        return status.build(sums, self._live, caches, alike, warm, self._ledger.healthy)

    async def list_providers(self, context: Context) -> providers.Providers:
        """What can be called."""
        workspace, since = context.principal.workspace, first_day(PERIOD)
        usage, failures = await self._ask(
            lambda reader: (
                reader.usage(workspace, since, by="target"),
                reader.failures(workspace, since),
            )
        )
        return providers.build(self._live.targets(), usage, failures)

    async def analyse(
        self, context: Context, query: analytics.AnalyticsQuery
    ) -> analytics.Analytics:
        """A period."""
        workspace, days = context.principal.workspace, query.days
        sums = await self._ask(lambda reader: analytics.read(reader, workspace, days))
        return analytics.build(sums, self._live, days)

    async def clear_cache(
        self, context: Context, query: cache.ClearCacheQuery
    ) -> cache.ClearedCache:
        """Forget kept answers."""
        cleared = await cache.clear(self._live, context.principal.workspace, query.level)
        told = {"level": query.level, "pending": cleared.pending}  # the other processes follow it
        context.event(cache.RESOURCE, after=told)
        return cleared

    async def list_requests(
        self, context: Context, query: requests.RequestQuery
    ) -> requests.RequestPage:
        """The log."""
        workspace = context.principal.workspace
        return await self._ask(lambda reader: requests.read(reader, workspace, query))

    async def trace_request(self, context: Context, request_id: str) -> requests.RequestTrace:
        """One request."""
        workspace = context.principal.workspace
        record = await self._ask(lambda reader: reader.request(workspace, request_id))
        if record is None:
            raise Failure(
                "NOT_FOUND",
                "There is no such request in this workspace. Use the 'id' or the 'request_id' of "
                f"an entry of GET {PREFIX}/requests.",
                details={"field": "request_id"},
            )
        return requests.trace(record)

    async def _ask(self, question: Callable[[Reader], T]) -> T:
        """Ask the ledger in a thread, after what was written before has been loaded."""

        def ask() -> T:
            self._ledger.catch_up()
            return question(self._ledger.reader)

        return await asyncio.to_thread(ask)


def routes(ledger: Keeper, live: Live) -> list[Route]:
    """The declarations, served from ``ledger`` and ``live``."""
    gateway = Gateway(ledger, live)
    return [
        Route(
            method="GET",
            path=f"{PREFIX}/status",
            serve=gateway.show_status,
            permission="monitoring:read",
            summary="Queue, cache, cost and worker statistics",
            tag=TAG,
            response=status.Status,
        ),
        Route(
            method="GET",
            path=f"{PREFIX}/providers",
            serve=gateway.list_providers,
            permission="monitoring:read",
            summary="Providers and models with price and measured performance",
            tag=TAG,
            response=providers.Providers,
        ),
        Route(
            method="GET",
            path=f"{PREFIX}/analytics",
            serve=gateway.analyse,
            permission="monitoring:read",
            summary="Cost, cache and queue analysis of a period",
            tag=TAG,
            query=analytics.AnalyticsQuery,
            response=analytics.Analytics,
        ),
        Route(
            method="POST",
            path=f"{PREFIX}/clear-cache",
            serve=gateway.clear_cache,
            permission="cache:write",
            summary="Forget kept answers of this workspace",
            tag=TAG,
            query=cache.ClearCacheQuery,
            response=cache.ClearedCache,
            audit=cache.CLEARED,
        ),
        *_log_routes(gateway),
    ]


def _log_routes(gateway: Gateway) -> list[Route]:
    return [
        Route(
            method="GET",
            path=f"{PREFIX}/requests",
            serve=gateway.list_requests,
            permission="request:read",
            summary="The request log, the newest first",
            tag=TAG,
            query=requests.RequestQuery,
            response=requests.RequestPage,
            errors=("SYSTEM_OVERLOADED",),
        ),
        Route(
            method="GET",
            path=f"{PREFIX}/requests/{{request_id*}}",
            serve=gateway.trace_request,
            permission="request:read",
            summary="One request: its attempts, timings and cost",
            tag=TAG,
            response=requests.RequestTrace,
            errors=("NOT_FOUND",),
        ),
    ]
