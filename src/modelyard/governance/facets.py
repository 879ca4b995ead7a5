"""What every resource has beside its own methods: ``/{id}/history`` and ``/{id}/lineage``."""

from typing import Any

from msgspec import structs

from modelyard.governance.audit import trail
from modelyard.governance.audit.schema import AuditLog, History, HistoryEntry
from modelyard.governance.provenance.methods import drawn
from modelyard.governance.provenance.schema import Lineage, LineageQuery
from modelyard.kernel import methods
from modelyard.kernel.context import Context, Item
from modelyard.kernel.custom import Facet
from modelyard.kernel.ports import EventQuery, Sealed
from modelyard.kernel.resource import Resource
from modelyard.kernel.route import Raw
from modelyard.kernel.watch import within
from modelyard.protocol import paging
from modelyard.protocol.filtering import Filter


class HistoryQuery(paging.Paging, frozen=True, kw_only=True):
    """Query parameters of a resource's history."""

    workspace: methods.Workspace | None = None


async def history(context: Context, item: Item[Any], query: HistoryQuery) -> AuditLog:
    """The audit trail of one resource, the newest change first."""
    page = await _page(context, item, query)
    return AuditLog(entries=[trail.entry(one) for one in page.found], next_page_token=page.token)


async def plain_history(context: Context, item: Item[Any], query: HistoryQuery) -> Any:
    """The audit trail of one resource, the newest change first."""
    page = await _page(context, item, query)
    entries = [HistoryEntry(**structs.asdict(trail.entry(one))) for one in page.found]
    return History(entries=entries, next_page_token=page.token)


async def _page(context: Context, item: Item[Any], query: HistoryQuery) -> trail.Page:
    asked = EventQuery(workspace=item.row.address.workspace, resource=item.name, size=query.size)
    page = await trail.turn(context, asked, query.page_token, f"history\n{item.row.uid}")
    rights = item.resource.seen_by(context, None)
    seen = [_visible(item.resource, rights, one) for one in page.found]
    return structs.replace(page, found=[one for one in seen if one is not None])


def _visible(one: Resource[Any], rights: Filter | None, sealed: Sealed) -> Sealed | None:
    """An entry without the states that the reader may not see; None where it may see neither."""
    event = sealed.event
    states = [view if within(one, rights, view) else None for view in (event.before, event.after)]
    if states == [event.before, event.after]:
        return sealed
    if states == [None, None]:
        return None
    return structs.replace(sealed, event=structs.replace(event, before=states[0], after=states[1]))


async def lineage(context: Context, item: Item[Any], query: LineageQuery) -> Lineage | Raw:
    """What the resource came from, and what came from it."""
    return await drawn(context, item.name, query)


def facets(camel: bool) -> tuple[Facet, ...]:
    """The facets of a resource whose fields are in camelCase, or in snake_case."""
    serve, response = (history, AuditLog) if camel else (plain_history, History)
    return (
        Facet(name="history", serve=serve, response=response, query=HistoryQuery),
        Facet(name="lineage", serve=lineage, response=Lineage, query=LineageQuery),
    )
