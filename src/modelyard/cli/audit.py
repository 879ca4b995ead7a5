"""``modelyard audit``: the trail of a server, and the proof that it was not altered."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from modelyard.cli.options import Json, Key, Url, Workspace, connect, settings
from modelyard.cli.output import console, print_json, print_table, safe
from modelyard.cli.problem import Problem
from modelyard.cli.progress import Bar, finished, listing, shown
from modelyard.kernel.ports import Chain
from modelyard.protocol.errors import Failure
from modelyard.storage.opening import driver, file_of, remote, revision_of
from modelyard.storage.schema import CONTROL, UnusableDatabase
from modelyard.storage.store import Store

PATH = "/v1/governance/audit"
_PAGE = 1000
_COLUMNS = ("sequence", "at", "actor", "verb", "resource", "changed")

app = typer.Typer(no_args_is_help=True, help="The audit trail: list it, verify its chain.")


@app.command("list")
def list_entries(
    entity: Annotated[
        str | None,
        typer.Argument(help="Only this resource's: its name, or its id.", metavar="RESOURCE"),
    ] = None,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="FILTER",
            help="An AIP-160 filter over actor, verb, resource, kind, requestId and at; bare "
            "words search what was changed.",
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="No earlier than this: RFC 3339.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Before this: RFC 3339.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="No more than so many.")] = 100,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Who changed what, the newest first."""
    client = connect(url, key)
    path = PATH + (f"/{quote(entity)}" if entity else "")
    query = {"filter": filter_, "since": since, "until": until, "workspace": workspace}
    found: list[Any] = []
    token: str | None = ""
    with listing("entries") as bar:
        while token is not None and len(found) < most:
            size = min(most - len(found), _PAGE)
            sent = {**query, "pageSize": size, "pageToken": token}
            page = client.get(f"{path}?{urlencode({n: v for n, v in sent.items() if v})}")
            found += page["entries"]
            bar.at(len(found))
            token = page["nextPageToken"]
    if as_json:
        print_json({"entries": found})
    else:
        print_table(_COLUMNS, _rows(found))


def _rows(found: list[Any]) -> Iterator[tuple[object, ...]]:
    for one in found:
        changed = [change["field"] for change in one["changes"]]
        told = (one[name] for name in _COLUMNS[1:-1])
        yield str(one["sequence"]), *told, changed


@app.command()
def verify(
    from_: Annotated[
        int | None,
        typer.Option("--from", min=1, metavar="NUMBER", help="The anchor's sequence number."),
    ] = None,
    digest: Annotated[
        str | None, typer.Option(metavar="HEX", help="The anchor's digest, as it was kept.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="A file, or a PostgreSQL URL; else the database that the settings name.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Recompute the whole chain from the database itself; no server is asked.

    What it prints last is an anchor: kept elsewhere, and given with --from and --digest later, it
    shows whether the chain was cut off or made anew since. Exits with 1 where the chain does not
    hold.
    """
    if (from_ is None) is not (digest is None):
        raise Problem("--from and --digest belong together: give both, or neither", status=2)
    anchor = None if from_ is None or digest is None else (from_, _decoded(digest))
    try:
        with shown("the chain was not verified to its end; the same command begins anew") as bar:
            found = finished(_examined(*_place(database), anchor, bar))
    except (Failure, UnusableDatabase, sqlite3.Error, OSError) as reason:
        raise Problem(f"the database cannot be read: {reason}") from None
    _tell(found, anchor, as_json)
    if found.broken_at:
        raise typer.Exit(1)


def _decoded(digest: str) -> bytes:
    try:
        found = bytes.fromhex(digest)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise Problem("--digest is 64 hexadecimal digits", status=2)
    return found


def _place(named: str | None) -> tuple[str | None, Path]:
    """The URL and the home of the database that is meant. Raises Problem."""
    here = settings()
    url, home = here.database_url, here.home.expanduser()
    if named is not None:
        url = named if "://" in named else f"sqlite:///{Path(named).absolute()}"
    return url, home


async def _examined(
    url: str | None, home: Path, anchor: tuple[int, bytes] | None, bar: Bar
) -> Chain:
    shown_as = "this address" if remote(url) else str(file_of(url, home))
    _refuse_other(await revision_of(url, home), shown_as)
    store = Store(driver(url, home))
    await store.open()
    try:
        bar.phase("verifying", await store.sealed(), "events")
        return await store.examine(anchor=anchor, tell=bar.at)
    finally:
        await store.close()


def _refuse_other(found: str | None, place: str) -> None:
    """Nothing is made or upgraded by looking at it. Raises Problem."""
    if found is None:
        raise Problem(f"there is no database at {place}; name another with --database", status=2)
    if found != CONTROL.head:
        raise Problem(
            f"the database at {place} was written by another version of Modelyard (schema {found}, "
            f"this one knows {CONTROL.head}): verify it with that one, or start a server of this "
            "one, which upgrades it",
            status=2,
        )


def _tell(found: Chain, anchor: tuple[int, bytes] | None, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "intact": not found.broken_at,
                "events": found.last,
                "digest": found.digest.hex(),
                "anchor": None if anchor is None else anchor[0],
                "broken_at": found.broken_at or None,
                "reason": found.reason or None,
                "event": found.event or None,
            }
        )
        return
    out = console()
    if found.broken_at:
        what = "is not what was sealed" if found.event else "is missing"
        named = f" ({safe(found.event)})" if found.event else ""
        out.print(f"BROKEN at event {found.broken_at}{named}: it {what}.", markup=False)
        out.print(f"The {found.last:,} events before it are as they were sealed.", markup=False)
        return
    since = "" if anchor is None else f", and event {anchor[0]} is the one that was noted"
    out.print(f"Intact: {found.last:,} events are as they were sealed{since}.", markup=False)
    if found.last:
        out.print("Keep this elsewhere, to find later what was cut off:", markup=False)
        out.print(f"--from {found.last} --digest {found.digest.hex()}", markup=False)
