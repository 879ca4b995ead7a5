"""``GET /v1/ai-inference/providers``: what can be called, its price, and how it did."""

from collections.abc import Iterable, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from modelyard.gateway.figures import Usd, cost, per_thousand, ratio, reliability
from modelyard.gateway.live import TargetState
from modelyard.protocol.errors import timestamp
from modelyard.storage.ledger.queries import Usage

_TYPICAL = (1000.0, 0.0)  # input and output tokens, before the workspace has asked anything


class Performance(Struct, kw_only=True):
    """Measured in the last seven days, in this workspace. Rates are null until it was called."""

    total_requests: Annotated[
        int, Meta(description="Calls it answered, and calls it failed by its own fault.")
    ]
    avg_response_time: Annotated[
        float | None, Meta(description="Seconds of the calls it answered.")
    ]
    success_rate: Annotated[float | None, Meta(description="Fraction of its calls, 0 to 1.")]


class Pricing(Struct, kw_only=True):
    """What it costs and allows. Null: unknown."""

    input_token_price: Annotated[Usd | None, Meta(description="USD per 1,000 input tokens.")]
    output_token_price: Annotated[Usd | None, Meta(description="USD per 1,000 output tokens.")]
    cached_input_token_price: Annotated[
        Usd | None, Meta(description="USD per 1,000 input tokens that the provider had cached.")
    ]
    max_tokens_per_request: Annotated[int | None, Meta(description="Output tokens.")]
    requests_per_minute: Annotated[int | None, Meta(description="The provider's own limit.")] = None


class ProviderModel(Struct, kw_only=True):
    """One model of one provider."""

    provider: str
    model: str
    estimated_cost: Annotated[
        Usd | None,
        Meta(
            description="USD of a request as large as this workspace's were on average (1,000 "
            "input tokens before the first); null: the price is unknown."
        ),
    ]
    estimated_time: Annotated[
        float | None, Meta(description="Seconds: the moving average, else the measured mean.")
    ]
    reliability_score: Annotated[
        float | None,
        Meta(description="Lower end of the success rate's 95 % interval (Wilson), 0 to 1."),
    ]
    quality_score: Annotated[float | None, Meta(description="Null: not measured.")] = None
    tier: Annotated[str | None, Meta(description="The operator's; null: none given.")] = None
    circuit: Annotated[
        str, Meta(description="closed: called; open: left alone for a moment; half_open: probed.")
    ]
    actual_performance: Performance
    pricing: Pricing


class Providers(Struct, kw_only=True):
    """Every model of every provider that can be called."""

    providers: list[ProviderModel]
    timestamp: str


def build(
    targets: Iterable[TargetState], usage: Mapping[str, Usage], failures: Mapping[str, int]
) -> Providers:
    """Join live targets with the ledger's sums by target."""
    whole = _tokens(usage.values()) or _TYPICAL
    return Providers(
        providers=[
            _model(target, usage.get(target.name, Usage()), failures.get(target.name, 0), whole)
            for target in targets
        ],
        timestamp=timestamp(),
    )


def _model(
    target: TargetState, usage: Usage, failures: int, typical: tuple[float, float]
) -> ProviderModel:
    price = target.price
    total = usage.answers + failures
    mean = ratio(usage.upstream / 1000, usage.answers, 6)
    return ProviderModel(
        provider=target.provider,
        model=target.model,
        estimated_cost=cost(price, *(_tokens([usage]) or typical)) if price else None,
        estimated_time=mean if target.latency is None else round(target.latency, 6),
        reliability_score=reliability(usage.answers, total),
        circuit=target.circuit,
        actual_performance=Performance(
            total_requests=total,
            avg_response_time=mean,
            success_rate=ratio(usage.answers, total),
        ),
        pricing=Pricing(
            input_token_price=per_thousand(price.input) if price else None,
            output_token_price=per_thousand(price.output) if price else None,
            cached_input_token_price=per_thousand(price.cached_input) if price else None,
            max_tokens_per_request=target.max_output_tokens,
        ),
    )


def _tokens(usages: Iterable[Usage]) -> tuple[float, float] | None:
    """Mean input and output tokens of the answers; None when there were none."""
    found = list(usages)
    answers = sum(usage.answers for usage in found)
    if not answers:
        return None
    input_tokens = sum(usage.answer_input_tokens for usage in found)
    output_tokens = sum(usage.answer_output_tokens for usage in found)
    return input_tokens / answers, output_tokens / answers
