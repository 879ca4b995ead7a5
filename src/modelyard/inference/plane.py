"""The plane: everything that the requests of one process share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from modelyard.auth.keys import KeyRing
from modelyard.inference import tokens, vocabularies
from modelyard.inference.admission import Admission, Ticket
from modelyard.inference.answer import Answer
from modelyard.inference.cache.levels import Levels
from modelyard.inference.call import Call, Price
from modelyard.inference.flights import Flights
from modelyard.inference.ledger import Ledger
from modelyard.inference.router import Router
from modelyard.inference.semantic.cache import SemanticCache
from modelyard.inference.snapshot import Model, Snapshot, build
from modelyard.protocol.errors import Failure
from modelyard.settings import Settings

_LARGE = 16 * 1024  # bytes of a body that may hold images or audio, whose bytes are no tokens
BYTES_PER_TOKEN = 4  # of JSON in English
_TYPICAL_OUTPUT = 256  # tokens assumed of a model that has not answered yet


class Plane:
    """Owns cache, flights, limits and health; reads the snapshot; appends to the ledger."""

    def __init__(self, settings: Settings, snapshot: Snapshot, ledger: Ledger) -> None:
        self.settings = settings
        self.snapshot = snapshot
        self.ledger = ledger
        self.admission = Admission()
        self.flights = Flights()
        self.router = Router(settings.gateway)
        self.cache = Levels(settings.cache)
        self.semantic: SemanticCache | None = None  # None: it is off
        self.watch: Callable[[Call, Answer], None] | None = None  # sees what may be warmed
        self._output: dict[str, float] = {}  # moving average of answers' length, by model

    def publish(self, keys: KeyRing) -> None:
        """Work with these keys from now on."""
        self.snapshot = replace(self.snapshot, keys=keys)

    def reprice(self, overrides: Mapping[str, Price]) -> None:
        """Work with these prices beside the configured ones; what runs is settled as it began."""
        now = self.snapshot
        self.snapshot = build(self.settings, now.providers, now.keys, overrides)

    def admit(self, call: Call, model: Model) -> Ticket:
        """Count the prompt, bound the cost, and reserve both.

        A prompt is counted where the count is shown or decides: on the gateway's own surface and
        under a budget. Elsewhere four bytes are taken for a token until the provider has counted
        (splintr took 7 µs by perf for a short new prompt).

        Raises RATE_LIMITED, QUOTA_EXCEEDED or BUDGET_EXCEEDED.
        """
        money = 0
        if call.counted or call.budget is not None or len(call.raw) > _LARGE:
            vocabulary = vocabularies.find(model.first.model).name
            measured = tokens.measure(call.body, call.kind, vocabulary)
            prompt = call.input_tokens = measured.tokens
            if call.budget is not None:
                money = keep_budget(call, model, measured.bound)
        else:
            prompt = len(call.raw) // BYTES_PER_TOKEN + 1
        output = call.max_tokens or 0
        price = model.first.price
        if price is None:
            call.estimated_cost = None
        else:
            expected = self._expected_output(call, model)
            call.estimated_cost = int(prompt * price.input + expected * price.output)
            if not money:
                money = int(prompt * price.input + (output or expected) * price.output)
        return self.admission.admit(call, prompt + output, money)

    def learn(self, call: Call, answer: Answer) -> None:
        """Remember how long this model's answers are, for the next estimate."""
        if call.share and self.watch is not None:
            self.watch(call, answer)
        if answer.usage is not None and not answer.shared and not answer.hit:
            before = self._output.get(answer.target)
            length = answer.usage.output_tokens
            if before is None and len(self._output) > 10_000:
                self._output.clear()
            self._output[answer.target] = (
                length if before is None else before + 0.05 * (length - before)
            )

    def _expected_output(self, call: Call, model: Model) -> float:
        if call.kind == "embedding":
            return 0.0
        expected = self._output.get(model.first.name, _TYPICAL_OUTPUT)
        return min(expected, call.max_tokens) if call.max_tokens else expected


def keep_budget(call: Call, model: Model, prompt: int) -> int:
    """Refuse what may cost more than ``budget_limit``; bound the answer's length by it.

    Returns what the call may cost at most, whichever target of the chain answers.
    """
    assert call.budget is not None
    least = model.dearest(prompt, 0 if call.kind == "embedding" else 1)
    if least is None:
        raise Failure(
            "INVALID_REQUEST",
            f"budget_limit cannot be kept: the price of {model.name!r} is unknown. Set "
            "[models.price] in the configuration, or leave budget_limit out.",
            details={"field": "budget_limit"},
        )
    wanted = call.max_tokens or model.max_output_tokens
    worst = model.dearest(prompt, wanted) if wanted else None
    if worst is not None and worst <= call.budget:
        return worst
    if least > call.budget or call.max_tokens:
        needed = worst if call.max_tokens and worst is not None else least
        raise Failure(
            "BUDGET_EXCEEDED",
            "The request may cost more than its budget_limit. Raise it, ask for fewer tokens, or "
            "use a cheaper model.",
            details={
                "budget": "budget_limit",
                "limit_usd": call.budget / 1e9,
                "may_cost_usd": needed / 1e9,
                "spent_usd": 0.0,
            },
        )
    call.max_tokens = _affordable(model, prompt, call.budget)
    name = "max_tokens" if "max_completion_tokens" not in call.body else "max_completion_tokens"
    call.body = call.body | {name: call.max_tokens}
    call.raw = b""
    call.metadata = call.metadata | {"max_tokens_by_budget": call.max_tokens}
    return call.budget


def _affordable(model: Model, prompt: int, budget: int) -> int:
    """How long the answer may be so that no target of the chain costs more than ``budget``."""
    most = 10_000_000
    for target in model.targets():
        price = target.price
        if price is not None and (each := price.at(prompt).output) > 0:
            most = int(min(most, (budget - price.most(prompt, 0)) / each))
    return max(1, most)
