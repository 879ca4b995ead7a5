"""The kept price table: what a provider charges for a model, or that it is not known.

``table.json`` is written by ``scripts/update_prices.py``. It is read when the first price is
asked for, and of each provider only then. A price that is not in it is unknown (None), which is
not the same as free.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from modelyard.inference.call import Price

SANDBOX = "sandbox"

# The names under which a provider may be configured, where its name is not the table's.
_ALIASES = {
    "gemini": "google",
    "vertex": "google",
    "xai": "x-ai",
    "grok": "x-ai",
    "bedrock": "aws",
    "azure-openai": "azure",
    "moonshot": "moonshotai",
    "z-ai": "zai",
}
# Where a provider answers. A name that begins with a dot stands for every host below it.
_HOSTS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    ".googleapis.com": "google",
    "api.groq.com": "groq",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.mistral.ai": "mistral",
    "api.deepseek.com": "deepseek",
    "openrouter.ai": "openrouter",
    "api.x.ai": "x-ai",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.fireworks.ai": "fireworks",
    "api.perplexity.ai": "perplexity",
    "api.cerebras.ai": "cerebras",
    "api.moonshot.ai": "moonshotai",
    "api.moonshot.cn": "moonshotai",
    "api.z.ai": "zai",
    ".openai.azure.com": "azure",
    ".services.ai.azure.com": "azure",
    ".cognitiveservices.azure.com": "azure",
    ".amazonaws.com": "aws",
}
# What may follow a model's name without changing its price, unless it has an entry of its own:
# the day of a snapshot (OpenAI's, Anthropic's, Vertex AI's way), "latest", Bedrock's version.
_SUFFIX = re.compile(r"[-@]20\d\d-?[01]\d-?[0-3]\d$|[-@]latest$|-v\d+(:\d+)?$")
_REGION = re.compile(r"^(us|us-gov|eu|apac|jp|au|ca|sa|me|af)\.")


class Rates(Struct, frozen=True):
    """USD per million tokens. A part that is None costs what ``input`` costs."""

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None

    def as_price(self) -> Price:
        """These rates as a Price."""
        parts = (self.input, self.output, self.cached_input, self.cache_write)
        table = _table()
        return from_usd_per_million(*parts, source=table.source, checked=table.checked)


class Tier(Rates, frozen=True, kw_only=True):
    """Rates of all tokens of a call whose prompt is longer than ``above`` tokens."""

    above: int


class Period(Rates, frozen=True, kw_only=True):
    """Rates announced from the day ``start`` on."""

    start: str
    tiers: tuple[Tier, ...] = ()


class Entry(Rates, frozen=True, kw_only=True):
    """What is known of one model."""

    tiers: tuple[Tier, ...] = ()
    later: tuple[Period, ...] = ()
    context: int | None = None  # tokens of the context window
    listed: bool = True
    note: str | None = None

    def price(self, day: str | None = None) -> Price:
        """The price on an ISO day (default: today, UTC)."""
        rates: Rates = self
        tiers = self.tiers
        if self.later:
            day = day or datetime.now(UTC).date().isoformat()
            for period in self.later:
                if period.start <= day:
                    rates, tiers = period, period.tiers
        price = rates.as_price()
        if tiers:
            price = replace(price, tiers=tuple((tier.above, tier.as_price()) for tier in tiers))
        return price


class _Provider(Struct, frozen=True):
    """One provider's part of the file. ``names`` leads from other names to models."""

    models: dict[str, Entry]
    names: dict[str, str]
    default: str = ""
    fallback: tuple[str, ...] = ()


class _Table(Struct, frozen=True):
    source: str
    checked: str
    providers: dict[str, Raw]


class _Models(NamedTuple):
    """One provider's part, for the lookup: names are in lower case."""

    by_name: dict[str, Entry]
    listed: list[str]
    default: str
    fallback: tuple[str, ...]


@cache
def _table() -> _Table:
    file = Path(__file__).with_name("table.json")
    return msgspec.json.decode(file.read_bytes(), type=_Table)


