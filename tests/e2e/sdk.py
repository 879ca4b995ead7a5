"""The official OpenAI clients, sync and async, behind one way of calling."""

import inspect
from typing import Any


async def done(value: Any) -> Any:
    """The result of a call, awaited where the client is the asynchronous one."""
    return await value if inspect.isawaitable(value) else value


async def items(value: Any) -> list[Any]:
    """Everything a stream or a page yields."""
    stream = await done(value)
    if hasattr(stream, "__aiter__"):
        return [item async for item in stream]
    return list(stream)


def user(text: Any) -> list[Any]:
    """One user message."""
    return [{"role": "user", "content": text}]


def said(chunks: list[Any]) -> str:
    """The text of a streamed chat."""
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
