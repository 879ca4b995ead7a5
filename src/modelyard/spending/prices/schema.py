"""What clients send and read of prices (snake_case). All are US dollars."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelyard.kernel.fields import OUTPUT_ONLY, Etag, Time
from modelyard.protocol import paging

PER_MILLION = "USD per 1,000,000 tokens"
Usd = Annotated[float, Meta(ge=0, le=1_000_000)]


class PriceTier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all tokens of a call cost, in USD per 1,000,000, once its prompt is so long."""

    above: Annotated[int, Meta(ge=1, description="Tokens of the prompt: with more it holds.")]
    input: Usd
    output: Usd
    cached_input: Usd | None = None
    cache_write: Usd | None = None


class PriceOverride(Struct, frozen=True, kw_only=True):
    """A price that takes the place of the table's and the configuration's."""

    input: Annotated[Usd, Meta(description=f"{PER_MILLION} of the prompt.")]
    output: Annotated[Usd, Meta(description=f"{PER_MILLION} of the answer.")]
    cached_input: Annotated[
        Usd | None, Meta(description="Of those that the provider had cached; else as `input`.")
    ] = None
    cache_write: Annotated[
        Usd | None, Meta(description="Of those that the provider put into its cache.")
    ] = None
    tiers: Annotated[list[PriceTier], Meta(max_length=20)] = []
    note: Annotated[str, Meta(max_length=1000, description="Why: a contract, say.")] = ""
    checked: Annotated[str | None, OUTPUT_ONLY, Meta(description="The day it was set.")] = None


class Rates(Struct, frozen=True, kw_only=True):
    """What tokens cost; a null costs what ``input`` costs."""

    input: float
    output: float
    cached_input: float | None
    cache_write: float | None


class RateTier(Struct, frozen=True, kw_only=True):
    """What all tokens of a call with a longer prompt cost."""

    above: int
    per_million: Rates
    per_thousand: Rates


class PriceInForce(Struct, frozen=True, kw_only=True):
    """What a model costs now. Its rates are null where the price is unknown: it is not 0 then."""

    id: Annotated[str, Meta(description="A model's name, or `provider/model`.")]
    provider: str
    model: Annotated[str, Meta(description="As the provider calls it.")]
    listed: Annotated[bool, Meta(description="Whether this server lists it as callable.")]
    source: Annotated[
        Literal["table", "configuration", "override", "sandbox", "local"] | None,
        Meta(description="An override beats the configuration, which beats the table."),
    ]
    origin: Annotated[str | None, Meta(description="Where that has it from.")]
    checked: Annotated[str | None, Meta(description="The day it was last seen there, or set.")]
    currency: Literal["USD"]
    per_million: Annotated[Rates | None, Meta(description=f"{PER_MILLION}.")]
    per_thousand: Annotated[Rates | None, Meta(description="USD per 1,000 tokens.")]
    tiers: list[RateTier]
    note: str
    updated_at: Annotated[Time | None, Meta(description="When the override was set.")]
    updated_by: str | None
    etag: Annotated[Etag | None, Meta(description="Of the override; send it as If-Match.")]


class PriceList(Struct, frozen=True, kw_only=True):
    """A page of prices, in the order of their ids."""

    prices: list[PriceInForce]
    next_page_token: str | None


class PriceQuery(paging.Paging, frozen=True, kw_only=True):
    """Query parameters of the price list."""

    filter: Annotated[
        str,
        Meta(
            max_length=2000,
            description="An AIP-160 filter over id, provider, model, source, listed and "
            "per_million.input and .output; bare words search names and notes.",
        ),
    ] = ""
