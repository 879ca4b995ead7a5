"""Models that run on this machine, in a process of their own: embeddings without a vendor.

See ``modelyard.inference.local``. Nothing of it is loaded or started before it is asked for.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from modelyard.inference.call import EMBEDDING, Call
from modelyard.inference.local.client import (
    CannotStart,
    Engine,
    EngineLost,
    NotInstalled,
    Overloaded,
)
from modelyard.inference.local.frames import Told
from modelyard.inference.local.models import MODELS, LocalModel, find
from modelyard.inference.providers.parameters import dropped, fit, impossible, taken, unreadable
from modelyard.inference.providers.provider import After, AttemptFailed, Reply
from modelyard.inference.providers.reply import Whole
from modelyard.inference.transport.wire import Deadlines

RULES = {
    "encoding_format": taken("float or base64"),
    "dimensions": taken("the model's own number only"),
    "task_type": dropped("one vector for all tasks"),
    "title": dropped("one vector for all tasks"),
}
MOST_INPUTS = 2048  # of a request, as OpenAI's
_FAILURES = (NotInstalled, CannotStart, EngineLost, Overloaded)


class Local:
    """The provider of local models."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self._home = home
        self._engines: dict[str, Engine] = {}

    async def call(self, call: Call, model: str, deadlines: Deadlines, attempt: str) -> Reply:
        """Embed; see ``Provider.call``."""
        started = monotonic()
        known = find(model)
        if known is None:
            raise self._unknown(model)
        if call.kind != EMBEDDING:
            raise impossible(
                f"{self.name}/{known.name} makes embeddings and answers no {call.kind} requests: "
                "use another model.",
                "model",
            )
        warnings: list[str] = []
        fit(call.body, RULES, f"{self.name}/{known.name}", warnings)
        texts = texts_of(call.body, known)
        as_base64 = call.body.get("encoding_format") == "base64"
        try:
            async with asyncio.timeout(min(deadlines.first_byte, deadlines.total)):
                told = await self._engine(known).embed(texts, as_base64)
        except TimeoutError:
            raise _late(known) from None
        except _FAILURES as problem:
            raise _failed(problem, known) from problem
        if told.cut:
            warnings.append(_cut(told.cut, known))
        seconds = monotonic() - started
        return Whole(body(told, known), warnings=tuple(warnings), first_byte_seconds=seconds)

    async def close(self) -> None:
        """Let go of the processes."""
        for engine in self._engines.values():
            await engine.close()

    def _engine(self, model: LocalModel) -> Engine:
        engine = self._engines.get(model.name)
        if engine is None:
            engine = self._engines[model.name] = Engine(self._home, model)
        return engine

    def _unknown(self, model: str) -> AttemptFailed:
        known = ", ".join(repr(one.name) for one in MODELS)
        return AttemptFailed(
            "model",
            f"{self.name!r} runs no model {model[:100]!r}; it can run {known}.",
            code="MODEL_NOT_FOUND",
            after=After.NEXT,
            healthy=True,
            field="model",
        )


def texts_of(body: dict[str, Any], model: LocalModel) -> list[str]:
    """The texts of an embedding request. Raises AttemptFailed for what the model cannot do."""
    dimensions = body.get("dimensions")
    if dimensions is not None and dimensions != model.width:
        text = f"{model.name} makes vectors of {model.width} dimensions only, not {dimensions!r}."
        raise impossible(f"{text} Leave 'dimensions' out.", "dimensions")
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise unreadable("input", "must be a text or a list of texts")
    if len(texts) > MOST_INPUTS:
        raise unreadable("input", f"holds {len(texts)} texts, {MOST_INPUTS} are the most")
    if not all(isinstance(text, str) for text in texts):
        raise impossible(
            f"{model.name} takes texts only: token ids are of another model's vocabulary. Send "
            "the text itself (in LangChain: check_embedding_ctx_length=False).",
            "input",
        )
    return [_clean(text) for text in texts]


def _clean(text: str) -> str:
    """A text without lone surrogates, which JSON can hold and UTF-8 cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def body(told: Told, model: LocalModel) -> bytes:
    """OpenAI's answer to an embedding request."""
    usage = {"prompt_tokens": told.tokens, "total_tokens": told.tokens}
    end = msgspec.json.encode({"model": model.name, "usage": usage})
    return b'{"object":"list","data":%b,%b' % (told.data, end[1:])


def _cut(numbers: list[int], model: LocalModel) -> str:
    shown = ", ".join(map(str, numbers[:10])) + (", …" if len(numbers) > 10 else "")
    return (
        f"{len(numbers)} of the inputs were cut at {model.longest} tokens, all that "
        f"{model.name} reads: {shown}."
    )


def _failed(problem: Exception, model: LocalModel) -> AttemptFailed:
    """What keeps the model from answering. No circuit opens: the next call may start it anew."""
    code, after, wait = "MODEL_UNAVAILABLE", After.NEXT, 5.0
    if isinstance(problem, EngineLost):
        reason, after = "engine_lost", After.RETRY
        text = f"The process of {model.name} ended while it was asked; it is started again."
        return AttemptFailed(reason, text, code=code, after=after, healthy=True)
    if isinstance(problem, NotInstalled):
        reason, code = "not_installed", "MODEL_NOT_LOADED"
        text = f"{model.name} is not installed: run `modelyard local install {model.short}`."
    elif isinstance(problem, Overloaded):
        reason, code, wait = "overloaded", "SYSTEM_OVERLOADED", 1.0
        text = f"Too many texts wait for {model.name} already."
    else:
        reason = "cannot_start"
        text = f"The process of {model.name} cannot start: {problem}. "
        text += f"`modelyard local install {model.short}` installs it anew."
    return AttemptFailed(reason, text, code=code, after=after, retry_after=wait, healthy=True)


def _late(model: LocalModel) -> AttemptFailed:
    return AttemptFailed(
        "timeout_first_byte",
        f"{model.name} did not answer in time.",
        code="INFERENCE_TIMEOUT",
        after=After.NEXT,
        healthy=True,
    )
