"""Write the kept price table from the facts of the development dependency genai-prices.

``python scripts/update_prices.py`` writes ``src/modelyard/inference/prices/table.json``; with
``--check`` it compares instead and exits with 1 when the table is not what would be written.

Of each model: USD per million tokens, the context window, the names it is asked for by, prices
above a prompt length, prices announced for a later day. Left out is what tokens alone do not
price: models billed by the hour, the page, the character, or with a fee for each request.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices import types
from genai_prices.data import providers

TABLE = Path(__file__).resolve().parent.parent / "src/modelyard/inference/prices/table.json"

# Which provider to list, and the model that is used when a client names none.
PROVIDERS = {
    "openai": "gpt-4o-mini",
    "anthropic": "claude-haiku-4-5",
    "google": "gemini-2.5-flash",
    "groq": "openai/gpt-oss-20b",
    "together": "openai/gpt-oss-120b",
    "mistral": "mistral-small-latest",
    "deepseek": "deepseek-flash",
    "openrouter": "openai/gpt-4o-mini",
    "x-ai": "grok-4-fast-non-reasoning",
    "cohere": "command-r7b",
    "fireworks": "accounts/fireworks/models/gpt-oss-20b",
    "perplexity": "",
    "cerebras": "gpt-oss-120b",
    "moonshotai": "",
    "zai": "",
    "azure": "",
    "aws": "",
}

# Answered by other interfaces than chat, completions and embeddings, or retired: priced, not
# listed.
_UNLISTED = re.compile(
    r"^ft:|\.ft-|:extended$|image|realtime|transcribe|tts|whisper|live|audio|voice|sonic|ocr"
    r"|moderation|computer-use|^(ada|babbage|curie|davinci)|^text-davinci|^gpt-3\.5-0301|lyria",
    re.IGNORECASE,
)
_RATES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
}
_UNTOLD = ("requests_kcount", "audio_hours", "input_mchars", "input_document_kpages")

Rates = dict[str, Any]


def table(on: date) -> dict[str, Any]:
    """The whole table, as the prices are on that day."""
    known = {provider.id: provider for provider in providers}
    return {
        "source": f"genai-prices {version('genai-prices')}",
        "checked": on.isoformat(),
        "providers": {name: _provider(known[name], on) for name in PROVIDERS},
    }


def _provider(provider: types.Provider, on: date) -> dict[str, Any]:
    models: dict[str, Any] = {}
    names: dict[str, str] = {}
    for model in provider.models:
        row = _model(model, on)
        if row is None:
            continue
        literal = list(dict.fromkeys(_names(model.match)))
        # The source's id is sometimes its own; what can be asked for is then one of the names.
        listed = model.id if model.is_match(model.id) or not literal else literal[0]
        elsewhere = provider.id == "google" and "claude" in listed  # Vertex AI only
        if model.deprecated or elsewhere or _UNLISTED.search(listed):
            row["listed"] = False
        models[listed] = row
        for name in (*literal, model.id):
            names.setdefault(name, listed)
    fallback = [name for name in provider.fallback_model_providers or () if name in PROVIDERS]
    return {
        "default": PROVIDERS[provider.id],
        "fallback": fallback,
        "models": models,
        "names": {name: listed for name, listed in names.items() if name not in models},
    }


def _names(match: Any) -> Iterator[str]:
    """The literal names of a match. A prefix or a part is taken as a whole name: what follows
    it may be another model at another price; dates and versions are cut off by the lookup.
    """
    for clause in getattr(match, "or_", [match]):
        for sort in ("equals", "starts_with", "contains", "ends_with"):
            if isinstance(name := getattr(clause, sort, None), str):
                yield name.rstrip("-@")


def _model(model: types.ModelInfo, on: date) -> Rates | None:
    """The row of one model, or None when tokens do not tell its price."""
    periods = _periods(model)
    begun = [prices for start, prices in periods if start <= on]
    rates = _rates(begun[-1] if begun else periods[0][1], model)
    if rates is None:
        return None
    later = [
        {"start": start.isoformat(), **changed}
        for start, prices in periods
        if start > on and (changed := _rates(prices, model))
    ]
    row: Rates = {**rates, "context": model.context_window, "later": later}
    hours = [found for prices in _by_hour(model) if (found := _rates(prices, model))]
    if hours:
        dearest = max([rates, *hours], key=_dearness)
        row |= dearest
        row["note"] = "varies by the hour; the dearest is given"
    return {field: value for field, value in row.items() if value not in (None, [])}


def _dearness(rates: Rates) -> tuple[float, float]:
    return rates["output"], rates["input"]


def _periods(model: types.ModelInfo) -> list[tuple[date, types.ModelPrice]]:
    """Prices by the day they begin; hours of the day aside."""
    if isinstance(model.prices, types.ModelPrice):
        return [(date.min, model.prices)]
    found = [(date.min, item.prices) for item in model.prices if item.constraint is None]
    found += [
        (item.constraint.start_date, item.prices)
        for item in model.prices
        if isinstance(item.constraint, types.StartDateConstraint)
    ]
    return sorted(found or [(date.min, model.prices[0].prices)], key=lambda period: period[0])


def _by_hour(model: types.ModelInfo) -> list[types.ModelPrice]:
    if isinstance(model.prices, types.ModelPrice):
        return []
    hours = types.TimeOfDateConstraint
    return [item.prices for item in model.prices if isinstance(item.constraint, hours)]


def _rates(prices: types.ModelPrice, model: types.ModelInfo) -> Rates | None:
    stated = {key: value for key, value in vars(prices).items() if value is not None}
    if not stated and model.id.endswith(":free"):
        return {"input": 0, "output": 0}
    if "input_mtok" not in stated or any(fee in stated for fee in _UNTOLD):
        return None
    if "output_mtok" not in stated and not re.search("embed|voyage", model.id):
        return None
    found = {name: stated[key] for name, key in _RATES.items() if key in stated}
    found.setdefault("output", 0)
    base = {name: _number(_base(value)) for name, value in found.items()}
    starts = sorted({tier.start for value in found.values() for tier in _tiers(value)})
    tiers = [
        {"above": start, **{name: _number(_at(value, start)) for name, value in found.items()}}
        for start in starts
    ]
    return {**base, "tiers": tiers}


def _base(value: Any) -> Any:
    return value.base if isinstance(value, types.TieredPrices) else value


def _tiers(value: Any) -> list[types.Tier]:
    return value.tiers if isinstance(value, types.TieredPrices) else []


def _at(value: Any, start: int) -> Any:
    """The price of a prompt longer than ``start`` tokens."""
    reached = [tier.price for tier in _tiers(value) if tier.start <= start]
    return reached[-1] if reached else _base(value)


def _number(value: Any) -> int | float:
    number = float(value)
    return int(number) if number.is_integer() else number


def render(content: dict[str, Any]) -> str:
    """The table as JSON, one model to a line, so that a change shows as what it is."""
    lines = [f'{{"source":{json.dumps(content["source"])},"checked":"{content["checked"]}",']
    lines.append('"providers":{')
    blocks = []
    for name, provider in content["providers"].items():
        head = {key: provider[key] for key in ("default", "fallback") if provider[key]}
        rows = ",\n".join(f"  {_compact(k)}:{_compact(v)}" for k, v in provider["models"].items())
        names = ",\n".join(f"  {_compact(k)}:{_compact(v)}" for k, v in provider["names"].items())
        start = "".join(f"{_compact(k)}:{_compact(v)}," for k, v in head.items())
        blocks.append(f'"{name}":{{{start}"models":{{\n{rows}\n }},"names":{{\n{names}\n }}}}')
    lines.append(",\n".join(blocks))
    lines.append("}}")
    return "\n".join(lines) + "\n"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def main() -> int:
    """Write or check the table."""
    parser = argparse.ArgumentParser(description="Write the price table.")
    parser.add_argument("--date", type=date.fromisoformat, default=datetime.now(UTC).date())
    parser.add_argument("--check", action="store_true", help="compare only")
    options = parser.parse_args()
    if not options.check:
        TABLE.write_text(render(table(options.date)), encoding="utf-8")
        return 0
    present = TABLE.read_text(encoding="utf-8")
    day = date.fromisoformat(json.loads(present)["checked"])
    if render(table(day)) == present:
        return 0
    print(f"{TABLE.name} is not what genai-prices says; run scripts/update_prices.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
