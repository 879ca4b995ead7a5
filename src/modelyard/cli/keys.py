"""``modelyard keys``: the API keys of a server."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from modelyard.cli.client import Client, segment
from modelyard.cli.options import Json, Key, Url, Workspace, connect
from modelyard.cli.output import console, print_json, print_table
from modelyard.cli.problem import Problem
from modelyard.cli.progress import listing

PATH = "/v1/auth/keys"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LIMITS = (
    "requests_per_second",
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_requests",
    "requests_per_day",
    "payload_bytes",
)

app = typer.Typer(no_args_is_help=True, help="API keys: create, list, rotate, revoke.")
Id = Annotated[str, typer.Argument(help="The key's id, as 'keys list' shows it.", metavar="ID")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    workspace: Annotated[str | None, typer.Option(help="Workspace the key belongs to.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="A permission, such as inference:create; repeatable.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: RFC 3339, or a time from now (30d, 12h).")
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="A limit instead of the server's default, such as requests_per_minute=100 or "
            f"tokens_per_minute=none; repeatable. Names: {', '.join(LIMITS)}.",
        ),
    ] = None,
    cache_samples: Annotated[
        bool, typer.Option("--cache-samples", help="Cache answers of a temperature above 0 too.")
    ] = False,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once and never again."""
    given = {
        "workspace": workspace,
        "scopes": scope or None,
        "limits": dict(_limit(text) for text in limit or []) or None,
        "expires_at": moment(expires) if expires else None,
        "cache_samples": cache_samples or None,
    }
    body = {"name": name, **{k: v for k, v in given.items() if v is not None}}
    _show_new(connect(url, key).call("POST", PATH, body), as_json)


@app.command("list")
def list_keys(
    workspace: Workspace = None, url: Url = None, key: Key = None, as_json: Json = False
) -> None:
    """The keys that were made, without their secrets."""
    found = _all(connect(url, key), workspace)
    if as_json:
        print_json({"keys": found})
        return
    columns = ("id", "name", "workspace", "scopes", "created_at", "expires_at")
    print_table(columns, ([item.get(column) for column in columns] for item in found))


@app.command()
def rotate(
    key_id: Id,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Seconds the old key stays valid.")
    ] = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Make a new secret for a key; the old one stays valid for a while."""
    body = {} if overlap is None else {"overlap_seconds": overlap}
    path = f"{PATH}/{segment(key_id)}/rotate{_within(workspace)}"
    _show_new(connect(url, key).call("POST", path, body), as_json)


@app.command()
def revoke(
    key_id: Id,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """End a key at once."""
    connect(url, key).call("DELETE", f"{PATH}/{segment(key_id)}{_within(workspace)}")
    if as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        console().print(f"Revoked {key_id}.", markup=False)


def moment(text: str) -> str:
    """RFC 3339 in UTC, of such a time or of a span from now. Raises Problem for anything else."""
    span = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if span:
        at = datetime.now(UTC) + timedelta(seconds=int(span[1]) * UNITS[span[2]])
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise Problem(
                f"--expires '{text}' is no time: write 2027-01-31T12:00:00Z, or 30d, 12h, 15m",
                status=2,
            ) from None
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _limit(text: str) -> tuple[str, int | None]:
    name, _, number = text.replace("-", "_").partition("=")
    if name not in LIMITS or not re.fullmatch(r"none|[1-9]\d{0,14}", number):
        raise Problem(
            f"--limit '{text}' is none: write NAME=NUMBER or NAME=none, NAME one of "
            f"{', '.join(LIMITS)}",
            status=2,
        )
    return name, None if number == "none" else int(number)


def _within(workspace: str | None) -> str:
    """The query of another workspace."""
    return f"?{urlencode({'workspace': workspace})}" if workspace else ""


def _all(client: Client, workspace: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token = ""
    with listing("keys") as bar:
        while True:
            query = {"page_token": token, "workspace": workspace or ""}
            page = client.get(PATH, **{name: value for name, value in query.items() if value})
            found += page["keys"]
            bar.at(len(found))
            token = page.get("next_page_token") or ""
            if not token:
                return found


def _show_new(made: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    rows = [(n, made.get(n)) for n in ("id", "name", "workspace", "scopes", "limits", "expires_at")]
    print_table(("", ""), rows)
    out = console()
    out.print()
    out.print(made["key"], markup=False, style="bold", soft_wrap=True)
    console(stderr=True).print("This is the key. It is shown only now: keep it.")
