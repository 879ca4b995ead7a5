"""``modelyard datasets share``, ``scan``, ``anonymise`` and ``purge``."""

from typing import Annotated, Any

import typer

from modelyard.cli.dataset import Id, Version, at, worked
from modelyard.cli.options import Json, Key, Url, Workspace, connect
from modelyard.cli.output import console, print_json, print_table
from modelyard.cli.problem import Problem

app = typer.Typer()
_OPTIONS = {"width": float, "unit": str, "keep": int}


@app.command()
def share(
    own_id: Id,
    level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="private, readable or workspace.")
    ] = None,
    grant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE:ID=PERMISSION",
            help="Repeatable: --grant user:user_1f=read, role:data_scientist=write.",
        ),
    ] = None,
    revoke: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Who has none any more; repeatable.")
    ] = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Share a dataset with some or all of the workspace; without options show who has access."""
    client, asked = connect(url, key), {"grants": [*map(_grant, grant or [])]}
    if level is None and not grant and not revoke:
        shown = client.call("GET", at(own_id, "", workspace))
    else:
        body: dict[str, Any] = asked | {"revoke": revoke or []}
        if level is not None:
            body["level"] = level
        shown = client.call("POST", at(own_id, "share", workspace), body)
    if as_json:
        print_json({name: shown[name] for name in ("owner", "access")})
        return
    access = shown["access"]
    console().print(f"{access['level']}, of {shown['owner']}", markup=False, soft_wrap=True)
    rows = [(one["type"], one["id"], one["permission"]) for one in access["grants"]]
    if rows:
        print_table(("type", "id", "permission"), rows)


@app.command()
def scan(
    own_id: Id,
    rows: Annotated[
        int | None, typer.Option(min=1, help="About so many, by chance; else all of them.")
    ] = None,
    version: Version = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Look for personal data in a version."""
    client = connect(url, key)
    asked = {"rows": rows, "version": version}
    found = worked(client, at(own_id, "scan", workspace), asked, as_json)
    if as_json:
        return
    told = "personal data" if found["containsPII"] else "nothing was recognised"
    console().print(
        f"{found['version']}: {told} in {found['scannedRows']:,} of {found['recordCount']:,} rows",
        markup=False,
        soft_wrap=True,
    )
    if found["findings"]:
        table = [
            (one["column"], one["kind"], one["rows"], f"{one['share']:.1%}", one["by"])
            for one in found["findings"]
        ]
        print_table(("column", "kind", "rows", "share", "by"), table)


@app.command()
def anonymise(
    own_id: Id,
    method: Annotated[
        str, typer.Option(metavar="METHOD", help="mask, hash or generalise what is recognised.")
    ] = "mask",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=METHOD",
            help="A whole column: mask, hash, drop, keep, or generalise with ,width=10 or "
            ",unit=year or ,keep=3 behind it; repeatable.",
        ),
    ] = None,
    version: Version = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Take personal data out of a version: a new version, for everybody's use."""
    client = connect(url, key)
    asked = {"method": method, "columns": [*map(_column, column or [])], "version": version}
    found = worked(client, at(own_id, "anonymise", workspace), asked, as_json)
    if as_json:
        return
    told = "" if found["anonymized"] else "; personal data that was found is still in it"
    console().print(
        f"{own_id} {found['version']}, of {found['source']}{told}", markup=False, soft_wrap=True
    )
    table = [
        (one["name"], one["method"], one["rows"], ", ".join(one["kinds"]))
        for one in found["columns"]
    ]
    print_table(("column", "method", "rows", "found"), table)


@app.command()
def purge(
    own_id: Id,
    version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="That alone, with its parts.")
    ] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="Only what is older than its retention.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Delete for good, with the bytes: a version, or the dataset with all of its versions."""
    what = "what is over its time" if expired else version or "all of it"
    if not yes:
        typer.confirm(f"{own_id}: {what} goes for good. Go on?", abort=True)
    client, asked = connect(url, key), {"version": version, "expired": expired}
    found = worked(client, at(own_id, "purge", workspace), asked, as_json)
    if not as_json:
        gone = len(found["versions"])
        told = f"{gone} version{'' if gone == 1 else 's'} and {found['bytes']:,} bytes are gone"
        kept = f"; needed elsewhere: {len(found['kept'])} artifacts" if found["kept"] else ""
        console().print(told + kept, markup=False, soft_wrap=True)


def _grant(text: str) -> dict[str, str]:
    """``user:user_1f=read``."""
    holder, _, permission = text.partition("=")
    kind, _, own_id = holder.partition(":")
    if not own_id:
        told = f"--grant '{text}' is none: write TYPE:ID=PERMISSION, such as user:user_1f=read"
        raise Problem(told, status=2)
    return {"type": kind, "id": own_id, "permission": permission or "read"}


def _column(text: str) -> dict[str, Any]:
    """``Age=generalise,width=20``."""
    head, *options = text.split(",")
    name, _, method = head.rpartition("=")
    made: dict[str, Any] = {"name": name, "method": method}
    try:
        for option in options:
            word, _, value = option.partition("=")
            made[word] = _OPTIONS[word](value)
    except (KeyError, ValueError):
        name = ""
    if not name:
        told = f"--column '{text}' is none: write NAME=METHOD, such as Age=generalise,width=20"
        raise Problem(told, status=2)
    return made
