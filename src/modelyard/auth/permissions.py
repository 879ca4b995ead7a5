"""The published table: which permission each route needs, and which roles have it."""

from collections.abc import Iterable
from typing import NamedTuple

from modelyard.auth.policy import roles_with


class Need(NamedTuple):
    """A permission, what it is needed for, and the built-in roles that have it."""

    permission: str
    routes: tuple[str, ...]  # "POST /v1/auth/keys"
    roles: tuple[str, ...]


def needs(asked: Iterable[tuple[str, str]]) -> dict[str, list[Need]]:
    """By area, what each permission is needed for. ``asked`` pairs a permission with a route."""
    routes: dict[str, list[str]] = {}
    for permission, route in asked:
        routes.setdefault(permission, []).append(route)
    areas: dict[str, list[Need]] = {}
    for permission in sorted(routes):
        need = Need(permission, tuple(routes[permission]), tuple(roles_with(permission)))
        areas.setdefault(permission.partition(":")[0], []).append(need)
    return areas
