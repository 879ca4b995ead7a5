"""The published table: which permission each route needs, and which roles have it."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import NamedTuple

from msgspec import Struct

from modelyard.auth.callers import grants
from modelyard.auth.policy import roles_with

# What is asked for inside a route, beside the route's own permission.
INSIDE = (
    ("dataset-access:admin", "Seeing and changing datasets that others keep private"),
    ("dataset-pii:use", "Personal data in others' datasets that is not anonymised"),
    ("user:write", "Making or rotating a key that has an owner"),
    ("workspace:write", "Whatever names another workspace than the caller's own"),
)


class Permissions(Struct, frozen=True):
    """Every permission that a route of this API needs."""

    names: tuple[str, ...]


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


def asked(permissions: Iterable[str]) -> frozenset[str]:
    """All that is ever asked for, where the routes need ``permissions``."""
    return frozenset(permissions).union(name for name, _ in INSIDE)


def unasked(name: str, known: Collection[str], *, alone: bool) -> str:
    """Why a policy about the action ``name`` would do nothing; "" where it does something.

    ``known`` are all actions; ``alone``: it is compared with ``==``, so that no pattern matches.
    """
    if name in known or (not alone and any(name in grants(one) for one in known)):
        return ""
    area = name.partition(":")[0]
    there = ", ".join(sorted(one for one in known if one.startswith(f"{area}:")))
    if not there:
        areas = sorted({one.partition(":")[0] for one in known})
        there = f"actions of {', '.join(areas)} (docs/reference/permissions.md)"
    near = get_close_matches(name, sorted(known), n=1)
    hint = f"did you mean '{near[0]}'? There" if near else "there"
    return f"no request asks for '{name}'; {hint} are {there}"
