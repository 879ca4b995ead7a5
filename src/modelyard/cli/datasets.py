"""``modelyard datasets upload``, ``download``, ``versions`` and ``split``."""

import json
import shutil
from contextlib import suppress
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli import artifacts, operations
from modelyard.cli.client import Client
from modelyard.cli.dataset import Every, Id, Version, at, print_columns
from modelyard.cli.folders import Folder
from modelyard.cli.options import Json, Key, Url, Workspace, connect
from modelyard.cli.output import console, print_json, print_table
from modelyard.cli.problem import Problem
from modelyard.cli.progress import BYTES, shown

app = typer.Typer()

_CHUNK = 1024 * 1024
_SECONDS = 600.0  # for the first byte of a download: a large version is converted first
_VERSIONS = ("id", "recordCount", "size", "origin", "createdAt", "description")
_FILE = "CSV, JSONL, Parquet or text; a zip, a tar or a folder of pictures or sounds."


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=_FILE)],
    to: Annotated[
        str | None, typer.Option(metavar="ID", help="A dataset; else one is made of this file.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The new dataset's name; else the file's.")] = (
        None
    ),
    version: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Its number; else the following one.")
    ] = None,
    max_faults: Annotated[
        int, typer.Option(min=0, metavar="ROWS", help="Unreadable rows that may be left out.")
    ] = 0,
    memory: Annotated[
        int | None, typer.Option(min=64, metavar="MIB", help="Memory for reading it; else 512.")
    ] = None,
    progress: Annotated[
        bool, typer.Option(help="Follow it until it is read; else end once it is sent.")
    ] = True,
    every: Every = False,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Upload a file as a version; the same command goes on with what was interrupted."""
    client = connect(url, key)
    source = Folder(file) if file.is_dir() else file
    about = {"name": source.name, "retention": "referenced"}
    made = artifacts.sent(client, source, workspace, about)
    query = {"artifact": made["id"], "name": source.name, "maxFaults": max_faults}
    if version:
        query["version"] = version
    if memory:
        query["memoryBytes"] = memory << 20
    own_id, begun = to, None
    if own_id is None:
        named = name or source.name.partition(".")[0]
        own_id, begun = _of_its_own(client, named, query, workspace)
    if begun is None:
        begun = client.call("POST", at(own_id, "upload", workspace, **query))
    found = operations.followed(client, begun["id"]) if progress else begun
    if found["error"] and to is None:
        with suppress(Problem):  # whoever may not delete keeps an empty one
            client.call("DELETE", at(own_id, "", workspace))
    _ended(found, own_id, as_json=as_json, every=every)


@app.command()
def undelete(
    own_id: Id,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Bring back a dataset that was deleted less than 30 days ago, with its versions."""
    found = connect(url, key).call("POST", at(own_id, "undelete", workspace))
    if as_json:
        print_json(found)
    else:
        told = f"{own_id} is back: {found['name']}, {found['version'] or 'no version'}"
        console().print(told, markup=False, soft_wrap=True)


@app.command()
def split(
    own_id: Id,
    method: Annotated[
        str, typer.Option(metavar="METHOD", help="random, stratified, group or time.")
    ] = "random",
    column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The class, the group or the time.")
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FRACTION", help="A part; repeatable: --part train=0.8"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same parts.")] = 0,
    leak_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Tell values that are in several parts.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Tell texts that are nearly the same.")
    ] = None,
    name: Annotated[str, typer.Option(help="Tells it from the version's other splits.")] = "",
    version: Version = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Split a version: each part becomes a version, such as 1.0.0-train."""
    client = connect(url, key)
    asked: dict[str, Any] = {
        "method": method, "column": column, "seed": seed, "name": name, "version": version,
        "leakColumn": leak_column, "textColumn": text_column,
    }  # fmt: skip
    if part:
        asked["fractions"] = dict(map(_fraction, part))
    begun = client.call("POST", at(own_id, "split", workspace), asked)
    _ended(operations.followed(client, begun["id"]), own_id, as_json=as_json)


@app.command()
def versions(
    own_id: Id,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List the versions of a dataset, the newest first."""
    path = at(own_id, "versions", workspace, pageSize=1000)
    found = connect(url, key).call("GET", path)
    if as_json:
        print_json(found)
    else:
        rows = ([one[column] for column in _VERSIONS] for one in found["versions"])
        print_table(_VERSIONS, rows)


