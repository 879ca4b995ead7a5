"""``modelyard login`` and ``logout``: act as oneself, and not with a key."""

from typing import Annotated

import typer

from modelyard.cli import session
from modelyard.cli.asking import secret
from modelyard.cli.client import Client
from modelyard.cli.options import Json, Url, local_url, settings
from modelyard.cli.output import console, print_json


def login(
    name: Annotated[
        str | None, typer.Argument(help="Your login; asked for if left out.", metavar="LOGIN")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Sign in with a password. The other commands then act as you, where no key is given.

    The password is asked for, or read from standard input. The token is kept in the file `session`
    in MODELYARD_HOME.
    """
    here = settings()
    client = Client(url or local_url(here), None)
    name = name or str(typer.prompt("Login", err=True))
    body = {"login": name, "password": secret("Password")}
    made = client.call("POST", "/v1/auth/login", body)
    session.keep(here.home.expanduser(), client.url, name, made)
    told = {
        "url": client.url,
        "login": name,
        "user_id": made["user_id"],
        "workspace": made["workspace"],
        "expires_in": made["expires_in"],
    }
    if as_json:
        print_json(told)
        return
    minutes = made["expires_in"] // 60
    console().print(
        f"Signed in to {client.url} as {name}, workspace {made['workspace']}, for {minutes} "
        "minutes.",
        markup=False,
    )


def logout(as_json: Json = False) -> None:
    """Forget the token of the last login."""
    there = session.forget(settings().home.expanduser())
    if as_json:
        print_json({"forgotten": there})
    else:
        console().print("Signed out." if there else "Nobody was signed in.")
