"""Providers whose every answer is scripted, and models made of them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from time import monotonic, time
from typing import Any

from streams import Fed

from modelyard.auth.keys import UNLIMITED, Key
from modelyard.inference.call import CHAT, Call, Price
from modelyard.inference.providers.provider import After, AttemptFailed, Reply
from modelyard.inference.snapshot import Model, Target, fingerprint
from modelyard.inference.transport.wire import Deadlines
from modelyard.settings import ProviderSettings

PRICE = Price(input=1000.0, output=2000.0)
COST = 10 * 1000 + 5 * 2000  # of ``body()``, in nano-dollars
Outcome = AttemptFailed | bytes | Callable[[], Awaitable[Reply]]


def body(text: str = "hello", prompt: int = 10, completion: int = 5) -> bytes:
    """A complete chat answer."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"model": "m-1", "choices": [choice], "usage": usage}).encode()


def failed(reason: str = "http_500", after: After = After.RETRY, **fields: Any) -> AttemptFailed:
    return AttemptFailed(reason, f"It failed: {reason}.", after=after, **fields)


class Scripted:
    """Implements ``Provider``: the outcomes in their order, the last again and again."""

    def __init__(self, name: str, *outcomes: Outcome) -> None:
        self.name = name
        self.outcomes = list(outcomes) or [body()]
        self.calls: list[tuple[str, Deadlines, str]] = []
        self.running = 0
        self.cancelled = 0

    async def call(self, call: Call, model: str, deadlines: Deadlines, attempt: str) -> Reply:
        outcome = self.outcomes[min(len(self.calls), len(self.outcomes) - 1)]
        self.calls.append((model, deadlines, attempt))
        if isinstance(outcome, AttemptFailed):
            raise outcome
        if isinstance(outcome, bytes):
            return whole(outcome)
        self.running += 1
        try:
            return await outcome()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


def whole(data: bytes) -> Reply:
    reply = Fed()
    reply.body = data
    return reply


def target(provider: Scripted, *, weight: float = 1.0, price: Price | None = PRICE,
           **settings: Any) -> Target:  # fmt: skip
    name = f"{provider.name}/m"
    return Target(provider, "m", name, ProviderSettings(**settings), price, weight)


def model(*chain: Target | tuple[Target, ...], balance: str = "weighted") -> Model:
    groups = tuple(one if isinstance(one, tuple) else (one,) for one in chain)
    return Model("asked", groups, balance, fingerprint=fingerprint("asked", groups))


def asked(*, timeout: float = 30.0, key: Key | None = None, **fields: Any) -> Call:
    """A call that has just arrived."""
    return Call(
        id="req", record_id=fields.pop("record_id", "rec"), surface="chat", kind=CHAT,
        key=key or Key(id="k", workspace="w", scopes=(), limits=UNLIMITED), model="asked",
        body=fields.pop("body", {"messages": [{"role": "user", "content": "hi"}]}),
        started=monotonic(), at=time(), timeout=timeout, **fields,
    )  # fmt: skip
