"""The lineage of a resource: what it came from, and what came from it, step by step."""

from msgspec import Struct, structs

from modelyard.governance.provenance.records import (
    ATTRIBUTION,
    Graph,
    activity,
    agent,
    entity,
    kind_of,
)
from modelyard.governance.provenance.schema import (
    Lineage,
    LineageEdge,
    LineageNode,
    LineageQuery,
    ProvRelation,
)
from modelyard.kernel.context import Context
from modelyard.kernel.ports import Address, Edge, EventQuery
from modelyard.protocol.errors import timestamp

MOST_NODES = 1000
MOST_EDGES = 5000  # of one step


class _Walk(Struct):
    """What was found until now."""

    nodes: dict[str, LineageNode]
    edges: dict[tuple[str, str, str, str, str], Edge]
    truncated: bool = False


async def trace(context: Context, start: str, query: LineageQuery) -> Lineage:
    """The graph around ``start``: its ancestors and descendants, not its descendants' others."""
    kinds = context.ports.resources
    root = LineageNode(
        id=start, type="entity", kind=kind_of(start, kinds), direction="self", depth=0
    )
    walk = _Walk({start: root}, {})
    if query.direction != "downstream":
        await _follow(context, walk, start, query.depth, upstream=True)
    if query.direction != "upstream":
        await _follow(context, walk, start, query.depth, upstream=False)
    return Lineage(
        id=start,
        direction=query.direction,
        depth=query.depth,
        nodes=list(walk.nodes.values()),
        edges=[_shown(one) for one in walk.edges.values()],
        truncated=walk.truncated,
    )


async def _follow(context: Context, walk: _Walk, start: str, depth: int, *, upstream: bool) -> None:
    seen, ahead = {start}, [start]
    for step in range(1, depth + 1):
        if not ahead:
            return
        found = await context.ports.store.edges(
            context.workspace, ahead, towards=not upstream, size=MOST_EDGES + 1
        )
        walk.truncated |= len(found) > MOST_EDGES
        ahead = []
        for edge in found[:MOST_EDGES]:
            far = edge.target if upstream else edge.source
            if far not in walk.nodes and await hidden(context, far):
                continue
            if not _add(context, walk, edge, far, step, upstream):
                walk.truncated = True
            elif far not in seen:
                seen.add(far)
                if not (upstream and edge.relation in ATTRIBUTION):  # what else somebody made
                    ahead.append(far)


async def hidden(context: Context, name: str) -> bool:
    """Whether a resource is there that the caller may not see at all."""
    one = context.ports.resources.get(kind_of(name, context.ports.resources))
    if one is None:
        return False
    above, _, own_id = name.rpartition("/")
    parent = above.rpartition("/")[0] if "{" in one.path else ""
    row = await context.ports.store.get(Address(one.kind, context.workspace, parent, own_id))
    return row is not None and not one.shown(context, row)


def _add(context: Context, walk: _Walk, edge: Edge, far: str, step: int, upstream: bool) -> bool:
    """Whether there was room for the node at the far end."""
    if far not in walk.nodes:
        if len(walk.nodes) >= MOST_NODES:
            return False
        walk.nodes[far] = LineageNode(
            id=far,
            type="agent" if upstream and edge.relation in ATTRIBUTION else "entity",
            kind=kind_of(far, context.ports.resources),
            direction="upstream" if upstream else "downstream",
            depth=step,
        )
    mark = (edge.source, edge.relation, edge.target, edge.detail, edge.event)
    walk.edges[mark] = edge
    return True


def _shown(edge: Edge) -> LineageEdge:
    return LineageEdge(
        source=edge.source,
        target=edge.target,
        relation=edge.relation,
        activity=edge.event or None,
        detail=edge.detail,
        at=timestamp(edge.at),
    )


async def as_graph(context: Context, lineage: Lineage) -> Graph:
    """A lineage with the activities that made its edges, and who did them."""
    kinds, graph = context.ports.resources, Graph()
    for node in lineage.nodes:
        if node.type == "agent":
            graph.agents[node.id] = agent(node.id, kinds)
        else:
            graph.entities[node.id] = entity(node.id, kinds)
    for edge in lineage.edges:
        given = structs.asdict(edge)
        graph.relate([ProvRelation(type=given.pop("relation"), **given)])
    ids = sorted({edge.activity for edge in lineage.edges if edge.activity})
    for start in range(0, len(ids), 500):
        query = EventQuery(workspace=None, ids=ids[start : start + 500], size=500)
        for sealed in await context.ports.store.events(query):
            event = sealed.event
            graph.activities[event.id] = activity(event)
            graph.agents.setdefault(event.actor, agent(event.actor, kinds))
            graph.relate(
                [
                    ProvRelation(
                        type="wasAssociatedWith",
                        source=event.id,
                        target=event.actor,
                        activity=event.id,
                        detail="",
                        at=timestamp(event.at),
                    )
                ]
            )
    return graph
