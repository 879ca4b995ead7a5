"""Who asks, and what they may do."""

from msgspec import Struct


class Principal(Struct, frozen=True, kw_only=True):
    """An authenticated caller: its workspace and the permissions it was granted.

    A permission is ``area:action`` (``key:write``). A granted one may use ``*`` on either side;
    ``write`` implies ``read``.
    """

    id: str
    workspace: str
    scopes: tuple[str, ...]

    def may(self, permission: str) -> bool:
        """Whether one of the scopes grants ``permission``."""
        area, _, action = permission.partition(":")
        wanted = {f"{area}:{action}", f"{area}:*", f"*:{action}", "*:*"}
        if action == "read":
            wanted |= {f"{area}:write", "*:write"}
        return not wanted.isdisjoint(self.scopes)
