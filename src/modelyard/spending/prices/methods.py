"""What is done with prices beside setting one."""

from functools import partial

from modelyard.kernel import fields
from modelyard.kernel.context import Context, Item
from modelyard.protocol import filter_grammar, paging
from modelyard.protocol.filtering import Field
from modelyard.protocol.matching import SEARCHED, matches
from modelyard.spending.prices import prices
from modelyard.spending.prices.book import PriceBook
from modelyard.spending.prices.schema import PriceInForce, PriceList, PriceOverride, PriceQuery

_FILTERABLE = ("provider", "model", "source", "listed", "per_million.input", "per_million.output")
FIELDS = {
    "id": Field("id", "string", ("id",)),
    **{name: fields.indexed(PriceInForce, name, camel=False) for name in _FILTERABLE},
}


@prices.standard_method("delete", errors=("ETAG_MISMATCH",))
async def remove(context: Context, item: Item[PriceOverride]) -> None:
    """Remove an override: the configuration's price holds again, or the table's."""
    context.check("workspace:write")
    context.delete(item)


async def listed(context: Context, query: PriceQuery) -> PriceList:
    """The prices in force, with their source and date.

    They are of every model that this server lists, every one of the price table, and every
    override.
    """
    asked = filter_grammar.parse(query.filter, FIELDS)
    after = paging.position(query.page_token, query.filter, str) or ""
    found = [
        one
        for name, one in context.of(PriceBook).all().items()
        if name > after and (asked is None or matches(asked, partial(_value, one)))
    ]
    token = None
    if len(found) > query.size:
        found = found[: query.size]
        token = paging.token(found[-1].id, query.filter)
    return PriceList(prices=found, next_page_token=token)


async def one(context: Context, price_id: str) -> PriceInForce:
    """The price in force of a model, or of `provider/model`."""
    return context.of(PriceBook).find(price_id)


def _value(price: PriceInForce, field: Field) -> object:
    if field == SEARCHED:
        return f"{price.id} {price.provider} {price.model} {price.note}"
    value: object = price
    for step in field.path:
        value = getattr(value, step, None)
    return value
