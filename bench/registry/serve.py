"""Modelyard's own server with the resources of ``slice.py`` among its own: ``serve`` otherwise."""

import sys

from modelyard.cli.main import main
from modelyard.storage.allocation import uncounted


def add() -> None:
    """Declare them before the server is composed of what is declared."""
    uncounted()  # as "serve" does before it loads what uses SQLite
    import modelyard.resources as declared
    from bench.registry.slice import RESOURCES

    declared.RESOURCES = (*declared.RESOURCES, *RESOURCES)
    declared.BY_KIND.update({one.kind: one for one in RESOURCES})


if __name__ == "__main__":
    add()
    sys.exit(main(["serve", *sys.argv[1:]]))
