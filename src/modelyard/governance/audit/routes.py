"""The endpoints of the audit trail."""

from typing import Any

from modelyard.governance.audit import methods, verification
from modelyard.governance.audit.schema import (
    AuditLog,
    AuditQuery,
    AuditReport,
    ReportQuery,
    SearchAudit,
)
from modelyard.jobs.kinds import Submit
from modelyard.jobs.operations import operations
from modelyard.kernel.route import Route

TAG = "Governance"
PATH = "/v1/governance/audit"


def routes() -> list[Route]:
    """Log, entity trail, search, report and verification."""
    common: dict[str, Any] = {
        "permission": "audit:read", "tag": TAG, "errors": ("SYSTEM_OVERLOADED",)
    }  # fmt: skip
    return [
        Route(
            method="GET",
            path=PATH,
            serve=methods.log,
            summary="Get audit logs",
            query=AuditQuery,
            response=AuditLog,
            operation="listAuditEntries",
            **common,
        ),
        Route(
            method="GET",
            path=PATH + "/{entityId*}",
            serve=methods.entity,
            summary="Get entity audit trail",
            query=AuditQuery,
            response=AuditLog,
            operation="getEntityAuditTrail",
            **(common | {"errors": ("NOT_FOUND", "SYSTEM_OVERLOADED")}),
        ),
        Route(
            method="POST",
            path=PATH + "/search",
            serve=methods.search,
            summary="Search audit logs",
            request=SearchAudit,
            response=AuditLog,
            operation="searchAuditEntries",
            examples={"request": {"verb": "key.*", "since": "2026-01-01T00:00:00Z"}},
            **common,
        ),
        Route(
            method="GET",
            path=PATH + "/report",
            serve=methods.report,
            summary="Generate audit report",
            query=ReportQuery,
            response=AuditReport,
            also=("text/csv", "text/html"),
            operation="getAuditReport",
            **common,
        ),
        _verify(common),
    ]


def _verify(common: dict[str, Any]) -> Route:
    return Route(
        method="POST",
        path=PATH + "/verify",
        serve=verification.begin,
        summary="Verify the whole audit trail",
        query=Submit,
        response=operations.types.view,
        status=202,
        audit="audit.verify",
        operation="verifyAuditTrail",
        **common,
    )
