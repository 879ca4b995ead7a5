"""Server-sent events, as the WHATWG describes them, and the messages of a streamed inference."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from modelyard.cli.problem import Problem

DONE = "[DONE]"


def events(lines: Iterable[bytes]) -> Iterator[str]:
    """The data of each event; comments and other fields are passed over."""
    return (data for _, data in numbered(lines))


def numbered(lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """The last id and the data of each event."""
    data: list[str] = []
    last = ""
    for raw in lines:
        line = raw.decode(errors="replace").rstrip("\r\n")
        if not line and data:
            yield last, "\n".join(data)
            data = []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line.startswith("id:"):
            last = line[3:].removeprefix(" ")


def messages(request: str, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The messages of a stream up to its end; ``request`` is the id to name in errors.

    Raises Problem for an error event, and for a stream that ends without an end: what came
    before is then no complete answer.
    """
    complete = False
    for data in events(lines):
        if data == DONE:
            break
        try:
            message = json.loads(data)
        except ValueError:
            raise Problem("the stream holds an event that is not JSON") from None
        if message.get("type") == "error":
            told = message.get("message", "the answer failed")
            code = message.get("code", "INTERNAL")
            raise Problem(f"{told} ({code}, request {request})", error=message)
        complete = complete or message.get("type") == "end"
        yield message
    if not complete:
        raise Problem("the answer was cut short: the stream ended before its end message")
