"""What the declaration of policies cannot say: which of them can be decided."""

from modelyard.auth.validation import validate
from modelyard.identity.policies.schema import Policy
from modelyard.kernel.context import Context, Item


async def admit(context: Context, policy: Policy, item: Item[Policy] | None) -> Policy:
    """Refuse what Cedar, or the filters that are made of it, could not decide."""
    resources = context.ports.resources
    validate(
        policy.policy,
        lambda kind: resources[kind].filterable if kind in resources else {},
    )
    return policy
