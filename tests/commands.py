"""``modelyard`` commands in this process: as a program of their own, but for its start."""

import contextlib
import io
import os
from typing import NamedTuple
from unittest import mock

from modelyard.cli.application import run
from serving import Server


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def modelyard(server: Server, *words: str) -> Ended:
    """Run one as the server's admin, in its folder."""
    env = server.environment() | {"MODELYARD_URL": server.url, "MODELYARD_API_KEY": server.key}
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, env, clear=True),
        contextlib.chdir(server.directory),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = run(words)
    return Ended(status, out.getvalue(), err.getvalue())
