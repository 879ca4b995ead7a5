"""Added access policies at ``/v1/auth/policies``: Cedar text, in force within a second."""

from modelyard.identity.policies.methods import admit
from modelyard.identity.policies.schema import Policy
from modelyard.kernel.resource import Resource

policies: Resource[Policy] = Resource(
    "/auth/policies",
    Policy,
    tag="Identity",
    singular="policy",
    own_ids=r"^[a-z0-9][a-z0-9._-]{0,62}\Z",
    filterable=("enabled",),
    searchable=("policy", "description"),
    admit=admit,
    examples={
        "request": {
            "id": "no-revoking-by-interns",
            "policy": 'forbid (principal, action == Action::"key:revoke", resource) '
            'when { principal has department && principal.department == "interns" };',
        }
    },
)
