"""Added access policies at ``/v1/auth/policies``: Cedar text, in force within a second."""

from typing import Annotated

from msgspec import Meta, Struct

from modelyard.auth.validation import validate
from modelyard.kernel.context import Context, Item
from modelyard.kernel.resource import Resource


class Policy(Struct, frozen=True, kw_only=True):
    """One or more Cedar statements about the callers and resources of this workspace."""

    policy: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=20_000,
            description="Cedar text; docs/how-to/policies.md has examples.",
        ),
    ]
    description: Annotated[str, Meta(max_length=1000)] = ""
    enabled: bool = True


async def admit(context: Context, policy: Policy, item: Item[Policy] | None) -> Policy:
    """Refuse what Cedar, or the filters that are made of it, could not decide."""
    resources = context.ports.resources
    validate(
        policy.policy,
        lambda kind: resources[kind].filterable if kind in resources else {},
    )
    return policy


policies = Resource(
    "/auth/policies",
    Policy,
    tag="Identity",
    singular="policy",
    own_ids="^[a-z0-9][a-z0-9._-]{0,62}$",
    filterable=("enabled",),
    searchable=("policy", "description"),
    admit=admit,
    examples={
        "request": {
            "id": "no-deleting-by-interns",
            "policy": 'forbid (principal, action == Action::"key:delete", resource) '
            'when { principal has department && principal.department == "interns" };',
        }
    },
)
