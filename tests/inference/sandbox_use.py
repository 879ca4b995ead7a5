"""How the tests of the sandbox ask it."""

import asyncio
from typing import Any

import msgspec

from modelyard.auth.keys import Key
from modelyard.inference.call import Call
from modelyard.inference.providers.provider import Reply
from modelyard.inference.providers.sandbox import Sandbox
from modelyard.inference.transport.wire import Deadlines


def call_of(
    body: dict[str, Any], kind: str = "chat", *, stream: bool = False, workspace: str = "w"
) -> Call:
    key = Key(id="k", workspace=workspace, scopes=())
    return Call(
        id="r",
        record_id="r",
        key=key,
        surface=kind,
        kind=kind,
        model="sandbox",
        body=body,
        stream=stream,
        started=0.0,
        at=0.0,
    )


def chat(text: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "sandbox", "messages": [{"role": "user", "content": text}], **fields}


async def ask(
    body: dict[str, Any],
    kind: str = "chat",
    *,
    sandbox: Sandbox | None = None,
    deadlines: Deadlines | None = None,
    workspace: str = "w",
) -> Any:
    """The decoded body of an answer."""
    model = "sandbox-embedding" if kind == "embedding" else "sandbox"
    call = call_of(body, kind, workspace=workspace)
    reply = await (sandbox or Sandbox()).call(call, model, deadlines or Deadlines(), "a")
    return msgspec.json.decode(reply.body)


async def open_stream(
    body: dict[str, Any],
    kind: str = "chat",
    *,
    sandbox: Sandbox | None = None,
    deadlines: Deadlines | None = None,
) -> Reply:
    call = call_of(body, kind, stream=True)
    return await (sandbox or Sandbox()).call(call, "sandbox", deadlines or Deadlines(), "a")


async def read(reply: Reply) -> tuple[list[bytes], Exception | None]:
    """Every event of a stream, and how it ended."""
    pieces: list[bytes] = []
    ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    reply.listen(pieces.append, ended.set_result)
    error = await asyncio.wait_for(ended, 60)
    return pieces, error


def chunks(pieces: list[bytes]) -> list[Any]:
    """The events' JSON, without ``[DONE]``."""
    events = b"".join(pieces).split(b"\n\n")
    assert events.pop() == b""
    assert all(event.startswith(b"data: ") for event in events)
    payloads = [event.removeprefix(b"data: ") for event in events]
    return [msgspec.json.decode(payload) for payload in payloads if payload != b"[DONE]"]


def joined(events: list[Any], field: str = "content") -> str:
    """The text of a streamed chat's first choice."""
    deltas = [c["delta"] for e in events for c in e["choices"] if c["index"] == 0]
    return "".join(delta.get(field) or "" for delta in deltas)
