"""``modelyard operations``: wait for work that outlives its request, follow it, cancel it."""

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from modelyard.cli.client import Client, segment
from modelyard.cli.events import numbered
from modelyard.cli.options import Json, Key, Url, connect
from modelyard.cli.output import console, print_json, print_table
from modelyard.cli.problem import Problem
from modelyard.cli.progress import Bar, shown

PATH = "/v1/operations/"
WAIT_SECONDS = 2.0  # of one request for waiting: then it is shown how far it is
LOST_SECONDS = 300.0  # to look for a server that is gone

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
    with shown(_goes_on(own_id)) as bar:
        while True:
            left = max(0.0, min(WAIT_SECONDS, ends - time.monotonic()))
            body = {"timeout_seconds": left}
            found = client.call("POST", _path(own_id, ":wait"), body, seconds=left + 30)
            _tell(bar, found)
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
    with shown(_goes_on(own_id), steps=True) as bar:
        for found in _states(client, own_id):
            _tell(bar, found)
    return found


def _goes_on(own_id: str) -> str:
    return f"{own_id} goes on. Follow it again: modelyard operations attach {own_id}"


def _tell(bar: Bar, found: dict[str, Any]) -> None:
    metadata = found["metadata"]
    progress = metadata["progress"]
    words = (metadata["kind"], metadata["state"], progress["message"])
    told = " · ".join(word for word in words if word)
    left = None if found["done"] else progress["eta_seconds"]
    bar.at(progress["percent"], text=told, left=left, total=100.0)


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
