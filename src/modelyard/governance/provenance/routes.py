"""The endpoints of provenance."""

from typing import Any

from modelyard.governance.audit.schema import AuditQuery
from modelyard.governance.provenance import methods
from modelyard.governance.provenance.schema import (
    ArtifactProvenance,
    ArtifactQuery,
    Lineage,
    LineageQuery,
    ProvenanceList,
    ProvQuery,
)
from modelyard.kernel.route import Route

TAG = "Governance"
PATH = "/v1/governance/provenance"


def routes() -> list[Route]:
    """Records, an artifact's provenance, queries and the lineage graph."""
    common: dict[str, Any] = {"permission": "provenance:read", "tag": TAG}
    return [
        Route(
            method="GET",
            path=PATH,
            serve=methods.listed,
            summary="Get provenance records",
            query=AuditQuery,
            response=ProvenanceList,
            errors=("SYSTEM_OVERLOADED",),
            operation="listProvenanceRecords",
            **common,
        ),
        Route(
            method="GET",
            path=PATH + "/{artifactId*}",
            serve=methods.artifact,
            summary="Get artifact provenance",
            query=ArtifactQuery,
            response=ArtifactProvenance,
            errors=("NOT_FOUND", "SYSTEM_OVERLOADED"),
            operation="getArtifactProvenance",
            **common,
        ),
        Route(
            method="POST",
            path=PATH + "/query",
            serve=methods.query,
            summary="Query provenance",
            request=ProvQuery,
            response=ProvenanceList,
            errors=("SYSTEM_OVERLOADED",),
            operation="queryProvenance",
            examples={"request": {"agent": "key_1f", "activity": "user.*"}},
            **common,
        ),
        Route(
            method="GET",
            path=PATH + "/lineage/{id*}",
            serve=methods.lineage_of,
            summary="Get lineage graph",
            query=LineageQuery,
            response=Lineage,
            errors=("NOT_FOUND", "SYSTEM_OVERLOADED"),
            operation="getLineage",
            **common,
        ),
    ]
