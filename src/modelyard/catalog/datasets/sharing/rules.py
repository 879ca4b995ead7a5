"""Who sees a dataset at all, and what they may do with it: a part of every query, and of each door.

Roles and policies decide what somebody may do with datasets; sharing takes away from that for one
dataset, and never adds to it.
"""

from __future__ import annotations

from typing import TypeVar

from modelyard.catalog.datasets.sharing.schema import Access, Grant, Right
from modelyard.kernel.context import Context
from modelyard.kernel.ports import Row
from modelyard.kernel.principal import Principal
from modelyard.kernel.resource import Resource
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import Field, Filter, Has, Not, Or

T = TypeVar("T")

EVERY = "dataset-access:admin"  # the permission to see and do everything with every dataset
SHARED_WITH = Field("sharedWith", "strings", ("sharedWith",))
_RANKS: dict[Right, int] = {"read": 1, "write": 2, "admin": 3}
_ATTRIBUTES = ("department", "project")
# What the permissions of routes need of a dataset; any other changes it.
_READS = frozenset(("read", "validate", "analyze", "diff"))
_OWNS = frozenset(("share", "delete", "purge"))


def name_of(principal: Principal) -> str:
    """Whose a thing is that this caller makes: the user's, where a key or token is a user's."""
    return principal.subject.rpartition("/")[2] or principal.id


def terms_of(principal: Principal) -> tuple[str, ...]:
    """All that a grant may call this caller by, as ``term`` writes it."""
    found = {principal.id, name_of(principal)}
    found |= {f"role:{role}" for role in principal.roles}
    for name in _ATTRIBUTES:
        if (value := principal.attributes.get(name)) is not None:
            found.add(f"{name}:{value}")
    return tuple(sorted(found))


def term(grant: Grant) -> str:
    """A grant's holder, as one word."""
    return f"{grant.type}:{grant.id}" if grant.type in ("role", *_ATTRIBUTES) else grant.id


def shared_with(access: Access, owner: str) -> list[str]:
    """Who sees it, where not everybody does: empty for the whole workspace."""
    if access.level != "private":
        return []
    return sorted({owner, *map(term, access.grants)})


def visible(context: Context) -> Filter | None:
    """What a caller may see of datasets, and of their versions: a part of the store's query."""
    if context.may(EVERY):
        return None
    terms = terms_of(context.principal)
    everybody: Filter = Not(Has(SHARED_WITH, "*"))
    return Or((everybody, *(Has(SHARED_WITH, one) for one in terms)))


def owns(principal: Principal, row: Row) -> bool:
    """Whether a dataset is the caller's."""
    return owner_of(row) in (principal.id, name_of(principal))


def owner_of(row: Row) -> str:
    """The id of whose a dataset is."""
    return str(row.spec.get("owner") or row.created_by)


def held(principal: Principal, access: Access) -> int:
    """The most that grants give a caller: 0 for nothing, 3 for ``admin``."""
    terms = terms_of(principal)
    ranks = [_RANKS[one.permission] for one in access.grants if term(one) in terms]
    return max(ranks, default=0)


def needed(permission: str) -> Right:
    """What a route's permission needs of the dataset."""
    area, _, action = permission.partition(":")
    if area != "dataset" or action in _READS:
        return "read"
    return "admin" if action in _OWNS else "write"


def allow(context: Context, name: str, row: Row, access: Access, permission: str) -> None:
    """Raise ``PERMISSION_DENIED`` where the dataset is not shared for that."""
    wanted = needed(permission)
    if access.level == "workspace" or owns(context.principal, row):
        return
    most = max(held(context.principal, access), 1)  # it is seen: it may be read
    if most >= _RANKS[wanted] or context.may(EVERY):
        return
    raise Failure(
        "PERMISSION_DENIED",
        f"{name} is shared with you for less than '{wanted}', which '{permission}' needs. Ask "
        f"{owner_of(row)} to share it (POST /v1/{name}/share).",
        details={"permission": permission, "access": wanted, "resource": name},
    )


def permit(context: Context, row: Row, access: Access, permission: str) -> None:
    """Raise ``PERMISSION_DENIED`` unless the caller may do that to a dataset beside the route's."""
    context.check(permission, row)
    allow(context, row.address.name, row, access, permission)


class Shared(Resource[T]):
    """A resource that may be shared with some alone; its document has a field ``access``."""

    def shown(self, context: Context, row: Row) -> bool:
        """As declared; raises ``PERMISSION_DENIED`` for what is seen, but not shared for that."""
        if not super().shown(context, row):
            return False
        access = getattr(self.load(row), "access", None)
        if isinstance(access, Access):
            allow(context, row.address.name, row, access, _asked(context, row))
        return True


def _asked(context: Context, row: Row) -> str:
    """What is to be done with a dataset: others than the route's are read for it."""
    at = row.address
    meant = at.name == context.parent or (at.kind, at.id) == (context.kind, context.wanted)
    return context.permission if meant else "dataset:read"
