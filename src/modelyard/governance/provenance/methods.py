"""What is read of provenance. Nothing here changes anything."""

from msgspec import structs

from modelyard.governance.audit import trail
from modelyard.governance.audit.schema import AuditQuery
from modelyard.governance.provenance import forms, lineage, records
from modelyard.governance.provenance.schema import (
    ArtifactProvenance,
    ArtifactQuery,
    Lineage,
    LineageQuery,
    ProvenanceList,
    ProvQuery,
)
from modelyard.kernel.context import Context
from modelyard.kernel.ports import EventQuery
from modelyard.kernel.route import Raw
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import Compare, Filter, both

_RESOURCES: Filter = Compare(trail.FIELDS["kind"], "!=", "")
_MOST = 1000  # edges of one resource in each direction


async def listed(context: Context, query: AuditQuery) -> ProvenanceList:
    """What was done, the newest first: each activity with what it made, and who did it."""
    workspace = trail.meant(context, query.workspace)
    asked = _of_resources(trail.wanted(query, workspace))
    page = await trail.read(context, asked, query)
    return ProvenanceList(
        records=await records.records(context, page.found), next_page_token=page.token
    )


async def query(context: Context, ask: ProvQuery) -> ProvenanceList:
    """Which activities made an entity, were an agent's, or used a resource."""
    asked = _of_resources(trail.wanted(ask, trail.meant(context, ask.workspace)))
    if ask.entity:
        asked = trail.told_of(ask.entity, asked)
    ids = await _pointing_at(context, ask.target) if ask.target else None
    asked = structs.replace(asked, actor=ask.agent, verb=ask.activity, kind=ask.kind, ids=ids)
    page = await trail.read(context, asked, ask)
    return ProvenanceList(
        records=await records.records(context, page.found), next_page_token=page.token
    )


async def artifact(
    context: Context,
    artifactId: str,  # noqa: N803 (the path's name)
    query: ArtifactQuery,
) -> ArtifactProvenance | Raw:
    """How a resource came to be: its revisions, what was done, by whom, and from what.

    It is named as it is read (`auth/users/user_1`), or by its id alone. `format=prov-json`
    gives W3C's PROV-JSON.
    """
    context.use(query.workspace)
    name = await _resolved(context, artifactId)
    asked = _of_resources(trail.wanted(query, context.workspace))
    asked = structs.replace(asked, resource=name)
    page = await trail.read(context, asked, query)
    graph, kinds = records.Graph(), context.ports.resources
    for one in await records.records(context, page.found):
        graph.take(one)
    graph.entities.setdefault(name, records.entity(name, kinds))
    if not query.page_token:
        for towards in (False, True):
            found = await context.ports.store.edges(
                context.workspace, [name], towards=towards, size=_MOST
            )
            graph.relate(records.relation(edge) for edge in found)
    if query.format == "prov-json":
        return forms.prov_json(graph)
    return ArtifactProvenance(
        artifact_id=name,
        kind=records.kind_of(name, kinds),
        entities=list(graph.entities.values()),
        activities=list(graph.activities.values()),
        agents=list(graph.agents.values()),
        relations=list(graph.relations.values()),
        next_page_token=page.token,
    )


async def lineage_of(
    context: Context,
    id: str,  # noqa: A002 (the path's name)
    query: LineageQuery,
) -> Lineage | Raw:
    """The graph of what a resource came from and what came from it.

    At most 1,000 nodes; `truncated` says when there are more. `format=prov-json` gives W3C's
    PROV-JSON, `format=mermaid` the text of a flow chart.
    """
    context.use(query.workspace)
    return await drawn(context, await _resolved(context, id), query)


async def drawn(context: Context, name: str, query: LineageQuery) -> Lineage | Raw:
    """The lineage of a resource, in the form that is asked for."""
    found = await lineage.trace(context, name, query)
    if query.format == "mermaid":
        return forms.mermaid(found)
    if query.format == "prov-json":
        return forms.prov_json(await lineage.as_graph(context, found))
    return found


def _of_resources(asked: EventQuery) -> EventQuery:
    """Signing in, say, is no provenance of anything."""
    return structs.replace(asked, filter=both(asked.filter, _RESOURCES))


async def _pointing_at(context: Context, name: str) -> list[str]:
    """The activities by which anything came to point at a resource."""
    found = await context.ports.store.edges(context.workspace, [name], towards=True, size=_MOST)
    return sorted({edge.event for edge in found if edge.event})


async def _resolved(context: Context, wanted: str) -> str:
    """The name that is meant, of what the caller may see. Raises as ``_named``."""
    name = await _named(context, wanted)
    if await lineage.hidden(context, name):
        raise trail.unknown(wanted)
    return name


async def _named(context: Context, wanted: str) -> str:
    """The name that is meant. Raises ``NOT_FOUND``, or ``INVALID_REQUEST`` for one of several."""
    store, workspace = context.ports.store, context.workspace
    for towards in (False, True):
        if await store.edges(workspace, [wanted], towards=towards, size=1):
            return wanted
    asked = EventQuery(workspace=workspace, size=50)
    if "/" in wanted:
        asked = structs.replace(asked, resource=wanted)
    else:
        asked = structs.replace(asked, filter=trail.with_id(wanted))
    names = list(dict.fromkeys(one.event.resource for one in await store.events(asked)))
    if not names:
        raise trail.unknown(wanted)
    if len(names) > 1:
        raise Failure(
            "INVALID_REQUEST",
            f"Several resources have the id '{wanted[:200]}'. Ask for one by its name.",
            details={"field": "id", "rule": "ambiguous", "allowed": names[:10]},
        )
    return names[0]