@app.command()
def download(
    own_id: Id,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to.")],
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="original, csv, jsonl, parquet, arrow."),
    ] = "original",
    columns: Annotated[str, typer.Option(metavar="COLUMNS", help="Those alone, by commas.")] = "",
    condition: Annotated[
        str,
        typer.Option("--filter", metavar="EXPRESSION", help="The rows for which it is true."),
    ] = "",
    version: Version = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Download a version, as it was uploaded or in another format."""
    if file.exists() and not force:
        raise Problem(f"{file} exists; it is replaced with --force only")
    query = {"format": form, "columns": columns, "filter": condition, "version": version}
    path = at(own_id, "download", workspace, **query)
    unfinished = file.with_name(f".{file.name}.part")
    client = connect(url, key)
    try:
        with (
            shown("nothing was kept; the same command begins anew") as bar,
            client.download(path, {}, seconds=_SECONDS) as (_, read),
            unfinished.open("wb") as out,
        ):
            bar.phase(f"fetching {file.name}", unit=BYTES)
            while data := read(_CHUNK):
                out.write(data)
                bar.advance(len(data))
        shutil.move(unfinished, file)
    except (OSError, HTTPException) as error:
        raise Problem(f"{client.url} broke off, or {file} cannot be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    console().print(f"{file} ({file.stat().st_size:,} bytes)", markup=False, soft_wrap=True)


def _fraction(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        told = f"--part '{text}' is none: write NAME=FRACTION, such as train=0.8"
        raise Problem(told, status=2) from None


def _of_its_own(
    client: Client, name: str, query: dict[str, Any], workspace: str | None
) -> tuple[str, Any]:
    """A dataset for a file, and the operation that reads it already, or None.

    The same command has made the one and begun the other, if it was interrupted.
    """
    path, asked = at("", "", workspace), {"name": name}
    once = sha256(json.dumps([asked, query], sort_keys=True).encode()).hexdigest()
    own_id = str(client.call("POST", path, asked, once=once)["id"])
    version = _newest(client, own_id, workspace)
    begun = _reading(client, own_id, workspace)
    if begun and not begun[0]["done"]:
        return own_id, begun[0]
    if version and [version] == [_made_by(one) for one in begun]:
        return own_id, begun[0]
    if version is not None:  # deleted, or more was uploaded to it since
        own_id = str(client.call("POST", path, asked)["id"])
    return own_id, None


def _newest(client: Client, own_id: str, workspace: str | None) -> str | None:
    """The newest version of a dataset, "" where it is gone; None where it has none."""
    try:
        found = client.call("GET", at(own_id, "", workspace))
    except Problem as problem:
        if problem.error.get("code") not in ("NOT_FOUND", "DATASET_NOT_FOUND"):
            raise
        return ""
    version: str | None = found["version"]
    return version


def _reading(client: Client, own_id: str, workspace: str | None) -> list[dict[str, Any]]:
    """The operations that read files into a dataset, the last one first."""
    target = f'metadata.target = "catalog/datasets/{own_id}"'
    query = {"filter": f'{target} AND metadata.kind = "dataset.upload"'}
    if workspace:
        query["workspace"] = workspace
    found: list[dict[str, Any]] = client.get("/v1/operations", **query)["operations"]
    return found


def _made_by(operation: dict[str, Any]) -> str:
    """The version that an operation has made; "" for none."""
    response = operation["response"]
    return str(response["id"]) if response else ""


def _ended(found: dict[str, Any], dataset: str, *, as_json: bool, every: bool = False) -> None:
    """Tell of an operation. Exits with 1 if it failed."""
    if as_json:
        print_json(found | {"dataset": dataset})
    elif found["error"]:
        _faults(found["error"])
    elif not found["done"]:
        told = f"{dataset}: modelyard operations attach {found['id']} follows it"
        console().print(told, markup=False, soft_wrap=True)
    else:
        _show(dataset, found["response"], every=every)
    if found["error"]:
        raise typer.Exit(1)


def _show(dataset: str, response: dict[str, Any], *, every: bool) -> None:
    if "parts" in response:
        rows: list[tuple[Any, ...]] = [
            (one["name"], one["version"], one["recordCount"]) for one in response["parts"]
        ]
        print_table(("part", "version", "rows"), rows)
        for one in response["leakage"]:
            groups = "" if one["groups"] is None else f", {one['groups']} groups"
            pair = " and ".join(one["parts"])
            near = "" if one["texts"] is None else f", {one['texts']} nearly equal texts"
            told = f"leakage: {pair} share {one['rows']} rows{groups}{near}"
            console(stderr=True).print(told, markup=False)
        return
    fields = [(one["name"], one["type"], one["nullable"]) for one in response["schema"]["fields"]]
    told = f"{dataset} {response['id']}: {response['recordCount']:,} rows"
    if response["faults"]["count"]:
        told += f"; {response['faults']['count']} were left out"
    console().print(told, markup=False, soft_wrap=True)
    print_columns(("column", "type", "nullable"), fields, every=every)


def _faults(error: dict[str, Any]) -> None:
    out = console(stderr=True)
    out.print(f"{error['message']} ({error['code']})", markup=False, soft_wrap=True)
    faults = (error.get("details") or {}).get("faults") or []
    if faults:
        print_table(("row", "reason", "sample"), [tuple(one.values()) for one in faults])