@cache
def _models(key: str) -> _Models:
    part = msgspec.json.decode(_table().providers[key], type=_Provider)
    by_name = {name.lower(): part.models[model] for name, model in part.names.items()}
    by_name |= {name.lower(): entry for name, entry in part.models.items()}
    listed = [name for name, entry in part.models.items() if entry.listed]
    return _Models(by_name, listed, part.default, part.fallback)


def _key(provider: str, base_url: str) -> str | None:
    """The part of the table that a provider belongs to."""
    if not base_url:
        key = _ALIASES.get(provider.lower(), provider.lower())
        return key if key in _table().providers else None
    try:
        host = urlsplit(base_url if "//" in base_url else f"//{base_url}").hostname or ""
    except ValueError:  # no address at all, as "http://["
        return None
    while host:
        if (found := _HOSTS.get(host)) is not None:
            return found
        _, dot, rest = host.lstrip(".").partition(".")
        host = dot + rest
    return None


def _spellings(name: str, key: str) -> Iterator[str]:
    """A model's name, then the names whose price it has when it has none of its own."""
    name = name.removeprefix("models/")
    yield name
    base = name.split(":")[1] if name.startswith("ft:") and name.count(":") > 1 else name
    base = _SUFFIX.sub("", base)
    yield f"ft:{base}" if name.startswith("ft:") else base
    if key == "aws":
        yield "regional." + _REGION.sub("", name)


def from_usd_per_million(
    input: float,  # noqa: A002 -- named as the setting is
    output: float,
    cached_input: float | None = None,
    cache_write: float | None = None,
    *,
    source: str = "configuration",
    checked: str | None = None,
) -> Price:
    """A Price from USD per million tokens: 1 USD is 1,000 nano-dollars a token.

    Raises ValueError for a price that is negative or not finite.
    """
    parts = (input, output, cached_input, cache_write)
    if any(part is not None and not (isfinite(part) and part >= 0) for part in parts):
        raise ValueError("a price is a finite number of USD per million tokens, not below 0")
    return Price(
        round(input * 1000, 6),
        round(output * 1000, 6),
        None if cached_input is None else round(cached_input * 1000, 6),
        None if cache_write is None else round(cache_write * 1000, 6),
        source,
        checked,
    )


FREE = Price(0.0, 0.0, source=SANDBOX)


def find(provider: str, base_url: str, model: str) -> Price | None:
    """The price of a model now, its tiers for long prompts included. None: unknown."""
    if provider == SANDBOX:
        return FREE
    entry = look_up(provider, base_url, model)
    return None if entry is None else entry.price()


def look_up(provider: str, base_url: str, model: str) -> Entry | None:
    """What is known of a model, or None.

    The host of ``base_url`` (a URL or a host) tells who charges; "" leaves it to the provider's
    name. Anybody else's address has no price here, whatever it is called: a server of one's own,
    or a proxy with contracts of its own. ``model`` is found by its exact name first, then without
    the day of its snapshot.
    """
    key = _key(provider, base_url)
    if key is None:
        return None
    for name in _spellings(model.lower(), key):
        for owner in (key, *_models(key).fallback):
            if (entry := _models(owner).by_name.get(name)) is not None:
                return entry
    return None


def models(provider: str, base_url: str = "") -> list[str]:
    """The provider's models to list; none where the provider is not in the table."""
    key = _key(provider, base_url)
    return list(_models(key).listed) if key else []


def every() -> Iterator[tuple[str, str, Price]]:
    """Provider, model and today's price of all that is in the table."""
    for key in _table().providers:
        part = msgspec.json.decode(_table().providers[key], type=_Provider)
        for name, entry in part.models.items():
            yield key, name, entry.price()


def default_model(provider: str, base_url: str = "") -> str | None:
    """A small, cheap chat model of the provider, for clients that name none."""
    key = _key(provider, base_url)
    return (_models(key).default or None) if key else None
