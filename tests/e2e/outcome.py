"""What a streamed chat came to: the whole answer, a clean error, or neither."""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any

from e2e.client import Client, text_of


@dataclass
class Outcome:
    """A stream as its client saw it."""

    status: int
    headers: dict[str, str]
    events: list[str]
    error: dict[str, Any] | None
    seconds: float
    cut: bool  # the connection ended in the middle of the body

    @property
    def text(self) -> str:
        """What was said."""
        return text_of([data for data in self.events if '"error"' not in data])

    @property
    def done(self) -> bool:
        """Whether the stream says that it is complete."""
        return self.events[-1:] == ["[DONE]"]

    @property
    def model(self) -> str:
        """The model that the chunks name."""
        return str(json.loads(self.events[0])["model"])

    def whole(self, tokens: int) -> bool:
        """Complete, error-free, every token there once."""
        expected = "".join(f"w{number} " for number in range(tokens))
        return self.done and self.error is None and self.text == expected

    def clean_error(self) -> bool:
        """An error in the surface's form, and nothing that looks like success."""
        return self.error is not None and bool(self.error.get("code")) and not self.done


def chat(api: Client, model: str, text: str = "hello", **more: Any) -> Outcome:
    """Stream a chat to its end."""
    started = time.monotonic()
    stream = api.chat_stream(model, text, **more)
    if stream.headers.get("content-type", "").startswith("application/json"):
        reply = stream.read()
        error = reply.json["error"]
        took = time.monotonic() - started
        return Outcome(stream.status, stream.headers, [], error, took, False)
    assert stream.status == 200
    events: list[str] = []
    cut = False
    try:
        events.extend(event.data for event in stream.events())
    except http.client.IncompleteRead:
        cut = True
    errors = [json.loads(data)["error"] for data in events if data.startswith('{"error"')]
    took = time.monotonic() - started
    return Outcome(200, stream.headers, events, errors[-1] if errors else None, took, cut)
