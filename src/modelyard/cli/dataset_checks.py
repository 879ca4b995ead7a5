"""``modelyard datasets transform``, ``validate`` and ``diff``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.client import Client, segment
from modelyard.cli.dataset import Id, Version, at, worked
from modelyard.cli.options import Json, Key, Url, Workspace, connect
from modelyard.cli.output import console, print_json, print_table, safe
from modelyard.cli.problem import Problem

app = typer.Typer()
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="MODELYARD_API_KEY",
        help="The API key, which is --key elsewhere.",
        metavar="KEY",
        show_envvar=True,
    ),
]
_SHOWN = 5  # broken rows of a constraint in a table


@app.command()
def transform(
    own_id: Id,
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON: a list of steps, or a request with 'steps'."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="[ID/]VERSION", help="Instead: the recipe of a version, with what it learnt."
        ),
    ] = None,
    join: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ID[/VERSION]", help="A table that steps join; repeatable."),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show what comes of the first rows; keep nothing.")
    ] = False,
    rows: Annotated[int, typer.Option(min=0, max=1000, help="Rows that a preview shows.")] = 20,
    to: Annotated[
        str | None, typer.Option(metavar="ID", help="The dataset that gets the version.")
    ] = None,
    new_version: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Its number; else the following one.")
    ] = None,
    version: Version = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Transform a version by a recipe; what comes of it is a version."""
    client = connect(url, key)
    asked = _asked(recipe, "steps", {"version": version})
    if like is not None:
        asked["recipeOf"] = _version(like, own_id)
    if join:
        asked["tables"] = asked.get("tables", {}) | dict(map(_table, join))
    if preview:
        _preview(client, at(own_id, "preview", workspace), asked | {"rows": rows}, as_json)
        return
    asked |= {name: value for name, value in (("target", to), ("newVersion", new_version)) if value}
    made = worked(client, at(own_id, "transform", workspace), asked, as_json)
    if not as_json:
        _show_version(to or own_id, made)


@app.command()
def validate(
    own_id: Id,
    constraints: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="JSON: a list of constraints; else the dataset's."),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=0, max=100, help="Rows that are told of each broken one.")
    ] = 10,
    version: Version = None,
    workspace: Workspace = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Validate a version. Exits with 1 unless every constraint is kept."""
    client = connect(url, key)
    asked = _asked(constraints, "constraints", {"version": version, "samples": samples})
    report = worked(client, at(own_id, "validate", workspace), asked, as_json)
    if not as_json:
        verdicts = report["verdicts"]
        columns = ("check", "of", "checked", "broken", "share", "passed", "rows")
        print_table(columns, [_verdict(one) for one in verdicts])
        wrong = sum(not one["passed"] for one in verdicts)
        kept = "all are kept" if report["passed"] else f"{wrong} of {len(verdicts)} are broken"
        told = f"{report['version']}: {report['rows']:,} rows; {kept} ({report['id']})"
        console().print(told, markup=False, soft_wrap=True)
    if not report["passed"]:
        raise typer.Exit(1)


@app.command()
def diff(
    own_id: Id,
    old: Annotated[str, typer.Argument(metavar="[ID/]OLD", help="The version before.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The version after.")],
    key_columns: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="COLUMN", help="What a row is found by; repeatable."),
    ] = None,
    statistics: Annotated[bool, typer.Option(help="Compare the columns' figures, too.")] = True,
    workspace: Workspace = None,
    url: Url = None,
    key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Compare two versions: rows added, removed and changed, columns, figures."""
    client = connect(url, key)
    asked = {"base": _version(old, own_id), "key": key_columns or [], "statistics": statistics}
    found = worked(client, at(own_id, f"versions/{segment(new)}/diff", workspace), asked, as_json)
    if not as_json:
        _show_diff(found)


def _preview(client: Client, where: str, asked: dict[str, Any], as_json: bool) -> None:
    found = client.call("POST", where, asked)
    if as_json:
        print_json(found)
        return
    names = [one["name"] for one in found["columns"]]
    print_table(names, [[row[name] for name in names] for row in found["rows"]])
    types = ", ".join(f"{one['name']} {one['type']}" for one in found["columns"])
    told = f"{found['made']:,} rows of the first {found['sampled']:,}; {types}"
    console().print(told, markup=False, soft_wrap=True)


def _show_version(dataset: str, made: dict[str, Any]) -> None:
    told = f"{dataset} {made['id']}: {made['recordCount']:,} rows"
    console().print(told, markup=False, soft_wrap=True)
    columns = [(one["name"], one["type"], one["nullable"]) for one in made["schema"]["fields"]]
    print_table(("column", "type", "nullable"), columns)


def _verdict(one: dict[str, Any]) -> tuple[Any, ...]:
    about = one["constraint"]
    of = about.get("column") or about.get("columns") or about.get("expression")
    rows = [sample["row"] for sample in one["samples"]]
    told = ", ".join(map(str, rows[:_SHOWN])) + (" …" if len(rows) > _SHOWN else "")
    share = f"{one['share']:.4f}"
    return about["check"], of, one["checked"], one["broken"], share, one["passed"], told


def _show_diff(found: dict[str, Any]) -> None:
    rows, out = found["difference"], console()
    counts = ("added", "removed", "changed", "same")
    print_table(counts, [[rows[name] for name in counts]])
    for name, count in rows["cells"].items():
        out.print(f"changed in {name}: {count:,}", markup=False)
    for which in ("added", "removed"):
        for name in rows["schema"][which]:
            out.print(f"column {which}: {name}", markup=False)
    for one in rows["schema"]["retyped"]:
        out.print(f"column {one['column']}: {one['old']} -> {one['new']}", markup=False)
    for which in ("added", "removed", "changed"):
        for sample in rows[f"{which}Samples"][:_SHOWN]:
            told = safe(", ".join(f"{name}: {value}" for name, value in sample.items()))
            out.print(f"{which}: {told}", markup=False, soft_wrap=True)
    if found["statistics"]:
        figures = ("column", "figure", "old", "new")
        print_table(figures, [[one[name] for name in figures] for one in found["statistics"]])


def _asked(file: Path | None, field: str, more: dict[str, Any]) -> dict[str, Any]:
    """The request in a file, which may be the list of one of its fields."""
    asked: dict[str, Any] = {name: value for name, value in more.items() if value is not None}
    if file is None:
        return asked
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Problem(f"{file} cannot be read as JSON: {error}", status=2) from None
    if not isinstance(read, dict | list):
        raise Problem(f"{file} is no list of {field}", status=2)
    return ({field: read} if isinstance(read, list) else read) | asked


def _version(text: str, own_id: str) -> dict[str, str]:
    dataset, _, version = text.rpartition("/")
    return {"dataset": dataset or own_id, "version": version}


def _table(text: str) -> tuple[str, dict[str, str]]:
    name, sign, rest = text.partition("=")
    dataset, _, version = rest.partition("/")
    if not (name and sign and dataset):
        told = f"--join '{text}' is none: write NAME=ID, or NAME=ID/1.0.0"
        raise Problem(told, status=2)
    return name, {"dataset": dataset} | ({"version": version} if version else {})
