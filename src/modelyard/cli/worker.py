"""``modelyard worker``: work at operations, on this machine or any that reaches the database."""

from typing import Annotated

import typer

from modelyard.cli.copying import Config, installation
from modelyard.cli.problem import Problem
from modelyard.storage.opening import remote


def worker(
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=256, help="Operations at a time; else the settings'.")
    ] = None,
    config: Config = None,
) -> None:
    """Work at operations until SIGTERM or Ctrl-C.

    It needs the settings of the server: the same database, and the same pepper in its home. On
    PostgreSQL it may run on any machine. What it has begun and not ended is given back.
    """
    settings, home = installation(config)
    if not remote(settings.database_url) and not home.exists():
        raise Problem(f"there is no installation in {home}; start 'modelyard serve' there once")
    from modelyard.worker import serve

    serve(settings, home, concurrency=concurrency)
