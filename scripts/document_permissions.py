"""Write ``docs/reference/permissions.md`` from the routes and the roles. ``--check`` compares."""

import sys
from collections.abc import Iterator

from modelyard.auth.permissions import INSIDE, needs
from modelyard.auth.statements import roles
from modelyard.server import routes
from page import row, write_or_check

HEAD = """\
# Permissions

Written by `make docs` from the routes' declarations and
[`roles.cedar`](../../src/modelyard/auth/roles.cedar).

A permission is `area:action`. In a scope or a role either side may be `*`, and `write` implies
every other action of its area. A request that lacks one is refused with
[`PERMISSION_DENIED`](errors/PERMISSION_DENIED.md), which names it.

A key may do what its `scopes` say, and what the roles of its owner say if it has one; a user or a
service account what its roles say. A token that was asked for with a narrower `scope` stays within
it. An admin can add [policies](../how-to/policies.md) that permit more, or forbid whatever was
permitted.

A key that is made without scopes has `inference:*` and `model:read`. The admin key has `*:*`. A key
can give another key only what it has itself, and rotate only keys whose scopes it has.

Who has `workspace:write` may name another workspace than the own one by `?workspace=`. `*:*` has
it, too, so an `admin` is one of the whole installation, whichever workspace it is in. Whoever is to
rule one workspace alone gets a key with the scopes for it: `user:*`, `key:*`, `policy:*`, say.
"""


def shown(route: str) -> str:
    """A route as code, a sentence as it is."""
    return f"`{route}`" if " /" in route else route


def role_table() -> Iterator[str]:
    """What each built-in role has."""
    yield from ("", "## Roles", "", row("role", "has"), row("---", "---"))
    for role, permissions in roles().items():
        yield row(f"`{role}`", ", ".join(f"`{one}`" for one in permissions))


def area_tables() -> Iterator[str]:
    """For each area what its permissions are needed for."""
    asked = [
        (route.permission, f"{route.method} {route.path}")
        for route in routes()
        if route.permission and not route.hidden
    ]
    yield from ("", "## Areas")
    for area, found in needs([*asked, *INSIDE]).items():
        yield from ("", f"### {area}", "")
        yield from (row("permission", "needed for", "roles that have it"), row(*["---"] * 3))
        for need in found:
            where = "<br>".join(shown(route) for route in need.routes)
            who = ", ".join(f"`{role}`" for role in need.roles)
            yield row(f"`{need.permission}`", where, who)


def public() -> Iterator[str]:
    """What needs no key."""
    found = [f"`{route.path}`" for route in routes() if not route.permission and not route.hidden]
    yield from ("", "## Without a key", "", ", ".join(dict.fromkeys(found)) + ".", "")
    yield "Whoever may reach the port may read the metrics: they hold models and sums, no request"
    yield "and no key."


if __name__ == "__main__":
    text = HEAD + "\n".join([*role_table(), *area_tables(), *public()]) + "\n"
    sys.exit(write_or_check("docs/reference/permissions.md", text))
