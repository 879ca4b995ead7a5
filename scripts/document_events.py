"""Write ``docs/reference/events.md``: the types that webhooks may ask for. ``--check`` compares."""

import sys
from collections.abc import Iterator

from modelyard.resources import RESOURCES
from modelyard.server import routes
from page import row, write_or_check

HEAD = """\
# Types of events

Written by `make docs` from the routes' declarations. [Webhooks](../how-to/webhooks.md) subscribe to
them by type (`key.create`), by area (`key.*`) or to all (`*`), as `/watch` and the
[audit trail](../how-to/audit.md) tell them.

A route that is answered with an operation tells of `operation.create` when it is asked, and of the
event below once the work is done and committed; work that changes nothing has its operation's
events alone. `area.purge` is told when what was deleted has gone for good. Inference jobs are
operations.
"""
# What no request is answered with: the work of servers and workers, or a part of a request.
INSIDE = (
    ("artifact.collect", "Nothing referred to it for the grace period"),
    ("artifact.damage", "Its stored bytes were found damaged"),
    ("artifact.upload", "The bytes of one that was there came again, and mended it or its fields"),
    ("artifact.expire", "An upload was left and is gone"),
    ("operation.create", "Work was asked for"),
    ("operation.start", "Its first attempt has begun"),
    ("operation.succeed", "It has ended well; its changes are in the same commit"),
    ("operation.fail", "It has ended with an error"),
    ("operation.cancelled", "It was cancelled while it ran, and has ended"),
    ("operation.forget-response", "Its result went with its prediction"),
    ("webhook.disable", "It was turned off after repeated failure, or by `410 Gone`"),
)

OPERATIONS = frozenset(("inference.submit", "inference.cancel"))  # they tell of these alone


def tables() -> Iterator[str]:
    """For each area its types, and what makes them."""
    found = dict[str, list[str]]()
    for route in routes():
        if route.audit and not route.hidden and route.audit not in OPERATIONS:
            found.setdefault(route.audit, []).append(f"`{route.method} {route.path}`")
    for name, meaning in INSIDE:
        found.setdefault(name, []).append(meaning)
    for area in sorted({one.area for one in RESOURCES}):
        names = [name for name in sorted(found) if name.partition(".")[0] == area]
        yield from ("", f"## {area}", "", row("type", "when"), row("---", "---"))
        for name in names:
            yield row(f"`{name}`", "<br>".join(dict.fromkeys(found[name])))


if __name__ == "__main__":
    sys.exit(write_or_check("docs/reference/events.md", HEAD + "\n".join(tables()) + "\n"))
