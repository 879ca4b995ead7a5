"""The router: which target answers, and what happens when one does not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

import msgspec

from modelyard.inference import tokens, vocabularies
from modelyard.inference.answer import Answer
from modelyard.inference.call import COUNT, EMBEDDING, Call, Price, Usage
from modelyard.inference.eventlog import EventLog
from modelyard.inference.health import Health
from modelyard.inference.providers.provider import After, AttemptFailed, Reply
from modelyard.inference.providers.text import text_of
from modelyard.inference.providers.usage import read_usage
from modelyard.inference.shapes import decode_body
from modelyard.inference.snapshot import Model, Target
from modelyard.inference.transport.wire import Deadlines
from modelyard.protocol.errors import Failure
from modelyard.settings import GatewaySettings
from modelyard.storage.ledger.record import Attempt

_MOST_TARGETS = 10_000
_BACKOFF = 0.25  # seconds, doubled with each failure of the call, full jitter
_MAX_BACKOFF = 2.0
_MAX_RETRY_AFTER = 20.0  # longer than this is not waited for
# What every target said of the request itself is told in the last one's words.
_OF_THE_REQUEST = frozenset(
    {"CONTEXT_TOO_LONG", "MODEL_NOT_FOUND", "MODEL_NOT_SUPPORTED", "PAYLOAD_TOO_LARGE"}
)


class Router:
    """Goes along a model's fallback chain until a target answers."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._health: dict[str, Health] = {}
        self._random = random.Random()  # noqa: S311 (jitter and load, not secrets)

    def health(self, target: str) -> Health:
        """The live state of ``provider/model``."""
        health = self._health.get(target)
        if health is None:
            if len(self._health) >= _MOST_TARGETS:  # clients may name any model of a provider
                self._health = {name: one for name, one in self._health.items() if one.running}
            health = self._health[target] = Health()
        return health

    def states(self) -> Mapping[str, Health]:
        """The live state of every target that was called, by ``provider/model``."""
        return self._health

    async def answer(self, model: Model, call: Call) -> Answer:
        """Call targets in order until one answers. Every attempt is in ``call.attempts``.

        Raises Failure: the refusal of the request itself, or what to tell when every target
        failed.
        """
        deadline = call.started + call.timeout
        failures: list[AttemptFailed] = []
        order = self._order(model)
        for target in order:
            health = self.health(target.name)
            for retry in range(target.settings.retries + 1):
                if len(call.attempts) >= self._settings.max_attempts:
                    raise exhausted(call, failures)
                if not health.admits(monotonic(), self._settings.circuit_seconds):
                    failures.append(_circuit_open(target))
                    break
                try:
                    return await self._attempt(target, health, call, deadline)
                except AttemptFailed as failure:
                    failures.append(failure)
                    if failure.after is After.STOP:
                        raise refused(failure) from failure
                    if failure.after is After.NEXT or retry == target.settings.retries:
                        break
                    last = target is order[-1]
                    if not await self._pause(failure, len(failures), deadline, last):
                        break
        raise exhausted(call, failures)

    def _order(self, model: Model) -> Sequence[Target]:
        if len(model.chain) == 1 and len(model.chain[0]) == 1:
            return model.chain[0]
        order: list[Target] = []
        for group in model.chain:
            order += group if len(group) == 1 else self._equals(group, model.balance)
        now = monotonic()
        # Who asked to be left alone is asked last; the sort keeps the order otherwise.
        order.sort(key=lambda target: self.health(target.name).limited_until > now)
        return order

    def _equals(self, group: tuple[Target, ...], balance: str) -> list[Target]:
        """Equals in the order of a choice: healthy ones first."""
        now = monotonic()
        seconds = self._settings.circuit_seconds

        def rank(target: Target) -> tuple[bool, float]:
            health = self.health(target.name)
            away = not health.admits(now, seconds) or health.limited_until > now
            if balance == "least_loaded":
                return away, health.running / target.weight + self._random.random() * 1e-6
            # Weighted order without replacement (Efraimidis and Spirakis, 2006).
            return away, -(self._random.random() ** (1.0 / target.weight))

        return sorted(group, key=rank)

    async def _attempt(self, target: Target, health: Health, call: Call, deadline: float) -> Answer:
        start = monotonic()
        if deadline <= start:
            raise AttemptFailed("timeout_total", "No time left.", code="INFERENCE_TIMEOUT",
                                after=After.NEXT, healthy=True)  # fmt: skip
        attempt = Attempt(
            f"{call.id}-{len(call.attempts) + 1}",
            target.name,
            milliseconds(start - call.started),
            0.0,
            "cancelled",
        )
        call.attempts.append(attempt)
        health.begin()
        try:
            reply = await target.provider.call(
                call, target.model, _deadlines(target, deadline - start), attempt.id
            )
            if reply.limited:  # it answered, and takes no more for now
                health.limited_until = monotonic() + reply.limited
            attempt.reused = reply.reused
            attempt.first_byte = milliseconds(reply.first_byte_seconds)
            answer = await self._read(target, call, reply)
        except AttemptFailed as failure:
            now = monotonic()
            attempt.outcome, attempt.status = failure.reason, failure.status
            attempt.detail = failure.message[:300]
            attempt.duration = milliseconds(now - start)
            self._failed(target, health, failure, now)
            raise
        except BaseException:  # cancelled, or a fault of ours
            attempt.duration = milliseconds(monotonic() - start)
            health.end()
            raise
        attempt.outcome, attempt.status = "ok", 200
        if answer.log is None or answer.log.done:
            self._over(target, health, attempt, start, answer.log)
        else:
            health.recover()  # it speaks: others need not wait for the end of its stream
            over = partial(self._over, target, health, attempt, start, answer.log)
            answer.log.endings.append(over)
        return answer

    def _over(
        self,
        target: Target,
        health: Health,
        attempt: Attempt,
        start: float,
        log: EventLog | None,
    ) -> None:
        """The answer, or its stream, came to its end."""
        now = monotonic()
        attempt.duration = milliseconds(now - start)
        if log is None or log.error is None:
            health.succeed(now - start, (attempt.first_byte or 0.0) / 1e3)
            return
        attempt.outcome, attempt.detail = log.error.reason, log.error.message[:300]
        self._failed(target, health, log.error, now)

    async def _read(self, target: Target, call: Call, reply: Reply) -> Answer:
        if call.stream:
            log = EventLog(
                self._settings.stream_buffer_bytes,
                self._settings.max_response_bytes,
                samples(call),
            )
            log.attach(reply)
            try:
                if log.done or log.first_token is not None:  # it mostly comes with the headers
                    await log.started()
                else:
                    async with asyncio.timeout(target.settings.first_byte_timeout):
                        await log.started()
            except TimeoutError:
                log.close()
                raise _no_token(target) from None
            except BaseException:
                reply.close()
                raise
            return Answer(
                log=log,
                target=target.name,
                provider=target.provider.name,
                price=target.price,
                model=log.model,
                native=reply.native,
                warnings=reply.warnings,
            )
        answer = complete(target, call, reply.body)
        answer.native = reply.native
        answer.warnings = reply.warnings
        return answer

    def _failed(self, target: Target, health: Health, failure: AttemptFailed, now: float) -> None:
        if target.settings.dialect == "sandbox":  # it fails when it is told to
            health.end()
            return
        if failure.retry_after is not None:
            health.limited_until = now + failure.retry_after
        if failure.healthy or failure.status == 429:
            health.end()
        else:
            health.fail(now, failure.reason, self._settings.circuit_failures)

    async def _pause(
        self, failure: AttemptFailed, failures: int, deadline: float, last: bool
    ) -> bool:
        """Wait before the same target is tried again; False when another one is better."""
        if failure.retry_after is not None:
            wait = failure.retry_after
            if not last or wait > _MAX_RETRY_AFTER or monotonic() + wait >= deadline:
                return False
        else:
            wait = self._random.random() * min(_MAX_BACKOFF, _BACKOFF * 2.0**failures)
        await asyncio.sleep(wait)
        return True


