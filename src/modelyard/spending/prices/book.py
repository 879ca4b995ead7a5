"""The prices in force: the overrides in the store, over those of the snapshot and the table."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from msgspec import structs

from modelyard.inference.call import Price
from modelyard.inference.prices import table
from modelyard.inference.snapshot import ON_SITE, SANDBOX, Snapshot
from modelyard.kernel import names
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Row, Store
from modelyard.protocol.errors import Failure, timestamp
from modelyard.spending.prices.schema import (
    PriceInForce,
    PriceOverride,
    PriceTier,
    Rates,
    RateTier,
)

KIND = "ai-inference/prices"
ID = r"^[A-Za-z0-9][A-Za-z0-9._:@+/-]{0,199}\Z"  # of a model, or provider/model
OVERRIDE = "override"
_SOURCES = ("configuration", SANDBOX, ON_SITE, OVERRIDE)  # what else is a table's name for itself
_Known = tuple[Snapshot, date, dict[str, PriceInForce]]


class PriceBook:
    """What this process knows of prices. ``publish`` hands overrides to the data plane."""

    FOLLOWED = frozenset((KIND,))

    def __init__(
        self,
        current: Callable[[], Snapshot],
        publish: Callable[[Mapping[str, Price]], None],
    ) -> None:
        self._current = current
        self._publish = publish
        self._rows: dict[str, Row] = {}  # by id in lower case
        self._known: _Known | None = None

    async def load(self, store: Store) -> None:
        """Take in the overrides that are stored now, and work with them."""
        rows = sorted(await store.everywhere(KIND), key=lambda row: row.updated_at)
        found = {row.address.id.lower(): row for row in rows}
        if found != self._rows:
            self._rows, self._known = found, None
            self._publish({name: _price(row) for name, row in found.items()})

    def all(self) -> dict[str, PriceInForce]:
        """Every listed model, every one of the table and every override, by id, in order."""
        snapshot, today = self._current(), datetime.now(UTC).date()
        known = self._known
        if known is None or known[0] is not snapshot or known[1] != today:
            found = {one.id: one for one in self._every(snapshot)}
            known = self._known = snapshot, today, dict(sorted(found.items()))
        return known[2]

    def find(self, name: str) -> PriceInForce:
        """The price of a model. Raises ``NOT_FOUND``."""
        found = self.all()
        if name in found:
            return found[name]
        provider, slash, model = name.partition("/")
        snapshot = self._current()
        if slash and model and provider in snapshot.providers:
            return self._entry(name, provider, model, snapshot.target(provider, model).price)
        raise _unknown("NOT_FOUND", name, [*found])

    def check(self, name: str) -> None:
        """Raise ``INVALID_REQUEST`` for the name of no model, whose override would do nothing."""
        snapshot = self._current()
        provider, slash, model = name.partition("/")
        listed = {model.name.lower() for model in snapshot.listed}
        if name.lower().partition("/")[0].startswith(SANDBOX):
            raise Failure(
                "INVALID_REQUEST",
                "The sandbox is free: it has no price to override.",
                details={"field": "id", "rule": "sandbox"},
            )
        providers = {*snapshot.providers, *(key for key, _, _ in table.every())}
        known = name.lower() in listed or (slash and model and provider in providers)
        if not (known and re.fullmatch(ID, name)):
            raise _unknown("INVALID_REQUEST", name, [*self.all()])

    def _every(self, snapshot: Snapshot) -> Iterator[PriceInForce]:
        """Later ones take the place of earlier ones with the same id."""
        for row in self._rows.values():
            provider, _, model = row.address.id.rpartition("/")
            yield self._entry(row.address.id, provider, model, _price(row))
        for provider, model, price in table.every():
            name = f"{provider}/{model}"
            asked: Price | None = price
            if provider in snapshot.providers:
                asked = snapshot.target(provider, model).price
            elif name.lower() in self._rows:
                asked = _price(self._rows[name.lower()])
            yield self._entry(name, provider, model, asked)
        for one in snapshot.listed:
            target = one.first
            yield self._entry(
                one.name, target.provider.name, target.model, target.price, listed=True
            )

    def _entry(
        self, name: str, provider: str, model: str, price: Price | None, *, listed: bool = False
    ) -> PriceInForce:
        row = self._row(name, f"{provider}/{model}") if price and price.source == OVERRIDE else None
        source: Any = None
        origin = None
        if price is not None:
            source, _, origin = price.source.partition(": ")
            if source not in _SOURCES:
                source, origin = "table", price.source
        return PriceInForce(
            id=name,
            provider=provider,
            model=model,
            listed=listed,
            source=source,
            origin=origin or None,
            checked=None if price is None else price.checked,
            currency="USD",
            per_million=None if price is None else _rates(price, 1e3),
            per_thousand=None if price is None else _rates(price, 1e6),
            tiers=[
                RateTier(above=above, per_million=_rates(one, 1e3), per_thousand=_rates(one, 1e6))
                for above, one in (price.tiers if price else ())
            ],
            note="" if row is None else str(row.spec.get("note", "")),
            updated_at=None if row is None else timestamp(row.updated_at),
            updated_by=None if row is None else row.updated_by,
            etag=None if row is None or row.address.id != name else names.etag(row),
        )

    def _row(self, *ids: str) -> Row | None:
        return next((self._rows[one.lower()] for one in ids if one.lower() in self._rows), None)


async def admit(
    context: Context, spec: PriceOverride, item: Item[PriceOverride] | None
) -> PriceOverride:
    """Refuse one who may not speak for the installation, and a price of nothing."""
    context.check("workspace:write")
    context.of(PriceBook).check(context.wanted)
    bounds = [tier.above for tier in spec.tiers]
    if bounds != sorted(set(bounds)):
        raise Failure(
            "INVALID_REQUEST",
            "'tiers' must be in the order of 'above', each higher than the one before.",
            details={"field": "tiers", "rule": "order"},
        )
    return structs.replace(spec, checked=datetime.now(UTC).date().isoformat())


def _price(row: Row) -> Price:
    spec = msgspec.convert(row.spec, PriceOverride)
    tiers = tuple((tier.above, _plain(tier, spec.checked)) for tier in spec.tiers)
    return structs.replace(_plain(spec, spec.checked), tiers=tiers)


def _plain(one: PriceOverride | PriceTier, checked: str | None) -> Price:
    return table.from_usd_per_million(
        one.input, one.output, one.cached_input, one.cache_write, source=OVERRIDE, checked=checked
    )


def _rates(price: Price, divisor: float) -> Rates:
    """Nano-dollars per token in dollars: 1,000 are one for a million tokens."""

    def shown(part: float | None) -> float | None:
        return None if part is None else round(part / divisor, 12)

    return Rates(
        input=round(price.input / divisor, 12),
        output=round(price.output / divisor, 12),
        cached_input=shown(price.cached_input),
        cache_write=shown(price.cache_write),
    )


def _unknown(code: str, name: str, known: list[str]) -> Failure:
    near = difflib.get_close_matches(name[:100], known, n=3)
    hint = f"did you mean '{near[0]}'?" if near else "GET /v1/ai-inference/prices lists them."
    return Failure(
        code,
        f"There is no model '{name[:200]}'; {hint} Any model of a provider is 'provider/model'.",
        details={"field": "id", "rule": "unknown_model", "nearest": near},
    )
