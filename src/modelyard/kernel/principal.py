"""Who asks, and what they may do."""

from typing import Literal

from msgspec import Struct


class Principal(Struct, frozen=True, kw_only=True):
    """An authenticated caller: its workspace and the permissions it was granted.

    A permission is ``area:action`` (``key:write``). A granted one may use ``*`` on either side;
    ``write`` implies every other action. ``roles`` and ``attributes`` are those of the user or
    the service account, for the policies; ``subject`` is its name (``auth/users/user_1``).
    ``narrowed`` are the only permissions that its token may be used for, whatever else grants
    more; None: it was not narrowed.
    """

    id: str
    workspace: str
    scopes: tuple[str, ...]
    kind: Literal["key", "user", "service_account"] = "key"
    subject: str = ""
    roles: tuple[str, ...] = ()
    attributes: dict[str, str | int] = {}
    narrowed: tuple[str, ...] | None = None

    def withheld(self, permission: str) -> bool:
        """Whether the token was narrowed to other permissions than this."""
        return self.narrowed is not None and granting(permission).isdisjoint(self.narrowed)


def granting(permission: str) -> set[str]:
    """Every scope that grants ``permission``."""
    area, _, action = permission.partition(":")
    return {f"{one}:{other}" for one in (area, "*") for other in (action, "write", "*")}
