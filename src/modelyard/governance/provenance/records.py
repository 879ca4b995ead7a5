"""What the audit trail says in W3C PROV's terms: entities, activities, agents and relations."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct, field

from modelyard.governance.provenance.schema import (
    ProvActivity,
    ProvAgent,
    ProvenanceRecord,
    ProvEntity,
    ProvRelation,
)
from modelyard.kernel.context import Context
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Edge, Sealed
from modelyard.kernel.resource import Resource
from modelyard.protocol.errors import timestamp

ATTRIBUTION = frozenset(("wasAttributedTo", "wasAssociatedWith"))  # they lead to agents
SYSTEM = "modelyard"  # what the server does by itself


class Graph(Struct):
    """Entities, activities and agents by id, and how they relate."""

    entities: dict[str, ProvEntity] = field(default_factory=dict)
    activities: dict[str, ProvActivity] = field(default_factory=dict)
    agents: dict[str, ProvAgent] = field(default_factory=dict)
    relations: dict[tuple[str, str, str, str | None], ProvRelation] = field(default_factory=dict)

    def relate(self, found: Iterable[ProvRelation]) -> None:
        """Add relations; one that is there stays as it is."""
        for one in found:
            self.relations.setdefault((one.type, one.source, one.target, one.activity), one)

    def take(self, record: ProvenanceRecord) -> None:
        """Add all that a record holds."""
        self.entities[record.entity.id] = record.entity
        self.activities[record.activity.id] = record.activity
        self.agents[record.agent.id] = record.agent
        self.relate(record.relations)


async def records(context: Context, found: list[Sealed]) -> list[ProvenanceRecord]:
    """The records of events, with the edges that were staged with them."""
    by_workspace: dict[str, list[Sealed]] = {}
    for one in found:
        by_workspace.setdefault(one.event.workspace, []).append(one)
    edges: dict[str, list[Edge]] = {}
    for workspace, several in by_workspace.items():
        names = list({one.event.resource for one in several})
        for edge in await context.ports.store.edges(workspace, names, towards=False):
            edges.setdefault(edge.event, []).append(edge)
    kinds = context.ports.resources
    return [record(one, edges.get(one.event.id, ()), kinds) for one in found]


def record(
    sealed: Sealed, edges: Iterable[Edge], kinds: Mapping[str, Resource[Any]]
) -> ProvenanceRecord:
    """The record of one event."""
    event = sealed.event
    return ProvenanceRecord(
        id=event.id,
        sequence=sealed.sequence,
        at=timestamp(event.at),
        entity=entity(event.resource, kinds, revision(event), event.kind),
        activity=activity(event),
        agent=agent(event.actor, kinds),
        relations=[*_own(event), *(relation(edge) for edge in edges)],
    )


def activity(event: Event) -> ProvActivity:
    """What was done. A change takes no time: it is one transaction."""
    at = timestamp(event.at)
    return ProvActivity(
        id=event.id, type=event.verb, started_at=at, ended_at=at, request_id=event.request_id
    )


def agent(id_: str, kinds: Mapping[str, Resource[Any]]) -> ProvAgent:
    """Who did it."""
    if id_ == SYSTEM:
        return ProvAgent(id=id_, type="system")
    user = id_.startswith("user_") or kind_of(id_, kinds) == "auth/users"
    return ProvAgent(id=id_, type="user" if user else "key")


def entity(
    name: str, kinds: Mapping[str, Resource[Any]], number: int | None = None, kind: str = ""
) -> ProvEntity:
    """A resource, or the revision of it with that number."""
    own = name if number is None else f"{name}#{number}"
    return ProvEntity(id=own, name=name, kind=kind or kind_of(name, kinds), revision=number)


def revision(event: Event) -> int | None:
    """The revision that a change made; the last one where it was deleted."""
    shown = event.before if event.after is None else event.after
    tag = shown.get("etag") if isinstance(shown, dict) else None
    number = str(tag or "").rpartition("-")[2]
    return int(number) if number.isdigit() else None


def relation(edge: Edge) -> ProvRelation:
    """An arrow that the kernel or a method staged."""
    return ProvRelation(
        type=edge.relation,
        source=edge.source,
        target=edge.target,
        activity=edge.event or None,
        detail=edge.detail,
        at=timestamp(edge.at),
    )


def _own(event: Event) -> Iterator[ProvRelation]:
    """The relations that follow from the event itself."""
    number = revision(event)
    own = event.resource if number is None else f"{event.resource}#{number}"

    def arrow(type_: str, source: str, target: str) -> ProvRelation:
        return ProvRelation(
            type=type_,
            source=source,
            target=target,
            activity=event.id,
            detail="",
            at=timestamp(event.at),
        )

    if event.after is not None:
        yield arrow("wasGeneratedBy", own, event.id)
    elif event.before is not None:
        yield arrow("wasInvalidatedBy", own, event.id)
    else:  # it was only read, say
        yield arrow("used", event.id, own)
    yield arrow("wasAssociatedWith", event.id, event.actor)
    if event.before is not None and event.after is not None and number is not None and number > 1:
        yield arrow("wasRevisionOf", own, f"{event.resource}#{number - 1}")


def kind_of(name: str, kinds: Mapping[str, Resource[Any]]) -> str:
    """The kind of a resource by its name; "" where no declared one has such names."""
    for kind, one in kinds.items():
        if _pattern(one.path, "/" in one.own_ids).fullmatch(name):
            return kind
    return ""


@lru_cache(maxsize=1024)
def _pattern(path: str, slashes: bool) -> re.Pattern[str]:
    """The names of a resource's items: ``/catalog/datasets/{id}/versions`` and an id."""
    above = "[^/]+".join(map(re.escape, re.split(r"{[^}]+}", path.strip("/"))))
    return re.compile(f"{above}/{'.+' if slashes else '[^/]+'}")
