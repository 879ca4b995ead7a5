"""What the declaration of users cannot say: passwords, and who may grant which role."""

from collections.abc import Iterable

from msgspec import structs

from modelyard.auth.passwords import Passwords, check_password
from modelyard.auth.policy import prepared
from modelyard.auth.statements import roles
from modelyard.identity.signing_keys import check_public
from modelyard.identity.users.schema import User
from modelyard.kernel.context import Context, Item
from modelyard.protocol.errors import Failure


async def admit(context: Context, user: User, item: Item[User] | None) -> User:
    """Check a password and keep its hash alone; check a signing key."""
    if user.signing_key is not None:
        check_public(dict(user.signing_key))
    if item is not None and user.signing_key != item.spec.signing_key:
        await prepared()
        assumable(context, item.spec, "signing_key")
    if user.password is None:
        return user
    if user.kind == "service_account":
        raise Failure(
            "INVALID_REQUEST",
            "A service account has no password. Leave it out, and make a key with this 'owner'.",
            details={"field": "password", "rule": "kind"},
        )
    if item is not None:
        if context.principal.subject == item.name:
            raise Failure(
                "INVALID_REQUEST",
                "This is your own password: send it with the old one to "
                "POST /v1/auth/me/set-password.",
                details={"field": "password", "rule": "own"},
            )
        await prepared()
        assumable(context, item.spec, "password")
    return await with_password(context, user, user.password)


async def with_password(
    context: Context, user: User, password: str, field: str = "password"
) -> User:
    """The user with a new password; the tokens of before are not accepted any more.

    Raises ``INVALID_REQUEST`` for one that is too short, too long or the login; ``field`` is its
    name.
    """
    check_password(password, user.login, field)
    kept = await context.of(Passwords).hash(password)
    epoch = user.epoch + 1 if user.password_hash else user.epoch
    return structs.replace(user, password=None, password_hash=kept, epoch=epoch)


async def grantable(context: Context, user: User, item: Item[User]) -> User:
    """Refuse a role that holds a permission which the caller lacks: nobody rises by granting."""
    await prepared()
    new = [role for role in user.roles if role not in item.spec.roles]
    if lack := _lacking(context, new):
        raise Failure(
            "PERMISSION_DENIED",
            f"The role '{lack[0]}' holds '{lack[1]}', which you lack, so you cannot grant it. "
            "Ask somebody who has it.",
            details={"field": "roles", "permission": lack[1]},
        )
    return user


def assumable(context: Context, user: User, field: str) -> None:
    """Refuse to let a caller act as somebody who may do more: nobody rises so either.

    ``field`` is what would let them. Raises ``PERMISSION_DENIED``.
    """
    if lack := _lacking(context, user.roles):
        raise Failure(
            "PERMISSION_DENIED",
            f"The user has the role '{lack[0]}' with '{lack[1]}', which you lack, so you cannot "
            "act for them. Ask somebody who has it.",
            details={"field": field, "permission": lack[1]},
        )


def _lacking(context: Context, names: Iterable[str]) -> tuple[str, str] | None:
    """The first role, and its permission, that the caller has not; None: all are there."""
    for role in names:
        for permission in roles()[role]:
            if not context.may(permission):
                return role, permission
    return None
