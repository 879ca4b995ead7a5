"""What clients send and read of provenance (camelCase), in the terms of W3C PROV-DM."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.governance.audit.schema import AuditQuery, Part, Workspace
from modelyard.kernel import methods
from modelyard.kernel.fields import Time

Relation = Annotated[
    str,
    Meta(
        description="`wasGeneratedBy`, `wasRevisionOf`, `wasInvalidatedBy`, `wasDerivedFrom`, "
        "`used`, `wasAttributedTo`, `wasAssociatedWith`, or `refersTo` for a reference."
    ),
]
Name = Annotated[str, Meta(description="A resource's name: `auth/keys/key_1f`.")]


class ProvEntity(Struct, frozen=True, kw_only=True):
    """A resource, or one revision of it (`auth/keys/key_1f#2`)."""

    id: str
    name: Name
    kind: Annotated[str, Meta(description="Its collection; empty where that is not known.")]
    revision: int | None


class ProvActivity(Struct, frozen=True, kw_only=True, rename="camel"):
    """What was done: one entry of the audit trail."""

    id: Annotated[str, Meta(description="The id of the audit entry.")]
    type: Annotated[str, Meta(description="Its verb: `key.create`.")]
    started_at: Time
    ended_at: Time
    request_id: str


class ProvAgent(Struct, frozen=True, kw_only=True):
    """Who did it, or whose it is."""

    id: Annotated[str, Meta(description="The id of a key, or the name of a user.")]
    type: Literal["key", "user", "system"]


class ProvRelation(Struct, frozen=True, kw_only=True):
    """An arrow from the newer to the older, or from what was done to who did it."""

    type: Relation
    source: str
    target: str
    activity: Annotated[str | None, Meta(description="By which audit entry it was recorded.")]
    detail: Annotated[str, Meta(description="The field of a reference; else what was said.")]
    at: Time


class ProvenanceRecord(Struct, frozen=True, kw_only=True):
    """One activity, with what it made or ended, who did it, and how that relates."""

    id: Annotated[str, Meta(description="The id of the audit entry.")]
    sequence: int
    at: Time
    entity: ProvEntity
    activity: ProvActivity
    agent: ProvAgent
    relations: list[ProvRelation]


class ProvenanceList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of records."""

    records: list[ProvenanceRecord]
    next_page_token: str | None


class ProvQuery(Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A question: everything that is given must hold."""

    entity: Annotated[str, Meta(description="A resource's name, or its id alone.")] = ""
    agent: Annotated[str, Meta(description="The id of the caller.")] = ""
    activity: Annotated[str, Meta(description="A verb: `key.create`, or `key.*`.")] = ""
    kind: Annotated[str, Meta(description="The kind of what was made: `auth/keys`.")] = ""
    target: Annotated[
        str, Meta(description="Only activities that used this resource, or derived from it.")
    ] = ""
    workspace: Workspace | None = None


class ArtifactQuery(AuditQuery, frozen=True, kw_only=True):
    """Query parameters of an artifact's provenance."""

    format: Annotated[
        Literal["json", "prov-json"], Meta(description="`prov-json`: W3C's PROV-JSON.")
    ] = "json"


class ArtifactProvenance(Struct, frozen=True, kw_only=True, rename="camel"):
    """How a resource came to be what it is; a page of its activities, the newest first.

    What relates it to other resources is on the first page.
    """

    artifact_id: Name
    kind: str
    entities: list[ProvEntity]
    activities: list[ProvActivity]
    agents: list[ProvAgent]
    relations: list[ProvRelation]
    next_page_token: str | None


Direction = Literal["upstream", "downstream", "both"]


class LineageQuery(Struct, frozen=True, kw_only=True):
    """Query parameters of a lineage graph."""

    direction: Annotated[
        Direction,
        Meta(description="`upstream`: what it came from. `downstream`: what came from it."),
    ] = "both"
    depth: Annotated[int, Meta(ge=1, le=10, description="Most steps away.")] = 5
    format: Annotated[
        Literal["json", "prov-json", "mermaid"],
        Meta(description="`prov-json`: W3C's PROV-JSON; `mermaid`: text of a flow chart."),
    ] = "json"
    workspace: methods.Workspace | None = None


class LineageNode(Struct, frozen=True, kw_only=True):
    """A resource, or who made one."""

    id: str
    type: Literal["entity", "agent"]
    kind: str
    direction: Literal["self", "upstream", "downstream"]
    depth: Annotated[int, Meta(description="How many steps away it is.")]


class LineageEdge(Struct, frozen=True, kw_only=True):
    """From the newer to the older."""

    source: str
    target: str
    relation: Relation
    activity: str | None
    detail: str
    at: Time


class Lineage(Struct, frozen=True, kw_only=True):
    """What a resource came from and what came from it."""

    id: Name
    direction: Direction
    depth: int
    nodes: list[LineageNode]
    edges: list[LineageEdge]
    truncated: Annotated[
        bool, Meta(description="There is more than 1,000 nodes or their edges: some are left out.")
    ]
