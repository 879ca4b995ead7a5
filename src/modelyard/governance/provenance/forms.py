"""Provenance in other forms: W3C's PROV-JSON, and Mermaid's text of a flow chart."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from modelyard.governance.provenance.records import Graph
from modelyard.governance.provenance.schema import Lineage, ProvRelation
from modelyard.kernel.route import Raw

PREFIX = "my"
NAMESPACE = "urn:modelyard:"

# How PROV-JSON names the two ends of a relation (W3C Member Submission of 24 April 2013).
_ENDS = {
    "wasGeneratedBy": ("prov:entity", "prov:activity"),
    "wasInvalidatedBy": ("prov:entity", "prov:activity"),
    "used": ("prov:activity", "prov:entity"),
    "wasAssociatedWith": ("prov:activity", "prov:agent"),
    "wasAttributedTo": ("prov:entity", "prov:agent"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
    "wasInfluencedBy": ("prov:influencee", "prov:influencer"),
}
_TIMED = ("wasGeneratedBy", "wasInvalidatedBy", "used")
_REVISION = {"$": "prov:Revision", "type": "prov:QUALIFIED_NAME"}


def prov_json(graph: Graph) -> Raw:
    """The graph as PROV-JSON.

    A reference is an influence there. What a resource used, the activity used that made it.
    """
    found: dict[str, dict[str, Any]] = {
        "prefix": {PREFIX: NAMESPACE},
        "entity": {},
        "activity": {},
        "agent": {},
    }
    for entity in graph.entities.values():
        found["entity"][_name(entity.id)] = {"prov:label": entity.name} | _kind(entity.kind)
    for activity in graph.activities.values():
        found["activity"][_name(activity.id)] = {
            "prov:startTime": activity.started_at,
            "prov:endTime": activity.ended_at,
        } | _kind(activity.type)
    for agent in graph.agents.values():
        found["agent"][_name(agent.id)] = {"prov:label": agent.id} | _kind(agent.type)
    for number, one in enumerate(graph.relations.values(), 1):
        type_, written = _relation(one, graph.activities)
        found.setdefault(type_, {})[f"_:r{number}"] = written
        for end, section in zip(_ENDS[type_], _sections(type_), strict=True):
            found[section].setdefault(written[end], {})
    return Raw(msgspec.json.encode(found), "application/json")


def _relation(one: ProvRelation, activities: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    type_, source, more = one.type, one.source, dict[str, Any]()
    if type_ == "wasRevisionOf":
        type_, more = "wasDerivedFrom", {"prov:type": _REVISION}
    elif type_ == "used" and source not in activities:
        if one.activity in activities:
            source = one.activity or source
        else:
            type_ = "wasDerivedFrom"
    elif type_ not in _ENDS:
        type_, more = "wasInfluencedBy", {"prov:type": one.type}
    if one.detail:
        more["prov:label"] = one.detail
    if type_ in _TIMED:
        more["prov:time"] = one.at
    first, second = _ENDS[type_]
    return type_, {first: _name(source), second: _name(one.target)} | more


def _sections(type_: str) -> tuple[str, str]:
    """Where the two ends of a relation are described."""
    kinds = {"prov:activity": "activity", "prov:agent": "agent"}
    first, second = _ENDS[type_]
    return kinds.get(first, "entity"), kinds.get(second, "entity")


def _name(id_: str) -> str:
    return f"{PREFIX}:{quote(id_, safe='/#@:+')}"


def _kind(kind: str) -> dict[str, str]:
    return {"prov:type": kind} if kind else {}


def mermaid(lineage: Lineage) -> Raw:
    """The lineage as a flow chart, for Markdown pages: from the older to the newer."""
    marks = {node.id: f"n{number}" for number, node in enumerate(lineage.nodes)}
    lines = ["flowchart LR"]
    for node in lineage.nodes:
        shape = '(["{}"])' if node.type == "agent" else '["{}"]'
        lines.append(f"  {marks[node.id]}{shape.format(_quoted(node.id))}")
    for edge in lineage.edges:
        told = f"{edge.relation} {edge.detail}".strip()
        lines.append(f'  {marks[edge.target]} -->|"{_quoted(told)}"| {marks[edge.source]}')
    lines.append(f"  style {marks[lineage.id]} stroke-width:3px")
    return Raw(("\n".join(lines) + "\n").encode(), "text/plain; charset=utf-8")


def _quoted(text: str) -> str:
    """A text between quotes: Mermaid writes characters as ``#`` and their number."""
    return "".join(f"#{ord(c)};" if c in '"#<>&`\\\n|' else c for c in text)
