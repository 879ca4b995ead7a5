"""``modelyard migrate``: the whole installation into a PostgreSQL database."""

from typing import Annotated

import typer

from modelyard.cli.copying import Config, installation, refuse_running, report, told
from modelyard.cli.options import Json
from modelyard.cli.problem import Problem
from modelyard.cli.progress import Bar, finished, shown
from modelyard.storage.copies import copying
from modelyard.storage.copies.opening import open_source, open_target

_AGAIN = "nothing was written; the same command begins anew"


def migrate(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL",
            envvar="MODELYARD_MIGRATE_TO",
            help="The empty database: postgresql://user@host/name.",
        ),
    ],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Copy all resources, the audit trail and the request log to PostgreSQL; stop the server first.

    All or nothing: what was written is compared by count and checksum before it is kept, so it
    can be repeated after it was interrupted. What is copied from stays as it is.
    """
    if not to.startswith(("postgresql://", "postgres://")):
        raise Problem("--to must begin with postgresql://", status=2)
    settings, home = installation(config)
    refuse_running(settings, home)

    async def work(bar: Bar) -> dict[str, int]:
        async with (
            open_source(settings.database_url, home) as source,
            open_target(to, home) as target,
        ):
            return await copying.copy(source, target, bar)

    with told(), shown(_AGAIN) as bar:
        tables = finished(work(bar))
    report(
        tables,
        {"next": "set MODELYARD_DATABASE_URL to the address, and start the server"},
        as_json=as_json,
    )
