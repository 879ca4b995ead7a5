"""Asking a question again, to see whether a kept answer was right."""

from __future__ import annotations

import asyncio
from time import monotonic, time

import msgspec
from msgspec import Struct

from modelyard.inference.answer import Answer
from modelyard.inference.call import Call
from modelyard.inference.canonical import decode
from modelyard.inference.ledger import Ledger, new_id
from modelyard.inference.providers.text import text_of
from modelyard.inference.router import Router
from modelyard.inference.snapshot import Model
from modelyard.protocol.errors import Failure

SURFACE = "semantic_check"  # of these calls in the ledger, the request log and the metrics
LONGEST = 4_000  # characters of an answer that are compared
_REASON = "semantic_check_of"  # in the record's metadata: the request that was checked


class _Tool(Struct):
    """A called tool, as far as two are compared."""

    name: str | None
    arguments: object


class Rechecker:
    """Asks providers, and puts it on the books: paid, under a surface of its own."""

    def __init__(self, router: Router, ledger: Ledger) -> None:
        self._router = router
        self._ledger = ledger

    async def again(self, model: Model, call: Call) -> Answer | None:
        """See ``Asks``."""
        at = time()
        record_id = new_id(at)
        anew = msgspec.structs.replace(
            call,
            id=f"req_{record_id}",
            record_id=record_id,
            surface=SURFACE,
            share=False,
            started=monotonic(),
            at=at,
            attempts=[],
            metadata={_REASON: call.id},
        )
        answer: Answer | None = None
        try:
            self._ledger.probe()
            answer = await self._router.answer(model, anew)
            if answer.log is not None:
                async with asyncio.timeout(call.timeout):
                    await answer.log.over()
                if answer.log.error is not None:
                    raise Failure("PROVIDER_ERROR", "The answer was cut short.")
            self._ledger.record(anew, answer)
        except TimeoutError:
            late = Failure("INFERENCE_TIMEOUT", f"No answer within {call.timeout:g} s.")
            self._ledger.failed(anew, answer, late)
            return None
        except Failure as failure:
            self._ledger.failed(anew, answer, failure)
            return None
        except asyncio.CancelledError:
            stopped = Failure("SYSTEM_OVERLOADED", "The server stopped before it was answered.")
            self._ledger.failed(anew, answer, stopped)
            raise
        finally:
            if answer is not None and answer.log is not None:
                answer.log.close()
        answer.cache = "miss"
        return answer


def said(answer: Answer) -> str | None:
    """What an answer says, as text: its words, or the tools that it calls. None: neither."""
    if answer.log is not None:
        text = "" if answer.log.base else answer.log.text()
        return text[:LONGEST] or None
    parts = [text_of(answer.body)]
    try:
        choices = decode(answer.body).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    for choice in choices:
        for call in (choice.message.tool_calls if choice.message else None) or ():
            if call.function is not None:
                tool = _Tool(call.function.name, _read(call.function.arguments))
                parts.append(msgspec.json.encode(tool, order="sorted").decode())
    return "\n".join(filter(None, parts))[:LONGEST] or None


def _read(arguments: str | None) -> object:
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return arguments
