"""The ``modelyard`` command: chooses between serving and everything else.

``serve`` never imports typer or rich: the process that serves is the process that was started,
and they would stay in its memory.
"""

import sys
from collections.abc import Sequence

from modelyard.cli.serve import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 failed, 2 wrongly asked for."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["serve"]:
        return serve(words[1:])
    from modelyard.cli.application import run

    return run(words)
