"""The endpoints of the prices in force; the resource declares those of overrides."""

from modelyard.kernel.route import Route
from modelyard.spending.prices import methods, prices
from modelyard.spending.prices.schema import PriceInForce, PriceList, PriceQuery

PATH = "/v1/ai-inference/prices"


def routes() -> list[Route]:
    """The list, and one of it."""
    return [
        Route(
            method="GET",
            path=PATH,
            serve=methods.listed,
            permission="price:read",
            summary="Prices in force, with source and date",
            tag=prices.tag,
            query=PriceQuery,
            response=PriceList,
            operation="listPrices",
        ),
        Route(
            method="GET",
            path=PATH + "/{price_id*}",
            serve=methods.one,
            permission="price:read",
            summary="The price in force of a model",
            tag=prices.tag,
            response=PriceInForce,
            errors=("NOT_FOUND",),
            operation="getPrice",
        ),
    ]
