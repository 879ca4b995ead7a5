"""``modelyard status``: how a server is doing."""

from collections.abc import Iterator
from typing import Any

from modelyard.cli.options import Json, Key, Url, connect
from modelyard.cli.output import console, print_json, print_table


def status(url: Url = None, key: Key = None, as_json: Json = False) -> None:
    """The state of a server: requests, cache, cost and workers."""
    client = connect(url, key)
    answer = client.get("/v1/ai-inference/status")
    if as_json:
        print_json(answer)
        return
    console().print(f"{client.url} is {answer.get('status', 'there')}", markup=False)
    plain = [(name, value) for name, value in answer.items() if not isinstance(value, dict)]
    print_table(("", ""), [row for row in plain if row[0] != "status"])
    for name, section in answer.items():
        if isinstance(section, dict):
            console().print()
            print_table((name, ""), rows(section))


def rows(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A section's figures with dotted names; what is not there yet is left out."""
    for name, value in section.items():
        if isinstance(value, dict):
            yield from rows(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name, value
