"""The kept price table, and what a call costs."""

import json
import math
import subprocess
import sys
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.inference.call import Price, Usage
from modelyard.inference.prices import table
from modelyard.inference.prices.table import Entry, find, from_usd_per_million, look_up
from modelyard.settings.known import known_providers

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_is_what_the_source_says() -> None:
    command = [sys.executable, "scripts/update_prices.py", "--check"]
    subprocess.run(command, cwd=ROOT, check=True)


def test_the_table_is_small_and_every_row_makes_sense() -> None:
    text = files("modelyard.inference.prices").joinpath("table.json").read_text(encoding="utf-8")
    assert len(text) < 300_000
    for name, part in json.loads(text)["providers"].items():
        assert part["models"], name
        assert set(part["names"].values()) <= set(part["models"])
        for model in part["models"]:
            entry = look_up(name, "", model)
            assert entry is not None, (name, model)
            assert 0 <= entry.input < 2_000, (name, model)
            assert 0 <= entry.output < 2_000, (name, model)
            assert entry.context is None or entry.context > 100
            free = model.endswith(":free")
            assert free or entry.input > 0 or entry.output > 0, (name, model)
            aboves = [tier.above for tier in entry.tiers]
            assert aboves == sorted(aboves)


def test_a_known_price_with_its_source() -> None:
    price = find("openai", "", "gpt-4o-mini")
    assert price is not None
    assert (price.input, price.output, price.cached_input) == (150.0, 600.0, 75.0)
    assert price.source.startswith("genai-prices ")
    assert price.checked is not None and len(price.checked) == 10


@pytest.mark.parametrize(
    ("model", "like"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("GPT-4o", "gpt-4o"),
        ("o3-2025-04-16", "o3"),
    ],
)
def test_a_snapshot_costs_what_its_model_costs(model: str, like: str) -> None:
    assert find("openai", "", model) == find("openai", "", like) is not None


def test_a_snapshot_with_its_own_price_has_it() -> None:
    own, base = find("openai", "", "gpt-4o-2024-05-13"), find("openai", "", "gpt-4o")
    assert own is not None and base is not None
    assert own.input == 2 * base.input


