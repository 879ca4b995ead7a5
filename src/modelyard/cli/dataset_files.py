"""``modelyard datasets card``, ``croissant``, ``rows`` and ``file``."""

import json
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.dataset import Id, Version, at
from modelyard.cli.options import Json, Key, Url, Workspace, connect
from modelyard.cli.output import console, print_json, print_table
from modelyard.cli.problem import Problem

app = typer.Typer()

_CHUNK = 1024 * 1024
_SECONDS = 120.0
_WIDE = 60  # characters of a value in a table


@app.command()
def card(
    own_id: Id,
    file: Annotated[
        Path | None, typer.Option("--set", metavar="FILE", help="Set it: a README.md.")
    ] = None,
    version: Version = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show a dataset's card (Hugging Face's README.md), or set it."""
    client = connect(url, key)
    if file is None:
        with client.download(at(own_id, "card", workspace, version=version), {}) as (_, read):
            typer.echo(read().decode(), nl=False)
        return
    try:
        data = file.read_bytes()
    except OSError as error:
        raise Problem(f"{file}: {error.strerror}", status=2) from error
    made = client.upload(at(own_id, "card", workspace), data, {"Content-Type": "text/markdown"})
    about = made["metadata"]
    told = {
        "description": made["description"],
        "license": about["license"],
        "languages": ", ".join(about["languages"]),
        "tags": ", ".join(about["tags"]),
    }
    print_table(("field", "value"), told.items())


@app.command()
def croissant(
    own_id: Id,
    version: Version = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show a version's metadata as Croissant 1.0 (JSON-LD)."""
    print_json(connect(url, key).call("GET", at(own_id, "croissant", workspace, version=version)))


@app.command()
def rows(
    own_id: Id,
    offset: Annotated[int, typer.Option(min=0, help="Rows before the first.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    columns: Annotated[str, typer.Option(metavar="COLUMNS", help="Those alone, by commas.")] = "",
    version: Version = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show some rows of a version; of a large one only those are read."""
    query = {"offset": offset, "limit": limit, "columns": columns, "version": version}
    path = at(own_id, "rows", workspace, **query)
    found = connect(url, key).call("GET", path, seconds=_SECONDS)
    if as_json:
        print_json(found)
        return
    names = list(found["rows"][0]) if found["rows"] else []
    lines = [[_short(one[name]) for name in names] for one in found["rows"]]
    print_table(names, lines)
    last = offset + len(found["rows"])
    told = f"{found['version']}: rows {offset + 1} to {last} of {found['recordCount']:,}"
    console().print(told, markup=False)


@app.command()
def file(
    own_id: Id,
    path: Annotated[str, typer.Argument(metavar="PATH", help="As the column 'path' has it.")],
    target: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to; else its name, here.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    version: Version = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Download one picture or sound of a version."""
    target = target or Path(Path(path).name)
    if target.exists() and not force:
        raise Problem(f"{target} exists; it is replaced with --force only")
    client = connect(url, key)
    asked = at(own_id, "file", workspace, path=path, version=version)
    try:
        with client.download(asked, {}) as (_, read):
            data = read(_CHUNK)
            with target.open("wb") as out:
                while data:
                    out.write(data)
                    data = read(_CHUNK)
    except (OSError, HTTPException) as error:
        raise Problem(f"{client.url} broke off, or {target} cannot be written: {error}") from error
    console().print(f"{target} ({target.stat().st_size:,} bytes)", markup=False, soft_wrap=True)


def _short(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    line = " ".join(text.split())
    return line if len(line) <= _WIDE else line[: _WIDE - 1] + "…"
