"""What the commands that copy an installation have in common."""

import asyncio
import contextlib
import fcntl
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from modelyard.cli.options import local_url
from modelyard.cli.output import print_json, print_table
from modelyard.cli.problem import Problem
from modelyard.cli.serve import tell_errors
from modelyard.settings import Settings, SettingsError, load
from modelyard.storage.copies import copying, running
from modelyard.storage.copies.opening import connected
from modelyard.storage.ledger.file import SUFFIX
from modelyard.storage.opening import file_of, remote
from modelyard.storage.schema import UnusableDatabase

Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="The settings file.")]


def installation(config: Path | None) -> tuple[Settings, Path]:
    """The settings of the installation, and its home folder."""
    try:
        settings = load(config).settings
    except SettingsError as error:
        tell_errors(error)
        raise typer.Exit(2) from None
    return settings, settings.home.expanduser()


def refuse_running(settings: Settings, home: Path) -> None:
    """Raise ``Problem`` while a server or a worker uses ``home`` or the database.

    And while a server listens where these settings say.
    """
    if running.held(home):
        raise Problem(
            f"a worker is running with {home}. Stop it first: what it writes meanwhile would "
            "be lost."
        )
    if _written(home / "ledger"):
        raise Problem(
            f"a server is running with {home}. Stop it first: what it writes meanwhile would "
            "be lost."
        )
    place = urlsplit(local_url(settings))
    with contextlib.suppress(OSError):
        socket.create_connection((str(place.hostname), place.port or 80), 1).close()
        raise Problem(
            f"a server listens at port {place.port}. Stop it first: what it writes meanwhile would "
            "be lost."
        )
    if not remote(settings.database_url):
        file = file_of(settings.database_url, home)
        if running.opened(file):
            raise Problem(
                f"a server or a worker, maybe of another home folder, has {file} open. Stop it "
                "first: what it writes meanwhile would be lost."
            )
    if count := asyncio.run(connected(settings.database_url)):
        raise Problem(
            f"servers or workers have {count} connections to the database. Stop them first, on "
            "whichever machine they run: what they write meanwhile would be lost."
        )


def _written(folder: Path) -> bool:
    """Whether a living process holds one of the ledger's files, as each of a server's does."""
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


@contextlib.contextmanager
def told() -> Iterator[None]:
    """What can go wrong, in one line."""
    try:
        yield
    except FileExistsError as error:
        raise Problem(f"{error.args[0]} exists; it is replaced with --force only.") from error
    except (copying.UnusableArchive, copying.Unequal, UnusableDatabase, OSError) as error:
        raise Problem(str(error)) from error


def report(tables: Mapping[str, int], more: Mapping[str, object], *, as_json: bool) -> None:
    """Tell what was copied; every table was compared by count and checksum."""
    if as_json:
        print_json({**more, "tables": tables})
        return
    print_table(("table", "rows"), tables.items())
    for name, value in more.items():
        print(f"{name.replace('_', ' ')}: {value}")
