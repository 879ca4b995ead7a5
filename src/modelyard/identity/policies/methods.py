"""What the declaration of policies cannot say: which of them can be decided."""

from modelyard.auth.permissions import Permissions, asked
from modelyard.auth.policy import prepared
from modelyard.auth.validation import validate
from modelyard.identity.policies.schema import Policy
from modelyard.kernel.context import Context, Item


async def admit(context: Context, policy: Policy, item: Item[Policy] | None) -> Policy:
    """Refuse what Cedar, or the filters that are made of it, could not decide; what does nothing.

    A text that is stored already may name an action that is gone: it can still be turned off.
    """
    await prepared()
    resources = context.ports.resources
    names = context.of(Permissions).names
    new = item is None or item.spec.policy != policy.policy
    validate(
        policy.policy,
        lambda kind: resources[kind].filterable if kind in resources else {},
        asked(names) if names and new else (),
    )
    return policy
