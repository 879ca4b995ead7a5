"""What the commands about one dataset have in common: whose, where, and how its work ends."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from modelyard.cli import operations
from modelyard.cli.client import Client, segment
from modelyard.cli.output import console, print_json, print_table

PATH = "/v1/catalog/datasets"
Id = Annotated[str, typer.Argument(metavar="ID", help="The dataset's id, as 'list' shows it.")]
Version = Annotated[
    str | None, typer.Option(metavar="VERSION", help="A version, such as 1.0.0; else the newest.")
]

Every = Annotated[bool, typer.Option("--all", help="All columns, however many there are.")]
_MOST_COLUMNS = 100  # that are shown of a table where not all are asked for


def at(own_id: str, below: str, workspace: str | None, **query: Any) -> str:
    """The path of a dataset, of what is below it, or ("") of all; empty parameters are left out."""
    asked = {"workspace": workspace, **query}
    sent = {name: value for name, value in asked.items() if value not in (None, "")}
    parts = [PATH, *filter(None, (own_id and segment(own_id), below))]
    return "/".join(parts) + (f"?{urlencode(sent)}" if sent else "")


def worked(client: Client, path: str, asked: dict[str, Any] | None, as_json: bool) -> Any:
    """What an operation answers, once it is done; as JSON it is printed whole.

    Ends the command with 1, and the error on standard error, where it failed.
    """
    begun = client.call("POST", path, asked)
    return ended(operations.followed(client, begun["id"]), as_json)


def ended(found: dict[str, Any], as_json: bool) -> Any:
    """As ``worked``, of an operation that is done."""
    if as_json:
        print_json(found)
    if error := found["error"]:
        if not as_json:
            told = f"{error['message']} ({error['code']})"
            console(stderr=True).print(told, markup=False, soft_wrap=True)
        raise typer.Exit(1)
    return found["response"]


def print_columns(titles: Sequence[str], rows: Sequence[Sequence[object]], *, every: bool) -> None:
    """A table with a row for each column of a dataset: the first of them, or every one."""
    print_table(titles, rows if every else rows[:_MOST_COLUMNS])
    if not every and (more := len(rows) - _MOST_COLUMNS) > 0:
        console().print(f"… and {more:,} more columns (--all)", markup=False)
