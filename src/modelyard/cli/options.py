"""Options that commands share, and the server and key they stand for."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from modelyard.cli import session
from modelyard.cli.client import Client
from modelyard.settings import Settings, SettingsError, load

Url = Annotated[
    str | None,
    typer.Option(
        envvar="MODELYARD_URL",
        help="The server's address; else this machine, at the port of the settings.",
        metavar="URL",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        envvar="MODELYARD_API_KEY",
        help="The API key; else the session of 'login', MODELYARD_ADMIN_KEY, or the admin key in "
        "MODELYARD_HOME.",
        metavar="KEY",
        show_envvar=True,
    ),
]
Workspace = Annotated[
    str | None,
    typer.Option(
        help="Another workspace than one's own: needs workspace:write.", metavar="WORKSPACE"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def connect(url: str | None, key: str | None) -> Client:
    """The client for the options given, completed from the settings."""
    found = settings()
    client = Client(url or local_url(found), key)
    if key is None:
        own = session.token(found.home.expanduser(), client.url)
        client = Client(client.url, own or _admin_key(found, client.url))
    return client


def local_url(settings: Settings) -> str:
    """Where a server with these settings is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def settings() -> Settings:
    """What the settings say; wrong ones are the server's matter, not that of its clients."""
    try:
        return load().settings
    except SettingsError as error:
        return error.partial


def _admin_key(settings: Settings, url: str) -> str | None:
    """The admin key, if it is known here. The generated one is sent to this machine only."""
    if settings.admin_key or urlsplit(url).hostname not in (*LOOPBACK, settings.host):
        return settings.admin_key
    try:
        return Path(settings.home, "admin.key").read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