@pytest.mark.parametrize(
    ("provider", "url", "model"),
    [
        ("anthropic", "", "claude-3-5-haiku-20241022"),
        ("anthropic", "", "claude-haiku-4-5@20251001"),
        ("gemini", "", "models/gemini-2.5-flash"),
        ("xai", "", "grok-4-latest"),
        ("any", "https://api.groq.com/openai/v1", "llama-3.3-70b-versatile"),
        ("any", "api.groq.com", "llama-3.3-70b-versatile"),
        ("any", "https://me.openai.azure.com/openai/v1", "gpt-4o"),
        ("bedrock", "", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("openai", "", "ft:gpt-4o-mini-2024-07-18:org::abc"),
        ("openrouter", "", "openai/gpt-4o-mini"),
    ],
)
def test_found(provider: str, url: str, model: str) -> None:
    price = find(provider, url, model)
    assert price is not None and price.input > 0


@pytest.mark.parametrize(
    ("provider", "url", "model"),
    [
        ("openai", "", "gpt-99"),
        ("openai", "", "gpt-4o-mini-turbo"),
        ("openai", "", ""),
        ("openai", "http://127.0.0.1:8000/v1", "gpt-4o"),
        ("openai", "https://gateway.example.com/v1", "gpt-4o"),
        ("openai", "https://api.openai.com.example.com/v1", "gpt-4o"),
        ("openai", "https://evilopenrouter.ai/v1", "openai/gpt-4o"),
        ("openai", "http://[", "gpt-4o"),
        ("ollama", "", "llama3"),
        ("vllm", "http://127.0.0.1:8000/v1", "meta-llama/Llama-3-8b-chat-hf"),
        ("perplexity", "", "sonar-pro"),
    ],
)
def test_unknown_is_none_and_never_free(provider: str, url: str, model: str) -> None:
    assert find(provider, url, model) is None


def test_a_fine_tuned_model_costs_more_than_its_base() -> None:
    tuned = find("openai", "", "ft:gpt-4o-mini-2024-07-18:org::abc")
    base = find("openai", "", "gpt-4o-mini")
    assert tuned is not None and base is not None
    assert tuned.input > base.input


def test_the_sandbox_is_free() -> None:
    price = find("sandbox", "", "sandbox")
    assert price is not None
    assert price.cost(Usage(1_000_000, 1_000_000)) == 0
    assert table.models("sandbox") == []


def test_listing_and_defaults() -> None:
    models = table.models("openai")
    assert "gpt-4o-mini" in models
    assert "text-embedding-3-small" in models
    assert not [name for name in models if "whisper" in name or name.startswith("ft:")]
    assert all(find("fireworks", "", name) for name in table.models("fireworks"))
    assert table.models("ollama") == []
    assert table.models("openai", "http://127.0.0.1/v1") == []
    models.clear()
    assert table.models("openai")
    assert table.default_model("ollama") is None


def test_every_default_has_a_price() -> None:
    for name, known in known_providers().items():
        default = table.default_model(name, known.base_url)
        if default is not None:
            assert find(name, known.base_url, default) is not None, name


def test_longer_prompts_cost_more_where_they_do() -> None:
    price = find("openai", "", "gpt-6-luna")
    assert price is not None
    assert price.at(272_000) is price
    assert price.at(272_001).input == 2 * price.input
    short, long = price.cost(Usage(272_000, 10)), price.cost(Usage(272_001, 10))
    assert short == round(272_000 * price.input + 10 * price.output)
    assert long == round(272_001 * 2 * price.input + 10 * 1.5 * price.output)


def test_announced_prices_begin_on_their_day() -> None:
    later = table.Period(2.0, 4.0, start="2027-01-01", tiers=(table.Tier(8.0, 9.0, above=10),))
    entry = Entry(1.0, 2.0, later=(later,), tiers=(table.Tier(3.0, 3.0, above=5),))
    assert entry.price("2026-12-31").input == 1000
    assert entry.price("2026-12-31").at(6).input == 3000
    assert entry.price("2027-01-01").at(6).input == 2000
    assert entry.price("2027-06-01").at(11).input == 8000


_usd = st.floats(0, 1_000).map(lambda value: round(value, 4))
_parts = st.none() | _usd


@st.composite
def _usages(draw: st.DrawFn) -> Usage:
    input_tokens = draw(st.integers(0, 2_000_000))
    cached = draw(st.integers(0, input_tokens))
    written = draw(st.integers(0, input_tokens - cached))
    return Usage(input_tokens, draw(st.integers(0, 2_000_000)), cached, written)


@given(_usd, _usd, _parts, _parts, _usages())
def test_a_cost_is_exact_to_half_a_nano_dollar(
    input_: float, output: float, cached: float | None, write: float | None, usage: Usage
) -> None:
    price = from_usd_per_million(input_, output, cached, write)

    def nano(usd: float) -> Fraction:
        return Fraction(str(usd)) * 1000

    plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    exact = (
        plain * nano(input_)
        + usage.cached_tokens * nano(input_ if cached is None else cached)
        + usage.cache_write_tokens * nano(input_ if write is None else write)
        + usage.output_tokens * nano(output)
    )
    # Above 2^53 nano-dollars (9 million USD) floats are no longer that fine.
    assert abs(price.cost(usage) - exact) <= Fraction(1, 2) + exact / 2**50


@given(_usd, _usd, _parts, _parts, _usages(), st.integers(0, 1000))
def test_a_cost_is_never_negative_and_grows_with_use(
    input_: float, output: float, cached: float | None, write: float | None, usage: Usage, more: int
) -> None:
    price = from_usd_per_million(input_, output, cached, write)
    cost = price.cost(usage)
    assert isinstance(cost, int) and cost >= 0
    longer = Usage(usage.input_tokens + more, usage.output_tokens, usage.cached_tokens)
    longer.cache_write_tokens = usage.cache_write_tokens
    assert price.cost(longer) >= cost
    longer.output_tokens += more
    assert price.cost(longer) >= cost


@given(_usd, _usd, _parts, _parts, _usages())
def test_no_call_costs_more_than_the_most(
    input_: float, output: float, cached: float | None, write: float | None, usage: Usage
) -> None:
    price = from_usd_per_million(input_, output, cached, write)
    assert price.cost(usage) <= price.most(usage.input_tokens, usage.output_tokens)


@given(_usd, _usd, st.integers(0, 1000), st.integers(0, 1000))
def test_usage_that_contradicts_itself_costs_something_not_negative(
    input_: float, cached: float, total: int, read: int
) -> None:
    price = from_usd_per_million(input_, 0.0, cached)
    assert price.cost(Usage(total, 0, read, read)) >= 0


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), max_size=50))
def test_the_sum_of_costs_is_off_by_half_a_nano_for_each_call(calls: list[tuple[int, int]]) -> None:
    price = from_usd_per_million(0.0375, 0.15)
    each = sum(price.cost(Usage(*call)) for call in calls)
    together = Usage(sum(call[0] for call in calls), sum(call[1] for call in calls))
    assert abs(each - price.cost(together)) <= 0.5 * (len(calls) + 1)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_no_price_is_negative_or_endless(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        from_usd_per_million(bad, 1.0)
    with pytest.raises(ValueError, match="finite"):
        from_usd_per_million(1.0, 1.0, None, bad)


def test_usd_per_million_is_a_thousand_nano_dollars_a_token() -> None:
    assert from_usd_per_million(2.5, 10, 1.25) == Price(2500.0, 10_000.0, 1250.0)
    assert from_usd_per_million(0.0028, 0.003625).input == 2.8
