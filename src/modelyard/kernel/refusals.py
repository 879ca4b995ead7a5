"""What a client is told when a store did not make its commit."""

from modelyard.kernel.ports import Refused
from modelyard.protocol.errors import Failure


def failure(refused: Refused) -> Failure:
    """The failure with a way out."""
    name, field = refused.address.name, refused.field
    details = {"field": field or "id", "resource": name}
    if refused.reason == "stale":
        return Failure(
            "ETAG_MISMATCH",
            f"{name} was changed by another request. Read it again, then decide.",
            details=details,
        )
    if refused.reason == "exists":
        what = f"the same '{field}'" if field else "this id"
        message = f"There is one with {what} already. Choose another, or remove that one first."
        # Whoever has a unique value may be in another workspace.
        return Failure("CONFLICT", message, details={"field": field} if field else details)
    if refused.reason == "missing":
        target = ", ".join(refused.names)
        return Failure(
            "INVALID_REQUEST",
            f"'{field}' refers to {target}, which does not exist in this workspace.",
            details={"field": field, "rule": "reference", "resource": target},
        )
    return Failure(
        "CONFLICT",
        f"{name} is in use by {', '.join(refused.names)}. Remove those first.",
        details=details | {"used_by": list(refused.names)},
    )
