"""What the declaration of users cannot say: passwords, and who may grant which role."""

from msgspec import structs

from modelyard.auth.passwords import Passwords, check_password
from modelyard.auth.statements import roles
from modelyard.identity.keys.secrets import check_public
from modelyard.identity.users.schema import User
from modelyard.kernel.context import Context, Item
from modelyard.kernel.errors import Failure


async def admit(context: Context, user: User, item: Item[User] | None) -> User:
    """Check a password and keep its hash alone; check a signing key."""
    if user.signing_key is not None:
        check_public(dict(user.signing_key))
    if user.password is None:
        return user
    if user.kind == "service_account":
        raise Failure(
            "INVALID_REQUEST",
            "A service account has no password. Leave it out, and make a key with this 'owner'.",
            details={"field": "password", "rule": "kind"},
        )
    check_password(user.password, user.login)
    kept = await context.of(Passwords).hash(user.password)
    return structs.replace(user, password=None, password_hash=kept)


async def grantable(context: Context, user: User, item: Item[User]) -> User:
    """Refuse a role that holds a permission which the caller lacks: nobody rises by granting."""
    for role in user.roles:
        for permission in roles()[role]:
            if role not in item.spec.roles and not context.may(permission):
                raise Failure(
                    "PERMISSION_DENIED",
                    f"The role '{role}' holds '{permission}', which you lack, so you cannot grant "
                    "it. Ask somebody who has it.",
                    details={"field": "roles", "permission": permission},
                )
    return user
