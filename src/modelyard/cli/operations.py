"""``modelyard operations``: wait for work that outlives its request, follow it, cancel it."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from modelyard.cli.client import Client, segment
from modelyard.cli.events import numbered
from modelyard.cli.options import Json, Key, Url, connect
from modelyard.cli.output import console, print_json, print_table, safe
from modelyard.cli.problem import Problem

PATH = "/v1/operations/"
LONGEST_WAIT = 60.0  # seconds of one request for waiting
LOST_SECONDS = 300.0  # to look for a server that is gone
COLUMNS = ("id", "metadata.kind", "metadata.state", "metadata.progress.percent", "metadata.target")

app = typer.Typer()
Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, as 'list' shows it.")]


@app.command()
def cancel(own_id: Id, url: Url = None, key: Key = None, as_json: Json = False) -> None:
    """Cancel an operation: at once where it waits, else at its next step."""
    _show(connect(url, key).call("POST", _path(own_id, ":cancel"), {}), as_json)


@app.command()
def delete(own_id: Id, url: Url = None, key: Key = None, as_json: Json = False) -> None:
    """Forget an operation that has ended."""
    connect(url, key).call("DELETE", _path(own_id))
    if as_json:
        print_json({"id": own_id, "deleted": True})
    else:
        console().print(f"Deleted {own_id}.", markup=False)


@app.command()
def wait(
    own_id: Id,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Give up after so long.")
    ] = None,
    url: Url = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Wait until an operation is done. Exits with 1 unless it succeeded."""
    client = connect(url, key)
    ends = time.monotonic() + (float("inf") if timeout is None else timeout)
    while True:
        left = max(0.0, min(LONGEST_WAIT, ends - time.monotonic()))
        body = {"timeout_seconds": left}
        found = client.call("POST", _path(own_id, ":wait"), body, seconds=left + 30)
        if found["done"] or time.monotonic() >= ends:
            break
    _end(found, as_json)


@app.command()
def attach(own_id: Id, url: Url = None, key: Key = None, as_json: Json = False) -> None:
    """Follow an operation until it is done, also over a restart of the server.

    Ctrl-C only stops to follow it: the work goes on. Exits with 1 unless it succeeded.
    """
    _end(followed(connect(url, key), own_id), as_json)


def followed(client: Client, own_id: str) -> dict[str, Any]:
    """An operation once it is done, with a bar until then. Ctrl-C only stops to follow it."""
    found: dict[str, Any] = {}
    try:
        with _bar() as bar:
            task = bar.add_task("", total=100.0)
            for found in _states(client, own_id):
                progress = found["metadata"]["progress"]
                bar.update(task, completed=progress["percent"], description=_told(found))
                if not sys.stderr.isatty():
                    print(f"{progress['percent']:5.1f} % {_told(found)}", file=sys.stderr)
    except KeyboardInterrupt:
        told = f"Detached; {own_id} goes on. Follow it again: modelyard operations attach {own_id}"
        console(stderr=True).print(told, markup=False, soft_wrap=True)
        raise typer.Exit(130) from None
    return found


def _states(client: Client, own_id: str) -> Iterator[dict[str, Any]]:
    """The operation after each change; a server that is gone for a while is looked for."""
    seen, lost_at = "", None
    while True:
        try:
            with client.follow(_path(own_id, "/watch"), seen) as lines:
                for number, data in numbered(lines):
                    seen, lost_at = number, None
                    state: dict[str, Any] = json.loads(data)
                    yield state
                    if state["done"]:
                        return
        except Problem as problem:
            if "code" in problem.error:  # the server has answered that it will not
                raise
            lost_at = lost_at or time.monotonic()
            if not seen or time.monotonic() - lost_at > LOST_SECONDS:
                raise
        time.sleep(1.0)


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    out = console(stderr=True)
    return Progress(*columns, console=out, transient=True, disable=not sys.stderr.isatty())


def _told(found: dict[str, Any]) -> str:
    metadata = found["metadata"]
    left = metadata["progress"]["eta_seconds"]
    parts = [metadata["kind"], metadata["state"], metadata["progress"]["message"]]
    if left and not found["done"]:
        parts.append(f"{left:.0f} s left")
    return safe(" · ".join(part for part in parts if part))


def _end(found: dict[str, Any], as_json: bool) -> None:
    _show(found, as_json)
    if found["metadata"]["state"] != "succeeded":
        raise typer.Exit(1)


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    metadata = found["metadata"]
    rows: list[tuple[str, object]] = [
        ("operation", found["id"]),
        ("kind", metadata["kind"]),
        ("state", metadata["state"]),
        ("percent", metadata["progress"]["percent"]),
    ]
    if found["error"]:
        rows.append(("error", f"{found['error']['message']} ({found['error']['code']})"))
    response = found["response"]
    rows += response.items() if isinstance(response, dict) else [("response", response)]
    print_table(("", ""), rows)


def _path(own_id: str, below: str = "") -> str:
    return PATH + segment(own_id.removeprefix("operations/")) + below