def samples(call: Call) -> int:
    """How many choices the answer has: ``n``, for each prompt of a text completion."""
    prompt = call.body.get("prompt")
    batch = len(prompt) if isinstance(prompt, list) and isinstance(prompt[0], str | list) else 1
    return (call.body.get("n") or 1) * batch


def milliseconds(seconds: float) -> float:
    """To the microsecond."""
    return int(seconds * 1e6) / 1e3


def complete(target: Target, call: Call, body: bytes) -> Answer:
    """A complete body as an answer. Raises AttemptFailed when it is none."""
    if call.kind == COUNT:  # costs nothing, and is no completion
        return Answer(
            body=body,
            target=target.name,
            provider=target.provider.name,
            price=Price(0.0, 0.0),
            usage=Usage(),
        )
    try:
        parsed = decode_body(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "empty" if not body else "malformed"
        raise AttemptFailed(reason, f"The provider's answer is {reason}.") from error
    items = parsed.data if call.kind == EMBEDDING else parsed.choices
    if not items:
        raise AttemptFailed("empty", "The provider's answer holds no result.")
    usage = read_usage(parsed.usage) or counted(call, text_of(body), target.model)
    return Answer(
        body=body,
        target=target.name,
        provider=target.provider.name,
        price=target.price,
        usage=usage,
        model=parsed.model,
        finish_reason=parsed.choices[0].finish_reason if parsed.choices else None,
    )


def counted(call: Call, text: str, model: str) -> Usage:
    """Usage as counted here, for a provider that reports none."""
    vocabulary = vocabularies.find(model).name
    prompt = call.input_tokens or tokens.estimate(call.body, call.kind, vocabulary)
    return Usage(prompt, tokens.count(text, vocabulary), estimated=True)


def _deadlines(target: Target, left: float) -> Deadlines:
    settings = target.settings
    return Deadlines(
        settings.connect_timeout, settings.first_byte_timeout, settings.idle_timeout, left
    )


def _no_token(target: Target) -> AttemptFailed:
    return AttemptFailed(
        "timeout_first_token",
        f"{target.name} sent no token within {target.settings.first_byte_timeout:g} s.",
        code="INFERENCE_TIMEOUT",
        after=After.NEXT,
    )


def _circuit_open(target: Target) -> AttemptFailed:
    return AttemptFailed(
        "circuit_open",
        f"{target.name} failed repeatedly and is not called for a moment.",
        code="PROVIDER_UNAVAILABLE",
        after=After.NEXT,
    )


def refused(failure: AttemptFailed) -> Failure:
    """The provider refused the request itself: its own words are passed on."""
    details: dict[str, Any] = {"provider_error": failure.error} if failure.error else {}
    if failure.field:
        details["field"] = failure.field
    return Failure(failure.code, failure.message, details=details)


def exhausted(call: Call, failures: list[AttemptFailed]) -> Failure:
    """What to tell when no target answered."""
    codes = {failure.code for failure in failures}
    code = codes.pop() if len(codes) == 1 else "PROVIDER_UNAVAILABLE"
    if code in _OF_THE_REQUEST:
        return refused(failures[-1])
    waits = [failure.retry_after for failure in failures if failure.retry_after is not None]
    attempts = [
        {"target": a.target, "reason": a.outcome, "status": a.status, "milliseconds": a.duration}
        for a in call.attempts
    ]
    details = {"attempts": attempts, "model": call.model}
    if code == "INFERENCE_TIMEOUT":
        message = f"No target answered within its time ({call.timeout:g} s in all)."
        return Failure(code, message, details=details | {"timeout_seconds": call.timeout})
    last = failures[-1].message if failures else "No target may be called now."
    message = f"Every target of {call.model or 'the default model'!r} failed. The last one: {last}"
    wait = min(waits) if waits else (5.0 if code == "PROVIDER_UNAVAILABLE" else None)
    return Failure(code, message, details=details, retry_after=wait)
